"""Mentions: who is told, what is kept, and what becomes of it when the store is away."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from sioserver import wire
from sioserver.config.schema import Limits, RoomRule, Store
from sioserver.engine.embedded import EmbeddedEngine
from sioserver.errors import Refusal
from sioserver.hub import Client
from sioserver.mentions import counted, shown
from sioserver.model import Event, Mention, Position, User

from .fakes import ANN, BEN, CAT, StagedEngine
from .world import Make, World, config

MENTION = Mention(7, "den", "m3", 3, "ben", "Ben", 1234)


@pytest.fixture
async def make() -> AsyncIterator[Make]:
    engine = EmbeddedEngine(Store(), grace=5.0, path=":memory:")

    async def make(*rules: RoomRule) -> World:
        world = World(config(*rules, limits=Limits(mention_burst=60)), StagedEngine(engine))
        await engine.start(world.hub)
        return world

    yield make
    await engine.stop()


@pytest.fixture
async def world(make: Make) -> World:
    world: World = await make()
    return world


async def open_session(world: World, user: User = ANN) -> Client:
    client = world.client(user, world.service.find("@me", user))
    rooms = await world.service.sessions.enter(client)
    world.outbox.told[client.id].extend(world.service.sessions.go_live(client, rooms))
    return client


async def mention(world: World, who: Client, *users: str, id: str | None = "m1") -> int:
    request = wire.SendRequest("look", id, mentions=users)
    return (await world.service.send(who, request)).position.offset


def told(world: World, session: Client) -> list[Event]:
    return [event for event in world.outbox.told[session.id] if event.name == "mention"]


def payload(room: str, number: int, offset: int = 1) -> dict[str, Any]:
    return {
        "number": number,
        "room": room,
        "id": "m1",
        "offset": offset,
        "user": "ben",
        "name": "Ben",
        "at": 1_700_000_000_000,
    }


NUMBER = 1_700_000_000_000


async def test_who_is_mentioned_is_told_wherever_they_are(world: World) -> None:
    await world.service.leave(await world.enter())
    ben, cat = await world.enter(BEN), await world.enter(CAT)
    phone, page, other = [await open_session(world, user) for user in (ANN, ANN, CAT)]
    await mention(world, ben, "ann", "nobody", "ben")
    for session in (phone, page):
        assert [event.payload for event in told(world, session)] == [payload("lobby", NUMBER)]
    assert told(world, other) == []
    assert await world.service.mentions.of("ben", 0) == []  # oneself is not told
    assert await world.service.mentions.of("nobody", 0) == []
    assert "mention" not in world.outbox.names(cat)


async def test_who_was_away_finds_it(world: World) -> None:
    await world.service.leave(await world.enter())
    ben = await world.enter(BEN)
    await mention(world, ben, "ann")
    (found,) = await world.service.mentions.of("ann", 0)
    assert wire.mention_payload(found) == payload("lobby", NUMBER)
    assert await world.service.mentions.of("ann", NUMBER) == []


async def test_unread_mentions_are_counted_in_the_rooms(world: World) -> None:
    ann, ben = await world.enter(), await world.enter(BEN)
    for number in range(3):
        await mention(world, ben, "ann", id=f"m{number}")
    await world.service.people.read(ann, 1)
    session = await open_session(world)
    (welcome,) = world.outbox.told[session.id]
    assert welcome.payload["rooms"] == [{"room": "lobby", "unread": 2, "last": 3, "mentions": 2}]
    await world.service.people.read(ann, 3)
    (room,) = await world.service.sessions.rooms(session)
    assert room == {"room": "lobby", "unread": 0, "last": 3}


async def test_sent_again_it_is_noted_once(world: World) -> None:
    await world.enter()
    ben = await world.enter(BEN)
    session = await open_session(world)
    for _ in range(2):
        await mention(world, ben, "ann")
    # told again, for nobody knows whether the first time was heard; by the same number
    assert [event.payload["number"] for event in told(world, session)] == [NUMBER, NUMBER]
    assert len(await world.service.mentions.of("ann", 0)) == 1


async def test_sent_again_it_names_nobody_else(world: World) -> None:
    await world.enter()
    await world.enter(CAT)
    ben = await world.enter(BEN)
    ann, cat = await open_session(world), await open_session(world, CAT)
    await mention(world, ben, "ann")
    await mention(world, ben, "cat")
    assert (len(told(world, ann)), told(world, cat)) == (1, [])
    assert await world.service.mentions.of("cat", 0) == []
    await world.service.operations.delete(ben, wire.Target(1, None))
    await mention(world, ben, "ann")  # it mentions nobody any more
    assert len(told(world, ann)) == 1


async def test_sent_again_where_nothing_is_kept(make: Make) -> None:
    world = await make(RoomRule(history_length=0))
    await world.enter()
    ben = await world.enter(BEN)
    session = await open_session(world)
    for _ in range(2):
        await mention(world, ben, "ann")
    assert len(told(world, session)) == 2


async def test_in_a_room_of_two_each_has_their_name_for_it(world: World) -> None:
    ben = await world.enter(BEN, world.service.find("@dm/ann", BEN))
    session = await open_session(world)
    await mention(world, ben, "ann")
    assert told(world, session)[0].payload["room"] == "@dm/ben"
    assert (await world.service.mentions.of("ann", 0))[0].room == "@dm/ben"


async def test_who_leaves_takes_the_rooms_mentions_along(world: World) -> None:
    ann, ben = await world.enter(), await world.enter(BEN)
    await mention(world, ben, "ann")
    await world.service.leave_for_good(ann)
    assert await world.service.mentions.of("ann", 0) == []


async def test_what_cannot_be_stored_is_sent_again(world: World) -> None:
    await world.enter()
    ben = await world.enter(BEN)
    part = Away(world.engine.mentions)
    world.service.mentions._engine = Part(world.engine, part)  # type: ignore[assignment]
    with pytest.raises(Refusal) as refusal:
        await mention(world, ben, "ann")
    assert refusal.value.code == "unavailable"
    part.away = False
    assert await mention(world, ben, "ann") == 1
    assert len(await world.service.mentions.of("ann", 0)) == 1


async def test_a_message_that_cannot_be_sent_again_is_posted_all_the_same(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    await world.enter()
    ben = await world.enter(BEN)
    world.service.mentions._engine = Part(world.engine, Away(world.engine.mentions))  # type: ignore[assignment]
    assert await mention(world, ben, "ann", id=None) == 1
    assert "was not stored" in caplog.text


async def test_too_many_mentions(world: World) -> None:
    ben = await world.enter(BEN)
    await mention(world, ben, *(f"u{number}" for number in range(50)), id="m1")
    with pytest.raises(Refusal) as refusal:
        await mention(world, ben, *(f"u{number}" for number in range(50)), id="m2")
    assert (refusal.value.code, refusal.value.limit) == ("rate_limited", "mention_rate")
    assert await mention(world, ben, id="m3") == 2  # nothing was posted
    world.clock.pass_(10)
    assert await mention(world, ben, *(f"u{number}" for number in range(50)), id="m2") == 3


def test_what_is_unread_of_them() -> None:
    mentions = [
        MENTION,
        Mention(9, "den", "m5", 5, "ben", "Ben", 1),
        Mention(10, "a", "m", 9, "b", "B", 1),
    ]
    assert [counted(mentions, "den", read) for read in (0, 2, 3, 4, 5)] == [2, 2, 1, 1, 0]


def test_the_room_is_called_as_by_the_user() -> None:
    two = Mention(7, "@dm:3:ann:ben", "m3", 3, "ben", "Ben", 1234)
    assert shown(two, "ann").room == "@dm/ben"
    assert shown(MENTION, "ann") == MENTION


class Away:
    """Mentions of an engine that is away."""

    def __init__(self, real: Any) -> None:
        self._real = real
        self.away = True

    async def add(self, room: str, position: Position, mention: Mention, users: list[str]) -> Any:
        if self.away:
            raise Refusal("unavailable", retry_after=1.0)
        return await self._real.add(room, position, mention, users)

    async def of(self, user_id: str, *, after: int = 0) -> Any:
        return await self._real.of(user_id, after=after)


class Part:
    def __init__(self, engine: Any, mentions: Away) -> None:
        self.history = engine.history
        self.mentions = mentions
