"""Who has not said who they are, and what they hear of each other."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from sioserver.auth import Identity
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

    def listen(self, room: str) -> None:
        self.calls.append(("listen", room))

    def unlisten(self, room: str) -> None:
        self.calls.append(("unlisten", room))

    def tell(self, room: str, event: Event) -> None:
        self.calls.append(("tell", room, event.payload["text"]))


def test_all_others_hear_it_here_and_elsewhere() -> None:
    hub, engine, box = Hub(Metrics()), Engine(), Outbox()
    outbox: Any = box
    known: Any = engine
    room = Anteroom(known, hub)
    one, two, three = (
        Client(name, Identity(User(name, "")), anteroom.ROOM, outbox) for name in "123"
    )
    for client in (one, two, three):
        room.enter(client)
    room.say(two, "hello")
    assert box.heard == [("1", "hello"), ("3", "hello")]
    room.leave(one)
    room.leave(one)
    room.say(three, "again")
    assert box.heard[2:] == [("2", "again")]
    hub.on_event(anteroom.ROOM, Event(anteroom.SAID, {"text": "from elsewhere"}), "n")
    assert box.heard[3:] == [("2", "from elsewhere"), ("3", "from elsewhere")]
    room.leave(two)
    room.leave(three)
    name = anteroom.ROOM
    assert engine.calls == [
        ("listen", name),
        ("tell", name, "hello"),
        ("tell", name, "again"),
        ("unlisten", name),
    ]
    assert len(hub) == 0
