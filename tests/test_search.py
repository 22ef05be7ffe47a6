"""Searching: who may, how often, and how many at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from sioserver import search as module
from sioserver import wire
from sioserver.auth import Identity
from sioserver.config.schema import Limits, RoomRule, Store
from sioserver.engine.base_search import Found
from sioserver.engine.embedded import EmbeddedEngine
from sioserver.errors import Refusal
from sioserver.hub import Client
from sioserver.matching import parse_query
from sioserver.model import User

from .fakes import ANN, BEN, StagedEngine
from .world import World, config

TEA = wire.SearchRequest(parse_query("tea"), None, 5)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    engine = EmbeddedEngine(Store(), grace=5.0, path=":memory:")
    rules = [RoomRule(match="*", history=["ann"])]
    world = World(config(*rules, limits=Limits(search_burst=3)), StagedEngine(engine))
    await engine.start(world.hub)
    yield world
    await engine.stop()


async def search(world: World, who: Client) -> list[int]:
    return [one.offset for one in (await world.service.search.find(who, TEA)).messages]


async def test_messages_are_found(world: World) -> None:
    ann = await world.enter()
    for body in ("tea", "coffee", "more tea"):
        await world.service.send(ann, wire.SendRequest(body, None))
    assert await search(world, ann) == [3, 1]


async def test_who_may(world: World) -> None:
    ben = await world.enter(BEN)
    with pytest.raises(Refusal) as refusal:
        await search(world, ben)
    assert refusal.value.code == "forbidden"
    with pytest.raises(Refusal) as refusal:
        await search(world, world.client(ANN))
    assert refusal.value.code == "not_member"


async def test_how_often(world: World) -> None:
    ann = await world.enter()
    for _ in range(3):
        await search(world, ann)
    with pytest.raises(Refusal) as refusal:
        await search(world, ann)
    assert (refusal.value.code, refusal.value.limit) == ("rate_limited", "search_rate")
    world.clock.pass_(1.0)
    await search(world, ann)
    operator = Identity(User("", "ops", guest=True), operator=True)
    visitor = await world.service.visitors.visit(operator, "lobby")
    for _ in range(5):
        await world.service.search.find(visitor, TEA)


async def test_how_many_at_a_time(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WAITING", 2)
    operator = Identity(User("", "ops", guest=True), operator=True)
    visitor = await world.service.visitors.visit(operator, "lobby")
    running = most = 0
    go_on = asyncio.Event()

    async def slow(*_: object, **__: object) -> Found:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await go_on.wait()
        running -= 1
        return Found([], 1, None, True)

    monkeypatch.setattr(world.engine._engine.search, "find", slow)
    tasks = [
        asyncio.create_task(world.service.search.find(visitor, TEA))
        for _ in range(module.AT_ONCE + 2)
    ]
    while running < module.AT_ONCE:
        await asyncio.sleep(0)
    with pytest.raises(Refusal) as refusal:
        await world.service.search.find(visitor, TEA)
    assert refusal.value.code == "unavailable"
    tasks.pop().cancel()
    go_on.set()
    await asyncio.gather(*tasks)
    assert (running, most) == (0, module.AT_ONCE)


async def test_who_left_while_waiting_is_told_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann = await world.enter()
    places = world.service.search._places
    for _ in range(module.AT_ONCE):
        await places.acquire()
    task = asyncio.create_task(search(world, ann))
    await asyncio.sleep(0)
    await world.service.leave(ann)
    for _ in range(module.AT_ONCE):
        places.release()
    with pytest.raises(Refusal) as refusal:
        await task
    assert refusal.value.code == "not_member"
