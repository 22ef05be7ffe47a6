"""Reading packets: what the reference parser takes, and nothing else."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from socketio import packet as stock

from sioserver.transport.packet import (
    MAX_ATTACHMENTS,
    MAX_DEPTH,
    MAX_NAMESPACE,
    RESERVED,
    Packet,
    StrictJSON,
    check,
    depth,
    plain,
)

# what JSON has on the wire: whole numbers that stay exact, no lone surrogates in names
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]))
)
NAMES = st.text(st.characters(exclude_categories=["Cs"])).filter(
    lambda name: name != "_placeholder"
)


def tree(leaves: Any) -> Any:
    return st.recursive(
        leaves,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4),
        max_leaves=8,
    )


def received(packets: list[Any]) -> Packet:
    pkt = Packet(encoded_packet=packets[0])
    for attachment in packets[1:]:
        pkt.add_attachment(attachment)
    return pkt


@given(st.text() | st.from_regex(r"[0-7][0-9]{0,3}-?(/\w*,?)?[0-9]{0,18}[\[{].*", fullmatch=True))
def test_any_text_is_a_packet_or_a_value_error(text: str) -> None:
    try:
        pkt = Packet(encoded_packet=text) if text else None
    except ValueError:
        return
    if pkt is not None:
        assert pkt.packet_type in range(7)
        assert pkt.attachment_count <= MAX_ATTACHMENTS


@given(
    name=st.text(st.characters(exclude_categories=["Cs"])).filter(
        lambda name: name not in RESERVED and not name.startswith("__")
    ),
    arguments=st.lists(tree(SCALARS | st.binary(max_size=8)), max_size=4),
    namespace=st.none() | st.from_regex(r"/[^,?]{0,20}", fullmatch=True),
    ack=st.none() | st.integers(0, 2**53 - 1),
)
def test_what_is_encoded_is_decoded(
    name: str, arguments: list[Any], namespace: str | None, ack: int | None
) -> None:
    sent = Packet(stock.EVENT, data=[name, *arguments], namespace=namespace, id=ack)
    encoded = sent.encode()
    packets = encoded if isinstance(encoded, list) else [encoded]
    if len(packets) > 1 + MAX_ATTACHMENTS:
        with pytest.raises(ValueError, match="attachments"):
            received(packets)
        return
    pkt = received(packets)
    assert pkt.data == [name, *arguments]
    assert pkt.id == ack
    assert (pkt.namespace or "/") == (namespace or "/")
    assert pkt.packet_type == sent.packet_type


@given(
    kind=st.sampled_from([stock.EVENT, stock.ACK]),
    data=st.lists(tree(SCALARS | st.binary(max_size=8) | st.integers()), min_size=1, max_size=4),
    namespace=st.from_regex(r"/[^,?]{0,20}", fullmatch=True),
    ack=st.none() | st.integers(0, 2**53 - 1),
)
def test_the_short_way_leads_to_the_same_text(
    kind: int, data: list[Any], namespace: str, ack: int | None
) -> None:
    usual = Packet(kind, data=data, namespace=namespace, id=ack).encode()
    text = plain(kind, namespace, ack, data)
    assert text == usual or text is None
    if isinstance(usual, list):
        assert text is None


def test_the_short_way_is_taken() -> None:
    assert plain(stock.EVENT, "/", None, ["say", {"x": [1, "é"]}]) == '2["say",{"x":[1,"é"]}]'
    assert plain(stock.ACK, "/room", 7, [{"ok": True}]) == '3/room,7[{"ok":true}]'
    assert plain(stock.EVENT, "/", None, ["say", b"x"]) is None


@pytest.mark.parametrize(
    ("text", "kind", "namespace", "ack", "data"),
    [
        ("0", 0, None, None, None),
        ('0{"token":1}', 0, None, None, {"token": 1}),
        ("0/room,", 0, "/room", None, None),
        ("0/room", 0, "/room", None, None),
        ('0/room?a=1,{"b":2}', 0, "/room", None, {"b": 2}),
        ("1/room,", 1, "/room", None, None),
        ('2["say","x"]', 2, None, None, ["say", "x"]),
        ('2/a/b,12["say"]', 2, "/a/b", 12, ["say"]),
        ("2[1]", 2, None, None, [1]),
        ("37[]", 3, None, 7, []),
        ('29007199254740991["a"]', 2, None, 2**53 - 1, ["a"]),
        ('2["\\ud800"]', 2, None, None, ["\ud800"]),
        ("2[12345678901234567890123]", 2, None, None, [1.2345678901234568e22]),
    ],
)
def test_accepted(text: str, kind: int, namespace: Any, ack: Any, data: Any) -> None:
    pkt = Packet(encoded_packet=text)
    assert (pkt.packet_type, pkt.namespace, pkt.id, pkt.data) == (kind, namespace, ack, data)


MALFORMED = {
    "no type": "abc",
    "type 7": '7["a"]',
    "type 9": "9",
    "other digits": '٢["a"]',
    "other digits as id": '2٣["a"]',
    "nothing": "2",
    "not json": "2[a]",
    "open": '2["a"',
    "more": '2["a"]]',
    "object": '2{"a":1}',
    "text": '2"a"',
    "number": "2 1",
    "null": "2null",
    "empty list": "2[]",
    "name is null": "2[null]",
    "name is a list": "2[[]]",
    "name is true": "2[true]",
    "NaN": '2["a",NaN]',
    "Infinity": '2["a",-Infinity]',
    "overflow": '2["a",1e999]',
    "overflow beside a surrogate": '2["\\ud800",1e999]',
    "NaN beside a surrogate": '2["\\ud800",NaN]',
    "ack id": '29007199254740992["a"]',
    "long ack id": "2" + "1" * 99 + '["a"]',
    "ack without data": "31",
    "ack with an object": "31{}",
    "connect with a list": "0[]",
    "connect with a text": '0"a"',
    "disconnect with data": '1{"a":1}',
    "error with a number": "41",
    "attachments of an event": '21-["a"]',
    "no attachments": '5["a"]',
    "0 attachments": '50-["a"]',
    "11 attachments": '511-["a"]',
    "10^10 attachments": '59999999999-["a"]',
    "negative attachments": '5-1-["a"]',
    "half an escape": '2["\\',
    "long namespace": "0/" + "n" * MAX_NAMESPACE,
    "deep": "2" + "[" * 70 + '"a"' + "]" * 70,
    "deep objects": '2["a",' + '{"a":' * 70 + "1" + "}" * 70 + "]",
}


@pytest.mark.parametrize("text", MALFORMED.values(), ids=MALFORMED.keys())
def test_malformed(text: str) -> None:
    with pytest.raises(ValueError):
        Packet(encoded_packet=text)


@pytest.mark.parametrize("name", [*sorted(RESERVED), "__disconnect_final", "__proto__", "__"])
@pytest.mark.parametrize("head", ["2", "2/room,", "51-"])
def test_reserved_names_are_refused(name: str, head: str) -> None:
    with pytest.raises(ValueError, match="payload"):
        Packet(encoded_packet=f'{head}["{name}"]')


@pytest.mark.parametrize("num", ["-1", "1", "7", '"0"', "0.0", "null", "true", "[]"])
def test_a_wrong_place_of_an_attachment(num: str) -> None:
    pkt = Packet(encoded_packet='51-["a",{"_placeholder":true,"num":' + num + "}]")
    with pytest.raises(ValueError, match="attachments"):
        pkt.add_attachment(b"x")


def test_an_attachment_is_used_once() -> None:
    place = '{"_placeholder":true,"num":0}'
    pkt = Packet(encoded_packet=f'51-["a",{place},{place}]')
    with pytest.raises(ValueError, match="twice"):
        pkt.add_attachment(b"x")


def test_a_text_is_no_attachment() -> None:
    pkt = Packet(encoded_packet='51-["a",{"_placeholder":true,"num":0}]')
    with pytest.raises(ValueError, match="text"):
        pkt.add_attachment("x")
    with pytest.raises(ValueError, match="binary"):
        Packet(encoded_packet=b"x")


def test_ten_attachments_are_allowed() -> None:
    body = [b"%d" % number for number in range(MAX_ATTACHMENTS)]
    encoded = Packet(stock.EVENT, data=["a", *body]).encode()
    assert received(encoded).data == ["a", *body]


@pytest.mark.parametrize(
    "make",
    [
        lambda n: "[" * 70 + '"' + '\\"' * n,
        lambda n: "[" * n,
        lambda n: "[" * 70 + '"' * (n + n % 2 + 1),
        lambda n: "[" * 70 + "\\" * n,
    ],
    ids=["escapes", "brackets", "quotes", "backslashes"],
)
def test_counting_the_depth_takes_no_longer_than_reading(make: Callable[[int], str]) -> None:
    def seconds(text: str) -> float:
        begin = time.perf_counter()
        depth(text)
        return time.perf_counter() - begin

    few, many = make(4_000), make(64_000)
    # sixteen times the text: about sixteen times the time, where a square would take 256 times
    assert min(seconds(many) for _ in range(3)) < 90 * min(seconds(few) for _ in range(3))


@given(tree(SCALARS))
def test_depth_counts_levels(value: Any) -> None:
    def levels(value: Any) -> int:
        if isinstance(value, dict):
            value = list(value.values())
        return 1 + max(map(levels, value), default=0) if isinstance(value, list) else 0

    padding = [[]] * (MAX_DEPTH + 1)  # so many brackets that it has to count
    text = json.dumps([value, *padding])
    assert depth(text) == max(2, 1 + levels(value))


def test_brackets_inside_texts_are_no_levels() -> None:
    text = json.dumps(["[" * 200, '"[', "\\", "[\\" * 99])
    assert depth(text) == 1
    assert Packet(encoded_packet="2" + text).data == json.loads(text)


class TestStrictJSON:
    @given(tree(SCALARS))
    def test_round_trip(self, value: Any) -> None:
        assert StrictJSON.loads(StrictJSON.dumps(value)) == value

    @given(st.text())
    def test_any_text(self, text: str) -> None:
        try:
            value = StrictJSON.loads(text)
        except ValueError:
            return
        assert not isinstance(value, float) or math.isfinite(value)

    @given(st.integers(-(2**70), 2**70) | st.sampled_from([-(2**63), 2**63, 2**64 - 1, 2**64]))
    def test_a_whole_number_is_the_same_beside_a_surrogate(self, number: int) -> None:
        alone = StrictJSON.loads(f"[{number}]")[0]
        beside, _ = StrictJSON.loads(f'[{number},"\\ud800"]')
        assert (beside, type(beside)) == (alone, type(alone))

    @pytest.mark.parametrize("text", ["1e999", "-1e400", "9" * 400, "-" + "9" * 5000, "NaN"])
    @pytest.mark.parametrize("beside", ["1", '"\\ud800"'])
    def test_what_is_no_number_of_finite_size(self, text: str, beside: str) -> None:
        with pytest.raises(ValueError):
            StrictJSON.loads(f"[{text},{beside}]")

    def test_deep_text_with_a_surrogate(self) -> None:
        with pytest.raises(ValueError, match="deep"):
            StrictJSON.loads("[" * 100_000 + '"\\ud800"')

    def test_what_orjson_cannot_write(self) -> None:
        assert StrictJSON.dumps([2**70]) == f"[{2**70}]"
        assert json.loads(StrictJSON.dumps(["\ud800"])) == ["\ud800"]
        assert StrictJSON.dumps({1: 2}) == '{"1":2}'
        assert StrictJSON.dumps([math.nan, math.inf]) == "[null,null]"

    def test_what_nobody_can_write(self) -> None:
        with pytest.raises(TypeError):
            StrictJSON.dumps([object()])
        with pytest.raises(TypeError):
            StrictJSON.dumps([2**70, math.nan])


class Foreign:
    """A packet of another serializer."""

    def __init__(self, kind: Any, data: Any, namespace: Any = "/", ack: Any = None) -> None:
        self.packet_type, self.data, self.namespace, self.id = kind, data, namespace, ack


def test_packets_of_other_serializers_are_checked() -> None:
    check(Foreign(2, ["say", 1], "/room", 3))
    check(Foreign(0, None, None))
    for wrong in (
        Foreign(2, ["connect"]),
        Foreign(2, "say"),
        Foreign(2, None),
        Foreign("2", ["say"]),
        Foreign(True, ["say"]),
        Foreign(9, ["say"]),
        Foreign(2, ["say"], "*"),
        Foreign(2, ["say"], ["/"]),
        Foreign(2, ["say"], "/" * 2000),
        Foreign(2, ["say"], "/", -1),
        Foreign(2, ["say"], "/", "1"),
        Foreign(2, ["say"], "/", 2**53),
    ):
        with pytest.raises(ValueError):
            check(wrong)


def test_other_codecs_are_held_to_json() -> None:
    class Lax(Packet):
        json = json

    assert Lax(encoded_packet='2["a",1]').data == ["a", 1]
    with pytest.raises(ValueError):
        Lax(encoded_packet='2["a",NaN]')
