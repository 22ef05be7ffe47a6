"""How entries are packed, and what is read of them with what was done to them since."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sioserver.engine.redis_entries import entries, opening, pack, pack_body, unpack
from sioserver.model import Message

_encode = msgspec.msgpack.encode

BODY = {"file": b"\x00\xff", "list": [1, None, -1.5]}
PLAIN = pack("id", "ann", "Ann", 17, BODY)
ANSWER = pack("id", "ann", "Ann", 17, BODY, 3, ("ben", "cid"))


def operation(kind: str, target: Any, *, on: Any = True, count: int = 0, body: Any = ...) -> bytes:
    """As operate.lua makes it."""
    items = ("id", "ben", "Ben", 18, kind, target, "x" if kind == "reaction" else "", on, count)
    return _encode(items if body is ... else (*items, body))


def state(number: int, edited: int = 0, deleted: int = 0, *reactions: Any) -> bytes:
    return _encode((number, edited, deleted, reactions))


def test_a_message_comes_back_as_it_was_packed() -> None:
    assert unpack(5, PLAIN, 4) == Message("id", 5, "ann", "Ann", BODY, 17, 4)
    assert unpack(5, ANSWER, 5) == Message(
        "id", 5, "ann", "Ann", BODY, 17, 5, reply_to=3, mentions=("ben", "cid")
    )
    for reply_to, mentions in (("m1", ()), (None, ("ben",)), (None, ())):
        message = unpack(5, pack("id", "ann", "Ann", 17, None, reply_to, mentions), 5)
        assert (message.reply_to, message.mentions, message.body) == (reply_to, mentions, None)


@pytest.mark.parametrize("data", [PLAIN, ANSWER])
def test_the_body_comes_last(data: bytes) -> None:
    """A script puts another one in its place."""
    new = data[: -len(pack_body(BODY))] + pack_body("new")
    assert unpack(5, new, 5) == msgspec.structs.replace(unpack(5, data, 5), body="new")


@pytest.mark.parametrize("data", [PLAIN, ANSWER])
def test_how_a_message_begins(data: bytes) -> None:
    begin = opening(unpack(5, data, 5))
    assert data[1:].startswith(begin)
    for other in (pack("id2", "ann", "Ann", 17, BODY), pack("id", "ann2", "Ann", 17, BODY)):
        assert not other[1:].startswith(begin)
    # whatever was done to it
    gone = msgspec.structs.replace(unpack(5, data, 5), body=None, mentions=(), deleted=19)
    assert opening(gone) == begin


def test_how_an_operation_begins() -> None:
    told = unpack(5, operation("edit", 3, body=BODY), 3)
    assert operation("edit", 3)[1:].startswith(opening(told))
    later = msgspec.structs.replace(told, at=19)
    assert not operation("edit", 3)[1:].startswith(opening(later))


def test_an_operation_comes_back() -> None:
    assert unpack(5, operation("edit", 3, body=BODY), 4) == Message(
        "id", 5, "ben", "Ben", BODY, 18, 4, "edit", target=3
    )
    assert unpack(5, operation("edit", 3), 4).body is None
    assert unpack(5, operation("reaction", 3, on=False, count=7), 4) == Message(
        "id", 5, "ben", "Ben", None, 18, 4, "reaction", target=3, emoji="x", on=False, count=7
    )


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x93\x01\x02\x03",
        b"\xc1",
        b"nonsense",
        b"\x95\xa1a",
        operation("unknown", 3),
        operation("delete", 5),
        operation("delete", 0),
        operation("delete", "3"),
        operation("reaction", 3, on=1),
    ],
)
def test_what_is_no_entry_is_a_value_error(data: bytes) -> None:
    with pytest.raises(ValueError):
        unpack(5, data, 5)


@given(st.binary(max_size=40), st.sampled_from([b"", b"\x95", b"\x97", b"\x99", b"\x9a"]))
def test_whatever_is_in_the_log_is_an_entry_or_none(data: bytes, shape: bytes) -> None:
    [(offset, _, size)] = entries([5, shape + data], None)
    assert (offset, size) == (5, len(shape + data))
    [(_, entry, _)] = entries([5, PLAIN], [data])
    assert entry is None or entry.id == "id"


def test_entries_of_a_room_without_operations_are_numbered_by_their_offsets() -> None:
    found = [
        (offset, entry and entry.number) for offset, entry, _ in entries([4, PLAIN, 5, b"x"], None)
    ]
    assert found == [(4, 4), (5, None)]


def test_entries_are_shown_as_they_are() -> None:
    found = [3, PLAIN, 4, PLAIN, 5, operation("reaction", 4, count=2), 6, PLAIN]
    states = [
        state(2, 19),
        state(3, 0, 0, "x", ("ben", "ann"), "y", ("ann",)),
        state(3),
        state(4, 0, 20),
    ]
    edited, liked, entry, deleted = (shown for _, shown, _ in entries(found, states) if shown)
    assert (edited.number, edited.edited, edited.deleted) == (2, 19, 0)
    assert (liked.number, liked.reactions) == (3, {"x": ("ben", "ann"), "y": ("ann",)})
    assert list(liked.reactions) == ["x", "y"]
    assert (entry.number, entry.kind, entry.count) == (3, "reaction", 2)
    assert (deleted.number, deleted.deleted) == (4, 20)


def test_a_body_is_told_once_for_all_edits_of_a_message() -> None:
    edits = [operation("edit", 1, body=BODY), operation("edit", 2), operation("edit", 1)]
    found: list[Any] = []
    for offset, data in enumerate(edits, 3):
        found += [offset, data]
    shown = [entry.body for _, entry, _ in entries(found, [state(2)] * 3) if entry]
    assert shown == [BODY, None, BODY]
