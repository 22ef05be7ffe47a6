"""Reading packets: what the reference parser takes, and nothing else."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from socketio import packet as stock

from sioserver.transport.packet import (
    MAX_ATTACHMENTS,
    MAX_NAMESPACE,
    RESERVED,
    Packet,
    check,
    plain,
)
from sioserver.wire.strict import depth

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


def test_brackets_inside_texts_are_no_levels() -> None:
    text = json.dumps(["[" * 200, '"[', "\\", "[\\" * 99])
    assert depth(text) == 1
    assert Packet(encoded_packet="2" + text).data == json.loads(text)


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
