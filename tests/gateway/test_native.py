"""Frames of the native dialect, without a connection."""

from __future__ import annotations

import json
import math
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sioserver.gateway import native
from sioserver.gateway.native import Ask, Json, Msgpack
from sioserver.model import Event, Position
from sioserver.wire.strict import MAX_DEPTH

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]))
)
NAMES = st.text(st.characters(exclude_categories=["Cs"]))


def tree(leaves: Any) -> Any:
    return st.recursive(
        leaves,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4),
        max_leaves=8,
    )


@pytest.mark.parametrize(
    ("frame", "ask"),
    [
        (["leave"], Ask("leave", [], None)),
        (["leave", None], Ask("leave", [], None)),
        (["leave", None, 3], Ask("leave", [], 3)),
        (["message", "hi"], Ask("message", ["hi"], None)),
        (["message", "hi", 0], Ask("message", ["hi"], 0)),
        (["message", "hi", None, {"id": "x"}], Ask("message", ["hi", {"id": "x"}], None)),
        (["draw", None, 1, 2, 3], Ask("draw", [None, 2, 3], 1)),
        (["typing", False], Ask("typing", [False], None)),
    ],
)
def test_what_a_frame_asks_for(frame: list[Any], ask: Ask) -> None:
    assert native.read(frame) == ask


@pytest.mark.parametrize(
    "frame",
    [
        [],
        {},
        "message",
        None,
        [True],
        [None, "x"],
        ["message", "x", -1],
        ["message", "x", 1.0],
        ["message", "x", True],
        ["message", "x", "1"],
        ["message", "x", 2**53],
        ["draw", *range(native.MAX_ARGS)],
    ],
)
def test_what_is_no_frame(frame: Any) -> None:
    with pytest.raises(ValueError):
        native.read(frame)


def test_events_as_frames() -> None:
    payload = {"a": 1}
    assert native.event_frame(Event("typing", payload)) == ["typing", payload]
    durable = Event("message", payload, Position("e", 5))
    assert native.event_frame(durable) == ["message", payload, "e.5"]
    relayed = Event("draw", payload, before=(1, 2))
    assert native.event_frame(relayed) == ["draw", 1, None, 2, payload]
    assert native.event_frame(Event("draw", payload)) == ["draw", None, None, payload]
    assert native.ack_frame({"ok": True}, 5) == ["ack", {"ok": True}, 5]


@given(tree(SCALARS))
def test_both_ways_of_writing_bring_the_same(value: Any) -> None:
    frame = ["message", value]
    assert Json().loads(Json().dumps(frame)) == frame
    assert Msgpack().loads(Msgpack().dumps(frame)) == frame


@given(tree(SCALARS | st.binary()))
def test_whatever_msgpack_brings_can_be_written_as_json(value: Any) -> None:
    found = Msgpack().loads(msgspec.msgpack.encode(["message", value]))
    assert json.loads(Json().dumps(found))[0] == "message"


@given(st.binary())
def test_any_bytes(data: bytes) -> None:
    try:
        native.read(Msgpack().loads(data))
    except ValueError:
        return


@given(st.text())
def test_any_text(text: str) -> None:
    try:
        native.read(Json().loads(text))
    except ValueError:
        return


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


def test_how_deep_a_frame_may_be() -> None:
    for codec in (Json(), Msgpack()):
        deepest = nested(MAX_DEPTH)
        assert codec.loads(codec.dumps(deepest)) == deepest  # type: ignore[attr-defined]
        with pytest.raises(ValueError, match="deep"):
            codec.loads(codec.dumps(nested(MAX_DEPTH + 1)))  # type: ignore[attr-defined]
    with pytest.raises(ValueError):
        Msgpack().loads(b"\x91" * 100_000)


@pytest.mark.parametrize("value", [math.nan, math.inf, {1: 2}, {b"x": 1}])
def test_what_json_could_not_pass_on(value: Any) -> None:
    with pytest.raises(ValueError):
        Msgpack().loads(msgspec.msgpack.encode(["x", value]))
