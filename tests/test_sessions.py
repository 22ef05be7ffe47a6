"""What a user's sessions are told, wherever they are."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from typing import Any

import pytest
from msgspec.structs import replace

from sioserver import sessions, wire
from sioserver.config.schema import Limits, Presence, Store
from sioserver.engine.embedded import EmbeddedEngine
from sioserver.errors import Refusal
from sioserver.hub import Client
from sioserver.model import Event, Position, User

from .fakes import ANN, BEN, CAT, GUEST, StagedEngine
from .world import World, config

NEWS = Event("news", {"of": "something"})


Make = Callable[..., Awaitable[World]]


@pytest.fixture
async def make() -> AsyncIterator[Make]:
    """Makes worlds whose sessions are told what is new."""
    async with AsyncExitStack() as stack:

        async def make(**options: Any) -> World:
            engine = EmbeddedEngine(Store(), grace=5.0, path=":memory:")
            presence = Presence(batch=0.01)
            world = World(replace(config(**options), presence=presence), StagedEngine(engine))
            await engine.start(world.hub)
            stack.push_async_callback(engine.stop)
            telling = asyncio.create_task(world.service.sessions.run())
            stack.push_async_callback(ended, telling)
            return world

        yield make


async def ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


@pytest.fixture
async def world(make: Make) -> World:
    return await make()


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.005)


async def open_session(world: World, user: User = ANN) -> Client:
    client = world.client(user, world.service.find("@me", user))
    rooms = await world.service.sessions.enter(client)
    world.outbox.told[client.id].extend(world.service.sessions.go_live(client, rooms))
    return client


async def test_all_sessions_of_a_user_are_told_and_nobody_else(world: World) -> None:
    phone, page = await open_session(world), await open_session(world)
    other = await open_session(world, BEN)
    in_a_room = await world.enter(ANN)
    world.service.sessions.tell("ann", NEWS)
    told = world.outbox.told
    assert (told[phone.id][1:], told[page.id][1:], told[other.id][1:]) == ([NEWS], [NEWS], [])
    assert NEWS not in told[in_a_room.id]


async def test_a_guest_has_a_session_too(world: World) -> None:
    guest = await open_session(world, GUEST)
    world.service.sessions.tell(GUEST.id, NEWS)
    assert world.outbox.told[guest.id][1:] == [NEWS]


async def test_who_has_gone_is_told_nothing(world: World) -> None:
    phone, page = await open_session(world), await open_session(world)
    await world.service.leave(phone)
    await world.service.leave(phone)
    world.service.sessions.tell("ann", NEWS)
    assert (world.outbox.told[phone.id][1:], world.outbox.told[page.id][1:]) == ([], [NEWS])
    await world.service.leave(page)
    assert len(world.hub) == 0
    world.service.sessions.tell("ann", NEWS)


async def test_who_leaves_while_it_comes_in(world: World) -> None:
    client = world.client(ANN, "@me:ann")
    gate = world.engine.hold("rooms_of", after=True)
    entering = asyncio.create_task(world.service.sessions.enter(client))
    await gate.reached.wait()
    await world.service.leave(client)
    gate.open()
    with pytest.raises(Refusal) as refusal:
        await entering
    assert refusal.value.code == "not_member"
    assert len(world.hub) == 0


async def test_nothing_is_left_of_who_could_not_come_in(world: World) -> None:
    world.engine.fail("rooms_of", Refusal("unavailable"))
    with pytest.raises(Refusal):
        await open_session(world)
    assert len(world.hub) == 0
    session = await open_session(world)
    world.service.sessions.tell("ann", NEWS)
    assert world.outbox.told[session.id][1:] == [NEWS]


# -- rooms and unread counts ----------------------------------------------------------------------


def room(name: str, unread: int, last: int, **more: Any) -> dict[str, Any]:
    return {"room": name, "unread": unread, "last": last, **more}


async def test_the_rooms_of_a_user(world: World) -> None:
    ann, ben = await world.enter(ANN, "b"), await world.enter(BEN, "b")
    await world.enter(ANN, "a")
    await world.enter(BEN, "c")
    await world.post(ben, 1, 2, 3)
    await world.service.people.read(ann, 1)
    session = await open_session(world)
    rooms = [room("a", 0, 0), room("b", 2, 3)]
    (welcome,) = world.outbox.told[session.id]
    assert (welcome.name, welcome.position) == ("welcome", None)
    assert welcome.payload == {"user": "ann", "name": "Ann", "rooms": rooms}
    assert await world.service.sessions.rooms(session) == rooms


async def test_a_room_of_two_is_told_with_who_the_other_one_is(make: Make) -> None:
    world = await make(limits=Limits(followed_rooms=1))
    mine, theirs = world.service.find("@dm/ben", ANN), world.service.find("@dm/ann", BEN)
    await world.post(await world.enter(ANN, mine), "psst")
    session, other = await open_session(world), await open_session(world, BEN)
    with_ben = room("@dm/ben", 1, 1, peer={"user": "ben", "name": "ben"})
    with_ann = room("@dm/ann", 1, 1, peer={"user": "ann", "name": "Ann"})
    assert world.outbox.told[session.id][0].payload["rooms"] == [with_ben]
    assert world.outbox.told[other.id][0].payload["rooms"] == [with_ann]
    ben = await world.enter(BEN, theirs)
    await world.post(ben, "yes?")  # from now on his name is known there
    with_ben.update(unread=2, last=2, peer={"user": "ben", "name": "Ben"})
    await until(lambda: world.outbox.told[session.id][-1].payload == with_ben)
    assert await world.service.sessions.rooms(session) == [with_ben]
    # one that is not followed
    await world.enter(BEN, "den")
    cat = await world.enter(CAT, world.service.find("@dm/ben", CAT))
    await world.post(cat, "me too")
    told = room("@dm/cat", 1, 1, live=False, peer={"user": "cat", "name": "Cat"})
    await until(lambda: Event("room_joined", told) in world.outbox.told[other.id])


async def test_the_store_is_asked_for_no_names_where_no_room_is_of_two(world: World) -> None:
    await world.enter(ANN, "a")
    world.engine.fail("names", RuntimeError("planted"))
    session = await open_session(world)
    await world.enter(ANN, "b")
    await until(lambda: news(world, session) == [("room_joined", ["b", 0, 0])])
    await world.service.leave(session)
    await world.enter(ANN, world.service.find("@dm/ben", ANN))
    with pytest.raises(RuntimeError, match="planted"):
        await open_session(world)


async def test_a_page_of_rooms(make: Make) -> None:
    world = await make(members_page=2)
    for name in "abc":
        await world.enter(ANN, name)
    session = await open_session(world)
    rooms = [room("a", 0, 0), room("b", 0, 0)]
    assert world.outbox.told[session.id][0].payload["rooms"] == rooms
    assert await world.service.sessions.rooms(session) == rooms


def news(world: World, client: Client) -> list[tuple[str, Any]]:
    """What a session was told of its rooms since its welcome."""
    return [(event.name, [*event.payload.values()]) for event in world.outbox.told[client.id][1:]]


async def test_unread_counts_are_told_without_being_in_the_room(world: World) -> None:
    ann, ben = await world.enter(), await world.enter(BEN)
    phone, page = await open_session(world), await open_session(world)
    await world.service.leave(ann)
    await world.post(ben, 1)
    for session in (phone, page):
        await until(lambda session=session: news(world, session) == [("unread", ["lobby", 1, 1])])
    await world.post(ben, *range(50))
    await until(lambda: news(world, page)[-1] == ("unread", ["lobby", 51, 51]))
    assert len(news(world, page)) < 10  # not each message
    assert world.metrics.rooms_followed == 1


async def test_reading_on_one_device_is_told_to_the_others(world: World) -> None:
    phone, ben = await world.enter(), await world.enter(BEN)
    await world.post(ben, *range(5))
    session = await open_session(world)
    await world.service.people.read(phone, 3)
    await until(lambda: news(world, session) == [("unread", ["lobby", 2, 5])])
    await world.service.people.read(phone, 3)
    await world.service.people.read(phone, 9)
    await until(lambda: news(world, session)[1:] == [("unread", ["lobby", 0, 5])])


async def test_what_is_done_to_messages_is_not_unread(world: World) -> None:
    ann, ben = await world.enter(), await world.enter(BEN)
    session = await open_session(world)
    await world.post(ben, "x")
    await until(lambda: news(world, session) == [("unread", ["lobby", 1, 1])])
    target = wire.Target(1, None)
    await world.service.operations.edit(ben, wire.EditRequest(target, "y"))
    await world.service.operations.react(ben, wire.ReactRequest(target, "+", True))
    await world.post(ben, "z")
    await until(lambda: news(world, session)[1:] == [("unread", ["lobby", 2, 4])])
    await world.service.people.read(ann, 2)
    await until(lambda: news(world, session)[2:] == [("unread", ["lobby", 1, 4])])
    assert await world.service.sessions.rooms(session) == [room("lobby", 1, 4)]


async def test_rooms_that_are_joined_and_left(world: World) -> None:
    session = await open_session(world)
    den, ben = await world.enter(ANN, "den"), await world.enter(BEN, "den")
    await until(lambda: news(world, session) == [("room_joined", ["den", 0, 0])])
    await world.post(ben, 1)
    await until(lambda: news(world, session)[1:] == [("unread", ["den", 1, 1])])
    await world.enter(ANN, "den")  # again: a second device
    await world.service.leave_for_good(den)
    await until(lambda: news(world, session)[2:] == [("room_left", ["den"])])
    await world.post(ben, 2)
    await world.enter(ANN, "den")
    await until(lambda: news(world, session)[3:] == [("room_joined", ["den", 0, 2])])
    assert await world.service.sessions.rooms(session) == [room("den", 0, 2)]


async def test_more_rooms_than_are_followed(make: Make) -> None:
    world = await make(limits=Limits(followed_rooms=1))
    ben = await world.enter(BEN, "b")
    for name in "ab":
        await world.enter(ANN, name)
    session = await open_session(world)
    rooms = [room("a", 0, 0), room("b", 0, 0, live=False)]
    assert world.outbox.told[session.id][0].payload["rooms"] == rooms
    assert world.metrics.limit_hits["followed_rooms"] == 1
    await world.post(ben, 1)
    await world.enter(ANN, "c")
    await until(lambda: news(world, session) == [("room_joined", ["c", 0, 0, False])])
    assert await world.service.sessions.rooms(session) == [
        rooms[0],
        room("b", 1, 1, live=False),
        room("c", 0, 0, live=False),
    ]


async def test_who_has_no_space_is_told_the_newest_later(world: World) -> None:
    ann, ben = await world.enter(ANN, "a"), await world.enter(BEN, "a")
    phone, page = await open_session(world), await open_session(world)
    world.outbox.slow = {phone.id}
    await world.enter(ANN, "b")
    await world.post(ben, 1)
    await until(lambda: len(news(world, page)) == 2)
    await world.service.leave_for_good(ann)
    await world.post(ben, 2)
    await until(lambda: news(world, page)[-1] == ("room_left", ["a"]))
    assert news(world, phone) == []
    world.outbox.slow = set()
    await until(lambda: len(news(world, phone)) == 2)
    assert sorted(news(world, phone)) == [("room_joined", ["b", 0, 0]), ("room_left", ["a"])]
    assert world.outbox.behind == []


async def test_nothing_is_watched_for_who_has_gone(world: World) -> None:
    ben = await world.enter(BEN, "a")
    await world.service.leave(await world.enter(ANN, "a"))
    await world.service.leave(await world.enter(ANN, "b"))
    phone, page = await open_session(world), await open_session(world)
    watched = world.engine.stats
    assert watched()["rooms_watched"] == 2
    await world.service.leave(phone)
    assert watched()["rooms_watched"] == 2
    await world.service.leave(ben)  # the last one in the room, which is followed
    assert watched()["rooms_watched"] == 2
    await world.service.leave(page)
    assert (watched()["rooms_watched"], world.metrics.rooms_followed) == (0, 0)


async def test_a_room_with_clients_stays_watched(world: World) -> None:
    ann = await world.enter()
    session = await open_session(world)
    await world.service.leave(session)
    await world.fill(1)
    assert world.outbox.offsets(ann) == [1]


async def test_what_happens_while_a_session_comes_in(world: World) -> None:
    """Neither a message before its room is followed, nor what the user is told, is lost."""
    ben = await world.enter(BEN)
    await world.service.leave(await world.enter())
    gate = world.engine.hold("rooms_of", after=True)
    session = world.client(ANN, "@me:ann")
    entering = asyncio.create_task(world.service.sessions.enter(session))
    await gate.reached.wait()
    await world.post(ben, 1)
    world.service.sessions.tell("ann", NEWS)
    gate.open()
    rooms = await entering
    await world.post(ben, 2)
    welcome, early = world.service.sessions.go_live(session, rooms)
    assert welcome.payload["rooms"] == [room("lobby", 2, 2)]
    assert early == NEWS


async def test_a_second_session_comes_in_beside_the_first(world: World) -> None:
    first = world.client(ANN, "@me:ann")
    rooms = await world.service.sessions.enter(first)
    world.service.sessions.tell("ann", NEWS)
    second = await open_session(world)
    assert [event.name for event in world.outbox.told[second.id]] == ["welcome"]
    assert world.service.sessions.go_live(first, rooms)[1:] == [NEWS]


async def test_what_was_not_announced_is_asked_for(world: World) -> None:
    ben = await world.enter(BEN)
    await world.service.leave(await world.enter())
    session = await open_session(world)
    top = await world.fill(3)
    await until(lambda: news(world, session)[-1] == ("unread", ["lobby", 3, 3]))
    world.engine.fail("history", Refusal("unavailable"))
    world.hub.on_gap("lobby", Position(top.epoch, 4))
    await world.post(ben, 1)
    await until(lambda: news(world, session)[-1] == ("unread", ["lobby", 4, 4]))


async def test_a_store_that_is_away_is_asked_again(world: World) -> None:
    session = await open_session(world)
    world.engine.fail("rooms_of", Refusal("unavailable"))
    await world.enter(ANN, "den")
    await until(lambda: news(world, session) == [("room_joined", ["den", 0, 0])])


async def test_a_fault_of_ours_stops_nobody(world: World, caplog: pytest.LogCaptureFixture) -> None:
    session = await open_session(world)
    world.engine.fail("rooms_of", RuntimeError("planted"))
    await world.enter(ANN, "den")
    await until(lambda: "sessions could not be told" in caplog.text)
    await world.enter(ANN, "attic")
    await until(lambda: ("room_joined", ["attic", 0, 0]) in news(world, session))


async def test_a_crowd_does_not_keep_the_loop(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "SLICE", 0.0)
    people = [User(f"u{number}", "U") for number in range(5)]
    for user in people:
        await world.service.leave(await world.enter(user))
    opened = [await open_session(world, user) for user in people]
    await world.fill(1)
    for session in opened:
        await until(lambda session=session: news(world, session) == [("unread", ["lobby", 1, 1])])


@pytest.mark.parametrize("name", ["@me:ann", "@me:ben", "@me/ann", "@you", "@"])
async def test_a_session_has_no_other_name(world: World, name: str) -> None:
    with pytest.raises(Refusal) as refusal:
        world.service.find(name, ANN)
    assert refusal.value.code in ("forbidden", "bad_room")
