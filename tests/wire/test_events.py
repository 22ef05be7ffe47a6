"""What the server tells by itself."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from sioserver import wire
from sioserver.errors import DISCONNECTS, Disconnect
from sioserver.model import (
    Counts,
    Event,
    Mention,
    Position,
    PresenceDiff,
    RoomSettings,
    User,
)
from sioserver.wire.events import PRESENCE_LISTED

from ..fakes import ANN, BEN, diff, message
from .kit import JSON


@given(st.lists(JSON, max_size=3))
def test_an_ephemeral_event_never_ends_with_a_string(args: list[Any]) -> None:
    """A client would take it for its position."""
    events = [
        wire.presence_event(diff([ANN], [BEN], 1, 2)),
        wire.typing_event(ANN, on=True),
        wire.read_event(ANN, 7),
        wire.relayed_event("cursor", args, ANN),
        wire.notice_event("code", "message", event="message"),
        wire.farewell(Disconnect("kicked")),
    ]
    assert {event.name for event in events} > {"presence", "typing", "read", "notice"}
    for event in events:
        assert event.position is None
        assert isinstance(event.payload, dict)
    assert events[3].before == tuple(args)
    assert events[3].payload == wire.person(ANN)


MENTION = Mention(7, "den", "m3", 3, "ben", "Ben", 1234)


def test_ephemeral_events() -> None:
    ann, ben = {"user": "ann", "name": "Ann"}, {"user": "ben", "name": "Ben"}
    assert wire.presence_event(diff([ANN], [BEN], 1, 2)) == Event(
        "presence", {"online": 1, "total": 2, "joined": [ann], "left": [ben]}
    )
    assert wire.typing_event(ANN, on=False) == Event("typing", {**ann, "on": False})
    assert wire.read_event(ANN, 7) == Event("read", {**ann, "offset": 7})


def test_a_crowd_is_counted_and_not_all_of_it_named() -> None:
    crowd = [User(f"u{number}", f"U{number}") for number in range(PRESENCE_LISTED + 1)]
    event = wire.presence_event(diff(crowd, crowd, 500, 600))
    assert (event.payload["online"], event.payload["total"]) == (500, 600)
    assert event.payload["joined"] == event.payload["left"]
    assert [one["user"] for one in event.payload["joined"]] == [one.id for one in crowd[:-1]]


@pytest.mark.parametrize("code", DISCONNECTS)
def test_a_farewell_says_whether_to_come_back(code: str) -> None:
    payload = wire.farewell(Disconnect(code, "because")).payload
    assert payload == {
        "code": code,
        "message": "because",
        "number": DISCONNECTS[code].number,
        "reconnect": DISCONNECTS[code].reconnect,
    }


def test_a_gap_leaves_the_client_behind_it() -> None:
    assert wire.gap_event(3, 5, Position("e", 5)) == Event(
        "gap", {"from": 3, "to": 5}, Position("e", 5)
    )


def test_a_welcome_leaves_the_client_where_delivery_goes_on() -> None:
    event = wire.welcome_event(
        "lobby",
        ANN,
        Counts(2, 3),
        5,
        3,
        Position("e", 9),
        Position("e", 4),
        recovered=False,
        permissions=("join", "read"),
        settings=RoomSettings("tea", 2.5, True),
    )
    assert event.position == Position("e", 4)
    assert event.payload == {
        "room": "lobby",
        "user": "ann",
        "name": "Ann",
        "online": 2,
        "total": 3,
        "position": "e.9",
        "recovered": False,
        "unread": 5,
        "read": 3,
        "permissions": ["join", "read"],
        "topic": "tea",
        "slow_mode": 2.5,
        "read_only": True,
        "state": "online",
    }


def test_who_is_away_and_who_is_back() -> None:
    crowd = [User(f"u{number}", "") for number in range(PRESENCE_LISTED + 1)]
    event = wire.presence_event(PresenceDiff(Counts(1, 2), [], [], [BEN], crowd))
    assert event.payload["away"] == [wire.person(BEN)]
    assert len(event.payload["back"]) == PRESENCE_LISTED
    assert wire.presence_event(diff([ANN], [], 1, 1)).payload.keys().isdisjoint({"away", "back"})


def test_all_events_of_the_server_are_in_the_list() -> None:
    position = Position("e", 1)
    welcome = wire.welcome_event(
        "r", ANN, Counts(1, 1), 0, 0, position, position,
        recovered=True, permissions=[], settings=RoomSettings(),
    )  # fmt: skip
    made = [
        welcome,
        *(
            wire.message_event(replace(message(1), kind=kind), "e")
            for kind in ("message", "edit", "delete", "reaction")
        ),
        wire.gap_event(1, 1, position),
        wire.presence_event(diff([], [], 1, 1)),
        wire.typing_event(ANN, on=True),
        wire.read_event(ANN, 1),
        wire.room_event(RoomSettings()),
        wire.notice_event("c", "m"),
        wire.unread_event(wire.standing("r", 1, 2)),
        wire.mention_event(MENTION),
        wire.room_joined_event(wire.standing("r", 1, 2)),
        wire.room_left_event("r"),
    ]
    assert tuple(event.name for event in made) == wire.SERVER_EVENTS


def test_only_the_last_event_of_a_state_counts() -> None:
    states = [
        wire.presence_event(diff([ANN], [], 1, 1)),
        wire.typing_event(ANN, on=True),
        wire.read_event(ANN, 1),
        wire.room_event(RoomSettings("tea")),
    ]
    assert [wire.state_of(event) for event in states] == [
        wire.PRESENCE,
        "typing ann",
        "read ann",
        "room",
    ]
    assert wire.state_of(wire.typing_event(ANN, on=False)) == "typing ann"
    cursors = [
        wire.relayed_event(name, [at], user, latest=True)
        for name, at, user in (("at a", 1, ANN), ("at", 1, User("a ann", "")), ("at a", 2, ANN))
    ]
    one, other, same = map(wire.state_of, cursors)
    assert one == same != other
    news = [wire.relayed_event("shout", [], ANN), wire.notice_event("c", "m")]
    assert [wire.state_of(event) for event in news] == [None, None]


def test_the_welcome_of_a_session() -> None:
    rooms = [wire.standing("a", 1, 2, mentions=1), wire.standing("b", 0, 0, live=False)]
    rooms.append(wire.standing("@dm/ben", 3, 4, peer=User("ben", "Ben")))
    assert wire.session_event(BEN, rooms).payload == {
        "user": "ben",
        "name": "Ben",
        "rooms": [
            {"room": "a", "unread": 1, "last": 2, "mentions": 1},
            {"room": "b", "unread": 0, "last": 0, "live": False},
            {"room": "@dm/ben", "unread": 3, "last": 4, "peer": {"user": "ben", "name": "Ben"}},
        ],
    }
