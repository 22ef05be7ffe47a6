"""The directory: what is listed, for whom, and in which order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from sioserver import directory as module
from sioserver import wire
from sioserver.actors import Visitor
from sioserver.auth import Identity
from sioserver.config.schema import RoomRule, Store
from sioserver.directory import NOTE_EVERY, SLICE, Found
from sioserver.engine.embedded import EmbeddedEngine
from sioserver.errors import Refusal
from sioserver.matching import parse_query
from sioserver.model import Counts, User

from .fakes import ANN, BEN, CAT, GUEST, StagedEngine
from .world import World, config

RULES = [
    RoomRule(match="vault", public=True, join=["cat"]),
    RoomRule(match="quiet", public=True, presence=False),
    RoomRule(match="tea", public=True, topic="Tea, cake and Straßen"),
    RoomRule(match="private*"),
    RoomRule(match="*", public=True, moderate=["cat"]),
]


@pytest.fixture
async def world(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    for name in ("FRESH", "REST"):
        monkeypatch.setattr(module, name, 0.0)
    engine = EmbeddedEngine(Store(), grace=5.0, path=":memory:")
    world = World(config(*RULES, public_rooms=2000), StagedEngine(engine))
    await engine.start(world.hub)
    yield world
    await engine.stop()


async def enter(world: World, room: str, user: User = ANN) -> Any:
    client = world.client(user, room, authenticated=True)
    await world.join(client)
    return client


async def find(
    world: World, query: str = "", user: User = ANN, limit: int = 50, after: Any = None
) -> Found:
    world.service.directory.sweep(world.clock())
    asked = parse_query(query) if query else None
    return await world.service.directory.find(Identity(user), asked, after, limit)


async def names(world: World, query: str = "", user: User = ANN, limit: int = 50) -> list[str]:
    return [one.room for one, _ in (await find(world, query, user, limit)).rooms]


async def test_the_fullest_come_first(world: World) -> None:
    for room, users in {"a": [ANN], "c": [ANN, BEN], "b": [ANN, BEN], "tea": [CAT]}.items():
        for user in users:
            await enter(world, room, user)
    found = await find(world)
    assert [one.room for one, _ in found.rooms] == ["b", "c", "a", "tea"]
    assert [counts for _, counts in found.rooms] == [Counts(2, 2)] * 2 + [Counts(1, 1)] * 2
    assert found.next is None


async def test_only_what_one_may_join(world: World) -> None:
    for room in ("vault", "lobby", "private-1", "@dm:3:ann:ben", "@dm:3:ann:cat"):
        client = world.client(CAT if room in ("vault", "@dm:3:ann:cat") else ANN, room)
        await world.join(client)
    assert await names(world) == ["lobby"]
    assert await names(world, user=CAT) == ["lobby", "vault"]
    operator = Identity(User("", "ops", guest=True), operator=True)
    found = await world.service.directory.find(operator, None, None, 50)
    assert [one.room for one, _ in found.rooms] == ["lobby", "vault"]


async def test_what_nothing_is_kept_in_is_not_listed(world: World) -> None:
    guest = await enter(world, "passing", GUEST)
    assert await names(world) == []
    await world.service.send(guest, wire.SendRequest("hi", None))
    assert await names(world) == ["passing"]
    await world.service.leave(guest)
    assert await names(world) == ["passing"]
    await enter(world, "passing", User("guest:2", "Other", guest=True))
    assert await names(world) == ["passing"]


async def test_who_does_not_tell_counts_as_empty(world: World) -> None:
    await enter(world, "quiet")
    await enter(world, "zoo")
    found = await find(world)
    assert [(one.room, counts) for one, counts in found.rooms] == [
        ("zoo", Counts(1, 1)),
        ("quiet", None),
    ]


async def test_names_and_topics_are_searched(world: World) -> None:
    for room in ("tea", "team/Red", "部屋", "other"):
        await enter(world, room)
    moderator = await enter(world, "other", CAT)
    await world.service.moderation.configure(moderator, {"topic": "All about Zebras"})
    for query, expected in {
        "tea": ["tea", "team/Red"],
        "CAKE STRASSEN": ["tea"],
        "zebra": ["other"],
        "red tea": ["team/Red"],
        "部": ["部屋"],
        '"about zebras" other': ["other"],
        "nothing": [],
    }.items():
        assert await names(world, query) == expected, query
    topics = {one.room: one.topic for one, _ in (await find(world)).rooms}
    assert topics["tea"] == "Tea, cake and Straßen"
    assert topics["other"] == "All about Zebras"
    await world.service.moderation.configure(moderator, {"topic": None})
    assert await names(world, "zebra") == []


async def test_pages(world: World) -> None:
    rooms = [f"r{number}" for number in range(7)]
    for room in rooms:
        await enter(world, room)
    await enter(world, "r5", BEN)
    seen: list[str] = []
    after = None
    while True:
        page = await find(world, limit=3, after=after)
        assert len(page.rooms) <= 3
        seen += [one.room for one, _ in page.rooms]
        after = page.next
        if after is None:
            break
        assert after == (page.rooms[-1][0].online, page.rooms[-1][0].room)
    assert seen == ["r5", "r0", "r1", "r2", "r3", "r4", "r6"]


async def test_rooms_with_people_are_told_again(world: World) -> None:
    await enter(world, "full")
    await world.service.leave(await enter(world, "left"))
    await names(world)
    told: list[list[str]] = []
    note = world.engine.directory.note

    def noted(rooms: dict[str, Any], now: float, most: int) -> None:
        told.append(sorted(rooms))
        note(rooms, now, most)

    world.engine.directory.note = noted
    world.service.directory.sweep(world.clock())
    assert told == []
    world.clock.pass_(NOTE_EVERY)
    world.service.directory.sweep(world.clock())
    assert told == [["full"]]
    await enter(world, "left", BEN)
    await enter(world, "full", BEN)
    world.service.directory.sweep(world.clock())
    assert told == [["full"], ["left"]]


async def test_what_was_read_is_kept_for_a_while(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = 0
    rooms = world.engine.directory.rooms

    async def counted(*, limit: int) -> Any:
        nonlocal reads
        reads += 1
        return await rooms(limit=limit)

    world.engine.directory.rooms = counted
    monkeypatch.setattr(module, "FRESH", 1000.0)
    await enter(world, "lobby")
    pages = await asyncio.gather(*(names(world) for _ in range(9)))
    assert pages == [["lobby"]] * 9
    assert reads == 1


async def test_many_rooms_hold_nobody_up(world: World) -> None:
    count = 2 * SLICE + 10
    world.engine.directory.note({f"r{number:04}": None for number in range(count)}, 5.0, 2000)
    assert await names(world, "r1009") == ["r1009"]
    found = await find(world, limit=1)
    assert [one.room for one, _ in found.rooms] == ["r0000"]


async def test_without_a_connection(world: World) -> None:
    await enter(world, "lobby")
    world.service.directory.sweep(world.clock())
    asked = wire.parse_directory([])
    found = await world.service.visitors.list_rooms(Identity(BEN), asked)
    assert [one.room for one, _ in found.rooms] == ["lobby"]
    visitor = Visitor("den", Identity(BEN, authenticated=True))
    await world.service.visitors.post(visitor, wire.SendRequest("hi", None))
    assert await names(world) == ["lobby", "den"]


async def test_the_store_is_away(world: World) -> None:
    await enter(world, "lobby")
    await world.engine._engine.stop()
    world.service.directory.sweep(world.clock())
    with pytest.raises(Refusal) as refusal:
        await find(world)
    assert refusal.value.code == "unavailable"
