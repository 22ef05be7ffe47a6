"""Whose it is what comes over the bus, by its channel and its first byte."""

from __future__ import annotations

from typing import Any, cast

import pytest

from sioserver.config.schema import Redis as Settings
from sioserver.engine.redis_hearing import Hearing
from sioserver.engine.redis_keys import Keys
from sioserver.engine.redis_servers import Redis
from sioserver.model import EVERYWHERE

from .conftest import Listener

KEYS = Keys("heard")


Told = list[tuple[Any, ...]]


class Room:
    name = "den"


ROOM = Room()


class Part:
    """One part of the engine; writes down, under its name, what it is told."""

    def __init__(self, name: str, told: Told) -> None:
        self._name = name
        self._told = told
        self.by_channel = {KEYS.room("den").channel: ROOM}

    def left(self, body: bytes) -> str | None:
        if body == b"?":
            raise ValueError("no node has said that")
        return body.decode() or None  # none: it was this node

    def on_bus(self, *what: Any) -> None:
        self._told.append((self._name, *what))

    def on_room(self, *what: Any) -> None:
        self._told.append((self._name, *what))

    def on_subscribed(self, channels: list[str]) -> None:
        self._told.append((self._name, "hears", *channels))

    def on_deaf(self) -> None:
        self._told.append((self._name, "deaf"))


@pytest.fixture
def told() -> Told:
    return []


@pytest.fixture
async def hearing(told: Told) -> Hearing:
    """With a bus that never begins: what comes is what the test says."""
    redis = Redis(Settings(), name="test", on_connected=lambda: None, on_lost=lambda reason: None)
    names = ("watch", "members", "presence", "nodes", "tokens", "moderation")
    parts: dict[str, Any] = {name: Part(name, told) for name in names}
    hearing = Hearing(redis, KEYS, **parts)
    hearing._listener = Listener()
    hearing.listened[ME] = "@me:ann"
    return hearing


DEN, ME = KEYS.room("den").channel, KEYS.room("@me:ann").channel
EVERYBODY = KEYS.room(EVERYWHERE).channel


@pytest.mark.parametrize(
    ("channel", "payload", "whose"),
    [
        (DEN, b"m1", ("watch", ROOM, b"m1")),
        (DEN, b"o1", ("watch", ROOM, b"o1")),
        (DEN, b"p1", ("presence", "den", b"1")),
        (DEN, b"e1", ("nodes", "den", b"1")),
        (DEN, b"d1", ("moderation", "den", b"1")),
        (ME, b"e1", ("nodes", "@me:ann", b"1")),
        (KEYS.nodes, b"n1", ("nodes", b"1")),
        (KEYS.tokens, b"r1", ("tokens", b"1")),
        (EVERYBODY, b"d1", ("moderation", EVERYWHERE, b"1")),
    ],
)
def test_each_part_is_told_what_is_its_own(
    hearing: Hearing, told: Told, channel: str, payload: bytes, whose: tuple[Any, ...]
) -> None:
    hearing._on_message(channel, payload)
    assert told == [whose]
    assert hearing.stats()["bus_foreign_total"] == 0


@pytest.mark.parametrize(
    ("channel", "payload"),
    [
        (DEN, b""), (DEN, b"n1"), (DEN, b"l?"), (ME, b"m1"), (ME, b""), (KEYS.nodes, b"r1"),
        (KEYS.tokens, b"n1"), (EVERYBODY, b"m1"),
    ],
)  # fmt: skip
def test_what_belongs_nowhere_is_counted(
    hearing: Hearing, told: Told, channel: str, payload: bytes
) -> None:
    hearing._on_message(channel, payload)
    assert told == []
    assert hearing.stats()["bus_foreign_total"] == 1


def test_what_comes_late_of_a_room_is_counted_apart(hearing: Hearing, told: Told) -> None:
    del hearing.listened[ME]
    hearing._on_message(ME, b"e1")
    assert told == []
    stats = hearing.stats()
    assert (stats["bus_unwatched_total"], stats["bus_foreign_total"]) == (1, 0)
    assert stats["rooms_listened"] == 0


def test_who_left_through_another_node_is_announced(hearing: Hearing) -> None:
    hearing._on_message(DEN, b"lann")
    hearing._on_message(DEN, b"l")
    listener = cast(Listener, hearing._listener)
    assert listener.left == [("den", "ann")]


def test_a_listener_that_fails_stops_nothing(
    hearing: Hearing, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(hearing._listener, "on_left", lambda *_: 1 / 0)
    hearing._on_message(DEN, b"lann")
    assert "a leave could not be passed on" in caplog.text


def test_the_copies_are_told_what_the_bus_tells(hearing: Hearing, told: Told) -> None:
    hearing._on_subscribed([DEN])
    hearing._on_deaf()
    copies = ("watch", "tokens", "moderation")
    assert told == [
        *((name, "hears", DEN) for name in copies),
        *((name, "deaf") for name in copies),
    ]
