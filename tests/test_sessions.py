"""What a user's sessions are told, wherever they are."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from sioserver.config.schema import Store
from sioserver.engine.embedded import EmbeddedEngine
from sioserver.errors import Refusal
from sioserver.hub import Client
from sioserver.model import Event, User

from .fakes import ANN, BEN, GUEST, StagedEngine
from .test_rooms import World, config

NEWS = Event("news", {"of": "something"})


@pytest.fixture
async def world() -> AsyncIterator[World]:
    engine = EmbeddedEngine(Store(), grace=5.0, path=":memory:")
    world = World(config(), StagedEngine(engine))
    await engine.start(world.hub)
    yield world
    await engine.stop()


async def open_session(world: World, user: User = ANN) -> Client:
    client = world.client(user, world.service.find("@me", user))
    await world.service.sessions.enter(client)
    world.service.sessions.go_live(client)
    return client


async def test_all_sessions_of_a_user_are_told_and_nobody_else(world: World) -> None:
    phone, page = await open_session(world), await open_session(world)
    other = await open_session(world, BEN)
    in_a_room = await world.enter(ANN)
    world.service.tell_user("ann", NEWS)
    told = world.outbox.told
    assert (told[phone.id], told[page.id], told[other.id]) == ([NEWS], [NEWS], [])
    assert NEWS not in told[in_a_room.id]


async def test_a_guest_has_a_session_too(world: World) -> None:
    guest = await open_session(world, GUEST)
    world.service.tell_user(GUEST.id, NEWS)
    assert world.outbox.told[guest.id] == [NEWS]


async def test_who_has_gone_is_told_nothing(world: World) -> None:
    phone, page = await open_session(world), await open_session(world)
    await world.service.leave(phone)
    await world.service.leave(phone)
    world.service.tell_user("ann", NEWS)
    assert (world.outbox.told[phone.id], world.outbox.told[page.id]) == ([], [NEWS])
    await world.service.leave(page)
    assert len(world.hub) == 0
    world.service.tell_user("ann", NEWS)


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
    world.service.tell_user("ann", NEWS)
    assert world.outbox.told[session.id] == [NEWS]


async def test_the_rooms_of_a_user(world: World) -> None:
    ann, ben = await world.enter(ANN, "b"), await world.enter(BEN, "b")
    await world.enter(ANN, "a")
    await world.enter(BEN, "c")
    await world.post(ben, 1, 2, 3)
    await world.service.read(ann, 1)
    client = world.client(ANN, "@me:ann")
    rooms = {"a": {"unread": 0, "last": 0}, "b": {"unread": 2, "last": 3}}
    assert await world.service.sessions.enter(client) == rooms
    assert await world.service.sessions.rooms_of("ann") == rooms


@pytest.mark.parametrize("name", ["@me:ann", "@me:ben", "@me/ann", "@you", "@"])
async def test_a_session_has_no_other_name(world: World, name: str) -> None:
    with pytest.raises(Refusal) as refusal:
        world.service.find(name, ANN)
    assert refusal.value.code in ("forbidden", "bad_room")
