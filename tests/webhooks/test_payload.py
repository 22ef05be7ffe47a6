"""What an endpoint is sent, and the proof that goes with it."""

import json
from math import inf

import msgspec

from sioserver.engine.base_webhooks import Note
from sioserver.model import Act, Message, Position
from sioserver.webhooks.payload import (
    MOST_BYTES,
    Event,
    body,
    cut,
    entry,
    gap,
    headers,
    note,
    sign,
)

from .kit import SECRET, verify

TOLD = Message("m1", 7, "ann", "Ann", {"text": "hi", "data": b"\x00\xff"}, 1_700_000_000_123)


def test_a_message() -> None:
    event = entry("a", "e1", TOLD)
    assert event.after == Position("e1", 7)
    assert json.loads(event.body) == {
        "id": "a@e1.7",
        "type": "message",
        "room": "a",
        "at": 1_700_000_000_123,
        "position": "e1.7",
        "message": {
            "id": "m1",
            "offset": 7,
            "user": "ann",
            "name": "Ann",
            "body": {"text": "hi", "data": "AP8="},
            "at": 1_700_000_000_123,
        },
    }


def test_an_operation() -> None:
    told = Message("m1", 8, "ben", "Ben", "hello", 5, kind="edit", target=7)
    found = json.loads(entry("a", "e1", told).body)
    assert found["type"] == "edit"
    assert found["position"] == "e1.8"
    assert (found["edit"]["offset"], found["edit"]["body"]) == (7, "hello")


def test_a_gap() -> None:
    event = gap("a", 3, Position("e1", 6), 5)
    assert event.after == Position("e1", 6)
    found = json.loads(event.body)
    assert (found["type"], found["from"], found["to"]) == ("gap", 3, 6)
    assert found["id"] != json.loads(entry("a", "e1", TOLD).body)["id"]


def test_who_came() -> None:
    told = Note(1_700_000_000_000_001, "join", {"user": "ann", "name": "Ann", "guest": False}, 5)
    assert json.loads(note("a/b", told).body) == {
        "id": "a/b@1700000000000001",
        "type": "join",
        "room": "a/b",
        "at": 5,
        "generation": 1_700_000_000_000_001,
        "user": "ann",
        "name": "Ann",
        "guest": False,
    }


def test_what_a_moderator_did() -> None:
    act = Act("ban", "mod", 1_700_000_000.0, "ann", inf, "spam")
    told = Note(7, "moderation", msgspec.to_builtins(act), 1_700_000_000_000)
    assert json.loads(note("*", told).body) == {
        "id": "*@7",
        "type": "moderation",
        "room": "*",
        "at": 1_700_000_000_000,
        "generation": 7,
        "what": "ban",
        "by": "mod",
        "user": "ann",
        "until": None,
        "reason": "spam",
    }


def test_the_body_is_one_object() -> None:
    events = [entry("a", "e1", TOLD), gap("a", 8, Position("e1", 9), 5)]
    found = json.loads(body("crm", events))
    assert found["webhook"] == "crm"
    assert [event["type"] for event in found["events"]] == ["message", "gap"]


def test_a_request_is_not_too_large_unless_one_event_is() -> None:
    def event(size: int) -> Event:
        return Event(Position("e", 1), 0, b"x" * size)

    assert len(cut([event(MOST_BYTES // 2)] * 3)) == 2
    assert len(cut([event(MOST_BYTES + 1)] * 3)) == 1
    assert cut([]) == []


def test_the_signature_is_the_one_of_the_documentation() -> None:
    content = b'{"webhook":"crm","events":[]}'
    found = headers(SECRET, 1_700_000_000.9, content)
    verify(found, content, 1_700_000_100.0)
    assert found["Sioserver-Signature"].startswith("t=1700000000,v1=")
    assert len(sign(SECRET, 5, content)) == 64
    assert len({sign(SECRET, 5, content), sign(SECRET, 6, content), sign(SECRET, 5, b"")}) == 3
