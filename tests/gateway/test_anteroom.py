"""Who has not said who they are, and what they hear of each other."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from typing import Any

import pytest

from sioserver.auth import Identity
from sioserver.errors import Refusal
from sioserver.gateway import anteroom
from sioserver.gateway.anteroom import Anteroom
from sioserver.hub import Client, Hub
from sioserver.metrics import Metrics
from sioserver.model import Event, User


class Outbox:
    """Writes down what clients hear."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, str]] = []

    def broadcast(self, clients: Collection[Client], event: Event) -> Sequence[Client]:
        assert event.name == anteroom.SAID
        assert event.position is None
        self.heard += [(client.id, event.payload["text"]) for client in clients]
        return ()


class Engine:
    """Writes down what it is asked for."""

    def __init__(self) -> None:
        self.calls: list[Any] = []

    def __getattr__(self, name: str) -> Any:
        def call(room: str, *event: Event) -> None:
            self.calls.append((name, room, *(one.payload["text"] for one in event)))

        return call


class Rooms:
    """The rules of the room behind."""

    def __init__(self) -> None:
        self.visitors = self  # which is a part of it
        self.forgotten: list[str] = []
        self.asked: list[Any] = []
        self.banned: set[str] = set()
        self.slow: asyncio.Event | None = None

    async def overhear(self, client: Client, room: str) -> None:
        await self.visit(client.identity, room, client.address)

    def forget(self, client: Client) -> None:
        self.forgotten.append(client.id)

    def max_body(self, room: str) -> int:
        return {"hall": 10}[room]

    async def visit(self, identity: Identity, room: str, address: str | None) -> Any:
        if self.slow is not None:
            await self.slow.wait()
        self.asked.append((identity.user.id, room, address))
        if identity.user.id in self.banned:
            raise Refusal("banned")
        return identity.user.id

    async def pass_text(self, visitor: Any, text: str) -> str:
        return f"{visitor}: {text}"


class House:
    def __init__(self) -> None:
        self.hub, self.engine, self.rooms, self.box = Hub(Metrics()), Engine(), Rooms(), Outbox()
        parts: Any = self.engine, self.hub, self.rooms
        self.anteroom = Anteroom(*parts, "hall")

    def client(self, name: str, room: str = anteroom.ROOM) -> Client:
        outbox: Any = self.box
        return Client(name, Identity(User(name, "")), room, outbox)


@pytest.fixture
async def house() -> House:
    return House()


NAME = anteroom.ROOM


async def test_all_others_hear_it_here_and_elsewhere(house: House) -> None:
    one, two, three = map(house.client, "123")
    for client in (one, two, three):
        await house.anteroom.enter(client)
    house.anteroom.say(two, "hello")
    assert house.box.heard == [("1", "hello"), ("3", "hello")]
    house.anteroom.leave(one)
    house.anteroom.leave(one)
    house.anteroom.say(three, "again")
    assert house.box.heard[2:] == [("2", "again")]
    house.hub.on_event(NAME, Event(anteroom.SAID, {"text": "from elsewhere"}), "n")
    assert house.box.heard[3:] == [("2", "from elsewhere"), ("3", "from elsewhere")]
    house.anteroom.say(None, "from nobody here")
    assert house.box.heard[5:] == [("2", "from nobody here"), ("3", "from nobody here")]
    house.anteroom.leave(two)
    house.anteroom.leave(three)
    assert house.engine.calls == [
        ("listen", NAME),
        ("watch", "hall"),
        ("tell", NAME, "hello"),
        ("tell", NAME, "again"),
        ("tell", NAME, "from nobody here"),
        ("unlisten", NAME),
        ("unwatch", "hall"),
    ]
    assert len(house.hub) == 0


async def test_the_room_behind_is_watched_as_long_as_somebody_is_in_either(house: House) -> None:
    waiting, inside = house.client("1"), house.client("2", "hall")
    await house.anteroom.enter(waiting)
    house.hub.begin(inside)
    assert house.hub.remove(inside) is False
    house.hub.begin(inside)
    house.anteroom.leave(waiting)
    assert house.engine.calls[2:] == [("unlisten", NAME)]
    assert house.hub.remove(inside) is True


async def test_who_may_not_visit_the_room_hears_nothing(house: House) -> None:
    house.rooms.banned.add("1")
    with pytest.raises(Refusal, match="banned"):
        await house.anteroom.enter(house.client("1"))
    assert house.rooms.forgotten == ["1"]
    assert house.engine.calls[-1] == ("unwatch", "hall")
    assert len(house.hub) == 0


async def test_who_is_being_asked_about_can_be_found_and_hears_nothing_yet(house: House) -> None:
    house.rooms.slow = asyncio.Event()
    one = house.client("1")
    entering = asyncio.create_task(house.anteroom.enter(one))
    await asyncio.sleep(0)
    assert list(house.hub.clients("hall")) == [one]
    house.anteroom.say(None, "too early")
    house.rooms.slow.set()
    await entering
    house.anteroom.say(None, "hello")
    assert house.box.heard == [("1", "hello")]


async def test_what_may_be_said(house: House) -> None:
    ann = Identity(User("ann", "Ann"))
    assert await house.anteroom.check(ann, "192.0.2.7", "hello") == "ann: hello"
    assert house.rooms.asked == [("ann", "hall", "192.0.2.7")]
    with pytest.raises(Refusal, match="11 bytes, at most 10") as refused:
        await house.anteroom.check(ann, None, "\xe4" * 5 + "x")
    assert (refused.value.code, refused.value.limit) == ("too_large", "max_body")
