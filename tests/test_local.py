"""The clients of a room on one node, and what is kept for those who are behind."""

from __future__ import annotations

import pytest

from sioserver import wire
from sioserver.local import STATES, Client, LocalRoom
from sioserver.model import User

from .fakes import BEN, FakeOutbox, client


@pytest.fixture
def room() -> LocalRoom:
    return LocalRoom("lobby", presence=True)


def test_a_client_is_found_wherever_it_is(room: LocalRoom) -> None:
    outbox = FakeOutbox()
    one = client(outbox)
    assert not room.holds(one)
    live: dict[str, Client] = {}
    for place in (room.joining, room.behind, live):
        place[one.id] = one
        if place is live:
            room.clients[outbox] = live
        assert room.holds(one)
        assert not room.holds(client(outbox))  # another one of the same id
        assert room.is_live(one) == (place is live)
        room.drop(one)
        assert not room.holds(one)
    assert room.clients == {}


def test_who_reads_the_end_is_dropped_from_both_places(room: LocalRoom) -> None:
    one = client(FakeOutbox())
    room.joining[one.id] = room.behind[one.id] = one
    room.drop(client(FakeOutbox()))  # a stranger takes nobody along
    assert room.holds(one)
    room.drop(one)
    assert (room.joining, room.behind) == ({}, {})


def test_the_newest_of_a_state_takes_the_place_of_the_older(room: LocalRoom) -> None:
    on, off = wire.typing_event(BEN, on=True), wire.typing_event(BEN, on=False)
    assert room.keep("typing ben", on, None)
    assert room.keep(wire.PRESENCE, on, None)
    assert room.keep("typing ben", off, None)
    assert [*room.states.values()] == [(2, on, None), (3, off, None)]


def test_the_oldest_state_goes_but_never_the_counts(room: LocalRoom) -> None:
    event = wire.typing_event(User("u", "U"), on=True)
    room.keep(wire.PRESENCE, event, None)
    kept = [room.keep(f"typing {number}", event, None) for number in range(STATES + 1)]
    assert kept == [True] * (STATES - 1) + [False] * 2
    assert [*room.states][:2] == [wire.PRESENCE, "typing 2"]
    assert len(room.states) == STATES
