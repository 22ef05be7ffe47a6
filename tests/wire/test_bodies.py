"""Bodies: how large, how many binaries, and what must not be in one."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from socketio.packet import Packet

from sioserver.errors import Refusal
from sioserver.wire.bodies import MAX_KEY, body_size, check_body, count_binaries

from .kit import JSON, answer, refused

PLACEHOLDER = {"_placeholder": True, "num": 0}


@pytest.mark.parametrize(
    ("body", "size"),
    [
        ("", 0),
        ("hi", 2),
        ("é", 2),
        ("🎉", 4),
        (b"", 0),
        (b"\xff" * 9, 9),
        (None, 1),
        (True, 1),
        (7, 1),
        (2**64 - 1, 9),
        (-(2**63), 9),
        (1.5, 9),
        ([], 1),
        (["hi", b"hi"], 1 + 3 + 4),
        ({"a": 1}, 1 + 2 + 1),
    ],
)
def test_the_size_of_a_body(body: Any, size: int) -> None:
    assert body_size(body) == size


@given(JSON)
def test_what_has_a_size_can_be_stored(body: Any) -> None:
    try:
        size = body_size(body)
    except Refusal:
        return
    stored = msgspec.msgpack.encode(body)
    assert size <= len(stored) <= size + 5
    assert msgspec.msgpack.decode(stored) == body


@pytest.mark.parametrize(
    "body",
    [
        PLACEHOLDER,
        {"_placeholder": True},
        {"_placeholder": True, "num": "0"},
        {"_placeholder": 1, "num": 0},  # python-socketio asks only whether it is truthy
        {"_placeholder": "yes", "num": 0},
        [1, [2, {"a": {"b": [PLACEHOLDER]}}]],
        {"_placeholder": False, "a": {"_placeholder": {"_placeholder": True}}},
        {"_placeholder": b"", "num": 0},  # becomes a true one where it is encoded
        [b"x", PLACEHOLDER],
        ["_placeholder", PLACEHOLDER],
    ],
)
def test_what_looks_like_an_attachment_is_refused(body: Any) -> None:
    with pytest.raises(Refusal) as caught:
        check_body(body, 1000, "the message")
    assert caught.value.code == "bad_request"
    assert caught.value.message == (
        "the message has an object with '_placeholder' in it, a name that Socket.IO itself uses"
    )


@pytest.mark.parametrize(
    "body",
    [
        "_placeholder",
        b"_placeholder",
        ["_placeholder", True],
        {"text": '{"_placeholder": true, "num": 0}'},
        {"_placeholder": False, "num": 0},
        {"_placeholder": 0, "num": 0},
        {"_placeholder": None},
        {"_Placeholder": True, "placeholder": True, "_placeholders": True},
        {"name": "_placeholder", "value": True},
    ],
)
def test_what_only_speaks_of_it_is_let_through(body: Any) -> None:
    check_body(body, 1000, "the message")


@given(st.lists(JSON, max_size=3), JSON)
def test_no_accepted_body_changes_another_in_the_same_packet(around: list[Any], body: Any) -> None:
    """As python-socketio reads what was sent, which takes more for an attachment than others do."""
    bodies = [*around, {"_placeholder": body, "num": 0}, b"binary"]
    try:
        check_body(bodies, 100_000, "the message")
    except Refusal:
        return
    text, *attachments = Packet(3, [bodies]).encode()
    received = Packet(encoded_packet=text)
    for attachment in attachments:
        received.add_attachment(attachment)
    assert received.data == [bodies]


@pytest.mark.parametrize(
    ("body", "number"),
    [
        (None, 0),
        ("text", 0),
        (b"", 1),
        ([b"1", "2", [b"3"]], 2),
        ({"a": b"1", "b": {"c": [b"2", b"2"]}, "d": {}}, 3),
        ([b"x"] * 10, 10),
    ],
)
def test_binaries_are_counted(body: Any, number: int) -> None:
    assert count_binaries(body) == number


@given(JSON)
def test_there_are_as_many_binaries_as_attachments(body: Any) -> None:
    encoded = Packet(3, [body]).encode()
    assert count_binaries(body) == (len(encoded) - 1 if isinstance(encoded, list) else 0)


def test_a_large_body_is_refused_before_it_is_looked_through() -> None:
    assert refused(check_body, [PLACEHOLDER] * 10, 100, "the event") == "too_large"


LARGE = st.sampled_from([0, 1, -1]).flatmap(
    lambda by: st.sampled_from([2**31, 2**32, 2**53, 2**63, -(2**53), -(2**63)]).map(
        lambda number: number + by
    )
)
NAMES = st.sampled_from(["a", "n" * MAX_KEY, "n" * (MAX_KEY + 1), "__proto__", "Ïӓ"])


@given(
    st.recursive(
        LARGE | st.booleans() | st.text("aϏӓ", max_size=3) | st.just(1e300),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.tuples(inner)
            | st.dictionaries(NAMES, inner, max_size=2)
        ),
        max_leaves=8,
    )
)
def test_a_number_or_a_name_that_is_too_large_is_found_wherever_it_is(body: Any) -> None:
    def wrong(part: Any) -> bool:
        if isinstance(part, dict):
            return any(len(name) > MAX_KEY or wrong(value) for name, value in part.items())
        if isinstance(part, list | tuple):
            return any(map(wrong, part))
        return type(part) is int and abs(part) > 2**53

    found = answer(check_body, body, 1_000_000, "it")
    assert isinstance(found, Refusal) == wrong(body)


@given(
    st.lists(st.fixed_dictionaries({"x": st.floats(0, 1), "y": st.floats(0, 1)}), min_size=50),
    st.none()
    | st.sampled_from([{"n": 2**53 + 1}, [-(2**63)], {"ʬ" * (MAX_KEY + 1): 0}, PLACEHOLDER]),
    st.integers(0, 50),
)
def test_what_is_wrong_is_found_between_a_hundred_fractions(
    points: list[Any], wrong: Any, place: int
) -> None:
    """Whose bytes look like anything."""
    body = points if wrong is None else [*points[:place], wrong, *points[place:], b"binary"]
    assert isinstance(answer(check_body, body, 1_000_000, "it"), Refusal) == (wrong is not None)


@pytest.mark.parametrize("name", ["__proto__", "constructor", "prototype", "toString", "\0", ""])
def test_no_name_of_a_member_is_special(name: str) -> None:
    """JSON.parse makes a member like any other of each, so they are passed on as they are."""
    check_body({name: {name: 1}}, 100, "it")


def test_who_sends_a_number_that_would_be_rounded_is_told_what_to_do() -> None:
    with pytest.raises(Refusal, match=r"beyond 2\*\*53 .* as a text"):
        check_body({"id": 2**60 + 1}, 100, "the message")
