"""Frames of the tutorial's dialect, without a connection."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sioserver import wire
from sioserver.errors import Refusal
from sioserver.gateway import tutorial
from sioserver.gateway.tutorial import Said
from sioserver.model import Counts, Event, Message, Position, PresenceDiff, User

ANN, BEN = User("ann", "Ann"), User("ben", "Ben")
TWO = Counts(2, 5)


@pytest.mark.parametrize(
    ("frame", "said"),
    [
        ({"event": "auth", "message": "t"}, Said("auth", message="t")),
        (
            {"event": "login", "name": "Ann", "roomid": "den", "uid": "a"},
            Said("login", "Ann", "den", "a"),
        ),
        ({"name": "Ann"}, Said("login", "Ann")),
        ({"name": "Ann", "roomid": 5, "uid": 7}, Said("login", "Ann", "5", "7")),
        ({"name": "", "roomid": "", "uid": ""}, Said("login")),
        ({"name": "Ann", "message": "hi"}, Said("message", "Ann", message="hi")),
        ({"event": "message", "message": None}, Said("message")),
        ({"event": "heartbeat", "message": "pong"}, Said("heartbeat", message="pong")),
        ({"event": "login", "name": "Ann", "more": 1}, Said("login", "Ann")),
    ],
)
def test_what_a_frame_says(frame: dict[str, Any], said: Said) -> None:
    assert tutorial.read(json.dumps(frame)) == said
    assert tutorial.read(f" \n{json.dumps(frame)} ") == said


@pytest.mark.parametrize("text", ["", "hi", "42", '"x"', "[]", "[1]", "null", "{", '{"a"', "{}x"])
def test_what_is_no_object(text: str) -> None:
    assert tutorial.read(text) is None


@given(st.text())
def test_any_text(text: str) -> None:
    try:
        tutorial.read(text)
    except Refusal:
        return  # and nothing else


def told(event: Event, but: Collection[str] = ()) -> list[dict[str, Any]]:
    return [json.loads(text) for text in tutorial.tell(event, "den", TWO, but)]


@pytest.mark.parametrize("number", ["1e999", "-1e999", "9" * 5000, "1e999,"])
def test_what_a_browser_reads_is_not_passed_on_as_a_text(number: str) -> None:
    text = f'{{"event":"message","name":"Ann","message":"not hers","num":{number}}}'
    if number.endswith(","):
        assert tutorial.read(text) is None  # no browser reads that either
    else:
        with pytest.raises(Refusal, match="out of range"):
            tutorial.read(text)


def test_a_message() -> None:
    message = Message("m", 5, "ann", "Ann", "hi", 0)
    assert told(wire.message_event(message, "e")) == [
        {"event": "message", "name": "Ann", "message": "hi", "num": 2, "total": 5}
    ]


def test_who_came_and_who_left_but_nobody_is_told_of_themselves() -> None:
    diff = wire.presence_event(PresenceDiff(TWO, [ANN, BEN], [User("cy", "Cy")]))
    came = {"event": "login", "roomid": "den", "num": 2, "total": 5}
    frames = [
        {**came, "name": "Ann", "uid": "ann"},
        {**came, "name": "Ben", "uid": "ben"},
        {"event": "logout", "name": "Cy", "num": 2},
    ]
    assert told(diff) == frames
    assert told(diff, ["ann"]) == frames[1:]


def test_a_gap() -> None:
    [gap] = told(wire.gap_event(3, 5, Position("e", 5)))
    assert gap == {"event": "gap", "message": "the messages 3 to 5 could not be recovered"}


@pytest.mark.parametrize(
    "event",
    [
        wire.typing_event(ANN, on=True),
        wire.read_event(ANN, 5),
        wire.notice_event("token_expiring", "soon"),
        Event("message", {"name": "Ann", "body": None, "deleted": 5}, Position("e", 1)),
        Event("whatever", {}, before=(1,)),
    ],
)
def test_what_the_dialect_has_no_word_for(event: Event) -> None:
    assert told(event) == []


@given(st.binary())
def test_binary_is_said_in_base64(data: bytes) -> None:
    message = Message("m", 5, "ann", "Ann", [data], 0)
    [frame] = told(wire.message_event(message, "e"))
    assert list(frame["message"][0]) == ["base64"]


def test_what_cannot_be_said() -> None:
    with pytest.raises(TypeError):
        tutorial.binary(object())
