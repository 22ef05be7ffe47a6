"""The table of events: which name leads where, with which arguments, to which answer.

What clients see of it over the wire is in tests/transport/test_namespace.py.
"""

from __future__ import annotations

from typing import Any

import pytest

from sioserver import wire
from sioserver.errors import Refusal
from sioserver.metrics.labels import EVENTS

from .kit import Desk

ALICE_AWAY = {"user": "alice", "name": "Alice", "state": "away"}


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.mark.parametrize(
    ("request_", "asked", "answer"),
    [
        (
            ["message", "hi", {"id": "m1"}],
            ("send", "hi", "m1"),
            {"ok": True, "id": "m1", "offset": 5, "at": 1234},
        ),
        (
            ["message", None],
            ("send", None, None),
            {"ok": True, "id": "m1", "offset": 5, "at": 1234},
        ),
        (
            ["edit", {"id": "m1", "body": [1]}],
            ("edit", wire.Target(None, "m1"), [1]),
            {"ok": True, "id": "m1", "offset": 6, "target": 5, "at": 1235},
        ),
        (
            ["delete", {"offset": 5}],
            ("delete", wire.Target(5, None)),
            {"ok": True, "id": "m1", "offset": 7, "target": 5, "at": 1236},
        ),
        (
            ["react", {"offset": 5, "id": "m1", "emoji": "👍", "on": False}],
            ("react", wire.Target(5, "m1"), "👍", False),
            {"ok": True, "id": "m1", "offset": 8, "target": 5, "at": 1237},
        ),
        (
            ["history", {"before": 9, "limit": 99}],
            ("history", 9, None, 50),
            {
                "ok": True,
                "items": [
                    {
                        "id": "m1",
                        "offset": 5,
                        "user": "alice",
                        "name": "Alice",
                        "body": "hi",
                        "at": 1234,
                    }
                ],
                "more": False,
                "position": "e.5",
            },
        ),
        (
            ["search", {"query": 'Hi "a b"', "before": 9, "limit": 99}],
            ("search", ("hi", "a b"), 9, 50),
            {
                "ok": True,
                "items": [
                    {
                        "id": "m1",
                        "offset": 5,
                        "user": "alice",
                        "name": "Alice",
                        "body": "hi",
                        "at": 1234,
                    }
                ],
                "complete": False,
                "searched_to": 3,
                "next": 3,
            },
        ),
        (
            ["members"],
            ("members", False),
            {"ok": True, "online": [ALICE_AWAY], "total": 2},
        ),
        (
            ["members", {"all": True}],
            ("members", True),
            {
                "ok": True,
                "online": [ALICE_AWAY],
                "total": 2,
                "members": [
                    ALICE_AWAY,
                    {"user": "bob", "name": "Bob", "state": "offline", "seen": 7},
                ],
            },
        ),
        (["read", 2], ("read", 2), {"ok": True, "unread": 3}),
        (["typing", True], ("typing", True), {"ok": True}),
        (["status", {"state": "away"}], ("status", "away"), {"ok": True, "state": "away"}),
        (["auth", {"token": "t"}], ("refresh", "t"), {"ok": True, "expires_at": 7.0}),
        (["leave"], ("leave for good",), {"ok": True}),
        (["move", 1, "e4"], ("relay", "move", [1, "e4"]), {"ok": True}),
    ],
)
async def test_the_table(
    desk: Desk, request_: list[Any], asked: tuple[Any, ...], answer: dict[str, Any]
) -> None:
    assert await desk.ask(*request_) == answer
    assert desk.service.asked == [asked]


def test_the_table_has_every_event_of_the_protocol(desk: Desk) -> None:
    assert set(desk.requests._in_room) == set(wire.CLIENT_EVENTS)
    assert set(EVENTS) >= set(wire.CLIENT_EVENTS)


@pytest.mark.parametrize("name", ["Message", "", "rooms", "x" * 100_000, 5, 1.5, True, None])
async def test_what_is_no_event(desk: Desk, name: Any) -> None:
    with pytest.raises(Refusal) as refused:
        await desk.ask(name, 1)
    assert refused.value.code == "unknown_event"
    assert len(refused.value.message) < 120
    assert desk.service.asked == []


@pytest.mark.parametrize(
    "request_",
    [
        ["message"],
        ["edit", {"id": "m1"}],
        ["delete"],
        ["react", {"id": "m1"}],
        ["read", -1],
        ["typing"],
        ["auth"],
        ["history", 1],
        ["leave", {}],
    ],
)
async def test_bad_arguments_get_no_further(desk: Desk, request_: list[Any]) -> None:
    with pytest.raises(Refusal) as refused:
        await desk.ask(*request_)
    assert refused.value.code == "bad_request"
    assert desk.service.asked == []


async def test_what_looks_like_an_attachment_gets_no_further(desk: Desk) -> None:
    for request in (
        ["message", {"_placeholder": True, "num": 9}],
        ["edit", {"offset": 5, "body": {"_placeholder": True, "num": 9}}],
        ["react", {"offset": 5, "emoji": "_placeholder"}],
        ["move", [{"_placeholder": 1}]],
    ):
        with pytest.raises(Refusal) as refused:
            await desk.ask(*request)
        assert refused.value.code == "bad_request"
    assert desk.service.asked == []


async def test_the_session_room(desk: Desk) -> None:
    answer = await desk.ask("rooms", room="@me:alice")
    assert answer == {"ok": True, "rooms": [{"room": "a", "unread": 1, "last": 2}]}
    for name in ("message", "history", "members", "read", "typing", "leave", "move", 5):
        with pytest.raises(Refusal) as refused:
            await desk.ask(name, room="@me:alice")
        assert refused.value.code == "unknown_event"


async def test_mentions(desk: Desk) -> None:
    answer = await desk.ask("mentions", {"after": 3}, room="@me:alice")
    assert desk.service.asked == [("mentions", "alice", 3)]
    assert [(one["number"], one["room"], one["offset"]) for one in answer["mentions"]] == [
        (4, "a", 5)
    ]


async def test_an_expired_token_in_the_session_room(desk: Desk) -> None:
    client = desk.client("@me:alice", expires_at=100.0)
    with pytest.raises(Refusal) as refused:
        await desk.requests.answer(client, "rooms", [])
    assert refused.value.code == "token_expired"
    assert desk.service.asked == []
