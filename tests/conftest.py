"""What holds for all tests, and the worlds of those of `RoomService` and its parts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import HealthCheck, is_hypothesis_test, settings

from sioserver.config import RoomRule
from sioserver.config.schema import Limits, Store
from sioserver.engine.embedded import EmbeddedEngine

from .fakes import StagedEngine
from .world import GRACE, Make, World, config

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


@pytest.fixture
async def make() -> AsyncIterator[Make]:
    """Makes worlds on embedded engines in memory."""
    engines: list[EmbeddedEngine] = []

    async def make(*rules: RoomRule, limits: Limits | None = None, **rooms: Any) -> World:
        engine = EmbeddedEngine(Store(cached_messages=4), grace=GRACE, path=":memory:")
        world = World(config(*rules, limits=limits, **rooms), StagedEngine(engine))
        await engine.start(world.hub)
        engines.append(engine)
        return world

    yield make
    for engine in engines:
        await engine.stop()


@pytest.fixture
async def world(make: Make) -> World:
    world: World = await make(RoomRule(match="*", relay=["cursor"]), recovery_limit=5)
    return world
