"""Edits, deletes and reactions: what is understood, and what clients are told."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from sioserver import wire
from sioserver.errors import Refusal
from sioserver.model import MAX_OFFSET, Event, Message, Page, Position, Published
from sioserver.wire import EditRequest, HistoryRequest, ReactRequest, Target

from ..fakes import message, page_of
from .kit import ARGS, answer


@pytest.mark.parametrize(
    ("named", "target"),
    [
        ({"id": "m1"}, Target(None, "m1")),
        ({"offset": 7}, Target(7, None)),
        ({"offset": 7.0, "id": None}, Target(7, None)),
        ({"offset": MAX_OFFSET, "id": "m1"}, Target(MAX_OFFSET, "m1")),
    ],
)
def test_a_message_is_named(named: dict[str, Any], target: Target) -> None:
    assert wire.parse_delete([named]) == target
    assert wire.parse_edit([{**named, "body": None}], 9) == EditRequest(target, None)
    assert wire.parse_react([{**named, "emoji": "👍"}]) == ReactRequest(target, "👍", True)


@pytest.mark.parametrize(
    "named",
    [
        {},
        {"id": None, "offset": None},
        {"id": ""},
        {"id": 5},
        {"id": "a b"},
        {"id": "x" * 129},
        {"offset": 0},
        {"offset": -1},
        {"offset": "1"},
        {"offset": 1.5},
        {"offset": True},
        {"offset": MAX_OFFSET + 1},
        {"offset": [1]},
        {"offset": 1, "to": 2},
    ],
)
def test_a_message_that_is_not_named(named: dict[str, Any]) -> None:
    for parse in (
        lambda: wire.parse_delete([named]),
        lambda: wire.parse_edit([{**named, "body": "x"}], 9),
        lambda: wire.parse_react([{**named, "emoji": "x"}]),
    ):
        with pytest.raises(Refusal) as refused:
            parse()
        assert refused.value.code == "bad_request"


@pytest.mark.parametrize("args", [[], [{"id": "m"}, 1], [["m"]], ["m"], [5]])
def test_they_take_one_object(args: list[Any]) -> None:
    for parse in (wire.parse_delete, wire.parse_react, lambda args: wire.parse_edit(args, 9)):
        with pytest.raises(Refusal) as refused:
            parse(args)
        assert refused.value.code == "bad_request"


def test_the_body_of_an_edit_is_that_of_a_message() -> None:
    assert wire.parse_edit([{"id": "m", "body": {"a": b"x"}}], 99).body == {"a": b"x"}
    for body, code in (
        ("x" * 10, "too_large"),
        (2**53 + 1, "bad_request"),
        ("\ud800", "bad_request"),
        ({"_placeholder": True}, "bad_request"),
    ):
        with pytest.raises(Refusal) as refused:
            wire.parse_edit([{"id": "m", "body": body}], 9 if code == "too_large" else 99)
        assert refused.value.code == code
    with pytest.raises(Refusal, match="body"):
        wire.parse_edit([{"id": "m"}], 9)


EMOJI = [
    "👍",
    "❤️",
    "1️⃣",
    "👨‍👩‍👧‍👦",
    "👨🏻‍❤️‍💋‍👨🏽",
    "🏴\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f",
    "🇰🇷",
    "\U0001fae8",  # Unicode 15
    "\U0001fae9",  # 16
    "\U0001faf1\U0001f3fb\u200d\U0001faf2\U0001f3ff",
    "\U0001fcff",  # not given to anything yet
    "+1",
    ":tada:",
    "好",
    "x" * 32,
]


@pytest.mark.parametrize("emoji", EMOJI)
def test_what_one_may_react_with(emoji: str) -> None:
    request = wire.parse_react([{"offset": 1, "emoji": emoji, "on": False}])
    assert request == ReactRequest(Target(1, None), emoji, False)


@pytest.mark.parametrize(
    "emoji",
    [
        None, 5, b"x", [], "", "x" * 33, "a b", " ", "\n", "\u200b", "\u200d", "\ufe0f", "\u3164",
        "\ud800", "a\u202eb", "x\U000e0067", "\ue000", "\u2800", "_", "_placeholder", "__proto__",
        "\u0378", "\U0001ffff", "\U000e01f0",
    ],
)  # fmt: skip
def test_what_one_may_not_react_with(emoji: Any) -> None:
    with pytest.raises(Refusal) as refused:
        wire.parse_react([{"offset": 1, "emoji": emoji}])
    assert refused.value.code == "bad_request"


@pytest.mark.parametrize("on", [1, "true", None, []])
def test_a_reaction_is_on_or_off(on: Any) -> None:
    with pytest.raises(Refusal, match="true or false"):
        wire.parse_react([{"offset": 1, "emoji": "x", "on": on}])


@given(ARGS, st.sampled_from(["edit", "delete", "react"]))
def test_whatever_comes_is_a_request_or_a_refusal(args: list[Any], event: str) -> None:
    parse: Any = {
        "edit": lambda: wire.parse_edit(args, 99),
        "delete": lambda: wire.parse_delete(args),
        "react": lambda: wire.parse_react(args),
    }[event]
    answer(parse)


# ---------------------------------------------------------------------------- what is told

ENTRY = Message("m1", 9, "ben", "Ben", None, 77, 3, "reaction", target=4, emoji="x", on=False)
WHO = {"id": "m1", "offset": 4, "user": "ben", "name": "Ben", "at": 77}


@pytest.mark.parametrize(
    ("entry", "more"),
    [
        (replace(ENTRY, kind="edit", body=[1]), {"body": [1]}),
        (replace(ENTRY, kind="delete"), {}),
        (replace(ENTRY, count=2), {"emoji": "x", "on": False, "count": 2}),
    ],
)
def test_events(entry: Message, more: dict[str, Any]) -> None:
    event = wire.message_event(entry, "e", "ann")
    assert event == Event(entry.kind, {**WHO, **more}, Position("e", 9))
    assert wire.state_of(event) is None
    # in a page of history it says which it is, and where
    assert wire.operation_item(entry) == {
        "event": entry.kind,
        "entry": 9,
        **WHO,
        **more,
    }


def test_a_message_with_everything() -> None:
    said = replace(
        message(3),
        reply_to="m1",
        mentions=("ann", "cid"),
        edited=5,
        reactions={"x": ("ann", "ben"), "y": ("ben",)},
    )
    told = wire.message_payload(message(3)) | {
        "reply_to": "m1",
        "mentions": ["ann", "cid"],
        "edited": 5,
        "reactions": {"x": 2, "y": 1},
    }
    assert wire.message_payload(said) == told
    assert wire.message_payload(said, "ann") == {**told, "mine": ["x"]}
    assert wire.message_payload(said, "cid") == told
    assert wire.message_event(said, "e").payload == told
    gone = replace(message(3), body=None, deleted=8)
    assert wire.message_payload(gone) == {
        **wire.message_payload(message(3)),
        "body": None,
        "deleted": 8,
    }


def test_a_page_with_operations_has_them_beside_the_messages() -> None:
    page = Page([message(8), ENTRY], 1, Position("e", 9), 3, 8, 10)
    answer = wire.history_answer(page, HistoryRequest(None, None, 2, operations=True), "ann")
    assert answer == {
        "ok": True,
        "items": [wire.message_payload(message(8))],
        "operations": [wire.operation_item(ENTRY)],
        "more": True,
        "next": 8,
        "position": "e.9",
    }
    assert "operations" not in wire.history_answer(page, HistoryRequest(None, None, 2), "ann")


def test_the_answer_says_which_message_and_where_the_entry_is() -> None:
    published = Published("m1", Position("e", 9), 77, duplicate=True, target=4)
    assert wire.operated_answer(published) == {
        "ok": True, "id": "m1", "offset": 9, "target": 4, "at": 77,
    }  # fmt: skip


def test_what_a_page_may_have_counts_what_a_message_has_beside_its_body() -> None:
    messages = [
        replace(message(n, "x"), mentions=("u" * 50,), reactions={"y" * 30: ("a",)})
        for n in range(1, 6)
    ]
    page = page_of(messages, 1, Position("e", 5))
    assert wire.entry_size(messages[0]) == 1 + 53 + 70
    cut = wire.cut_page(page, HistoryRequest(None, None, 9), 10, 300)
    assert [one.offset for one in cut.messages] == [4, 5]
    assert (cut.start, cut.end) == (4, 6)
    cut = wire.cut_page(page, HistoryRequest(None, 0, 9), 10, 300)
    assert [one.offset for one in cut.messages] == [1, 2]
    assert (cut.start, cut.end) == (1, 3)


def test_a_page_has_about_the_bytes_that_it_may_have() -> None:
    """Ids and emoji of four bytes for each character, as many as there may be."""
    reactions = {"\U0001f600" * 31 + chr(0x1F600 + n): ("ann",) for n in range(50)}
    mentions = tuple("\U0001f600" * 127 + chr(0x1F600 + n) for n in range(50))
    messages = [
        replace(message(n, ""), mentions=mentions, reactions=reactions) for n in range(1, 100)
    ]
    wanted = HistoryRequest(None, None, 99)
    page = wire.cut_page(page_of(messages, 1, Position("e", 99)), wanted, 0, 400_000)
    told = orjson.dumps(wire.history_answer(page, wanted, "ann"))
    assert 350_000 < len(told) < 410_000
