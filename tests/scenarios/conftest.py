"""What the scenarios share."""

import gc
from collections.abc import Iterator

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """python-socketio forgets the answer to a poll when its server is killed in the middle of it;
    aiohttp then warns of the connection, whenever the garbage is collected."""
    for item in items:
        if "scenarios" in item.path.parts:
            item.add_marker(
                pytest.mark.filterwarnings("ignore:Unclosed connection:ResourceWarning")
            )


@pytest.fixture(autouse=True)
def _collected() -> Iterator[None]:
    """No test leaves its garbage to the next."""
    yield
    gc.collect()
