"""What the server says, as values."""

from __future__ import annotations

from typing import Any

import pytest

from sioserver.client import payloads
from sioserver.client.payloads import Changed, Hits, Member, Received, Sent
from sioserver.errors import Refusal
from sioserver.model import User

MESSAGE = {"id": "m", "offset": 3, "user": "ann", "name": "Ann", "body": [b"\0"], "at": 7}


def test_a_message_of_a_newer_server_may_say_more() -> None:
    assert payloads.message(MESSAGE | {"mood": "good"}) == Received(
        "m", 3, "ann", "Ann", [b"\0"], 7
    )


def test_a_message_that_says_too_little_is_an_error() -> None:
    with pytest.raises(KeyError, match="at"):
        payloads.message({name: value for name, value in MESSAGE.items() if name != "at"})


@pytest.mark.parametrize("code", ["rate_limited", "of_tomorrow"])
@pytest.mark.parametrize("temporary", [True, False])
def test_a_refusal_is_as_the_server_says(code: str, temporary: bool) -> None:
    body = {"code": code, "message": "no", "temporary": temporary, "retry_after": 2.5}
    refusal = payloads.refusal(body)
    found = (refusal.code, refusal.message, refusal.temporary, refusal.retry_after)
    assert found == (code, "no", temporary, 2.5)


def test_a_rejection_by_the_server_is_its_refusal() -> None:
    why = payloads.rejection({"message": "x", "data": {"code": "forbidden", "temporary": False}})
    assert isinstance(why, Refusal)
    assert (why.code, why.temporary) == ("forbidden", False)


@pytest.mark.parametrize("answer", [None, "bad gateway", {}, {"data": "x"}, {"data": {"x": 1}}])
def test_a_rejection_by_anybody_else_is_a_lost_connection(answer: Any) -> None:
    assert isinstance(payloads.rejection(answer), ConnectionError)


@pytest.mark.parametrize(
    ("notice", "code", "reason"),
    [
        ({}, "kicked", "removed from the room"),
        ({"code": "replaced", "message": "elsewhere"}, "replaced", "elsewhere"),
        ({"code": "of_tomorrow", "message": "so long"}, "kicked", "so long"),
    ],
)
def test_a_farewell_says_why(notice: dict[str, Any], code: str, reason: str) -> None:
    why = payloads.farewell(notice)
    assert (why.code, why.reason) == (code, reason)


def test_answers_as_values() -> None:
    assert payloads.sent({"ok": True, "id": "m", "offset": 3, "at": 7}) == Sent("m", 3, 7)
    answer = {"ok": True, "id": "m", "target": 3, "offset": 4, "at": 8}
    assert payloads.changed(answer) == Changed("m", 3, 4, 8)
    found = {"items": [MESSAGE], "complete": False}
    assert payloads.hits(found) == Hits([payloads.message(MESSAGE)], None, False)
    assert payloads.hits(found | {"next": 3}).next == 3


def test_people() -> None:
    ann = {"user": "ann", "name": "Ann", "state": "offline"}
    assert payloads.user(ann) == User("ann", "Ann")
    assert payloads.member(ann) == Member("ann", "Ann", "offline", None)
    assert payloads.member(ann | {"seen": 7}).seen == 7
    assert payloads.peer({}) is None
    assert payloads.peer({"peer": ann}) == User("ann", "Ann")
