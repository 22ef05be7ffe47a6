"""What holds for all tests."""

import pytest
from hypothesis import HealthCheck, is_hypothesis_test, settings

# An example that takes long is no fault: machines are busy, and what must be quick has a test of
# its own. (A `settings(deadline=...)` at a test counts more than this.)
settings.register_profile("sioserver", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("sioserver")

TOLD = 450.0
"""Seconds until hypothesis has told of a failure: it looks for the smallest example for up to 300.
A timeout before that would end the whole test process instead, and nobody would learn of it."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if is_hypothesis_test(getattr(item, "obj", None)) and not item.get_closest_marker(
            "timeout"
        ):
            item.add_marker(pytest.mark.timeout(TOLD))
