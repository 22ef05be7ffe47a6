"""What strangers send to the door for plain WebSockets, as hypothesis strategies: both dialects.

See grammar.py for what is below: JSON, frames, requests. Values; nothing is sent here.
"""

from __future__ import annotations

import struct
from typing import Any, Final

import msgspec
from hypothesis import strategies as st

from . import grammar
from .grammar import ROOM, UPGRADE, frame, mutated_bytes, mutated_text

PATH: Final = "/ws"

PROTOCOLS: Final = {"native": "sioserver.v1", "msgpack": "sioserver.v1.msgpack", "tutorial": ""}
"""How a dialect is asked for; the tutorial's is what the others are not."""

TEXT, BINARY = 1, 2

# ---------------------------------------------------------------------------- native, as JSON

NAMES = [
    *grammar.EVENTS, "join", "join", "ack", "unban", "settings", "status", "search", "bans",
    "moderation_log", "directory", "mentions", "n" * 300,
]  # fmt: skip
IDS = [
    "1", "7", "0", "null", "9007199254740991", "9007199254740992", "9" * 30, "-1", "1.5", "1e3",
    '"1"', "true", "[]", "{}", "NaN",
]  # fmt: skip
NATIVE = [
    '["message","hi",1]', '["message","hi"]', '["message",{"a":[1,2.5,null]},2,{"id":"m-1"}]',
    '["message","hi",3,{"id":7}]', '["message","hi",4,{"mentions":["x"],"reply_to":1}]',
    '["history",{"before":5,"limit":2},5]', '["history",{"limit":-1},6]', '["members",{"all":1},7]',
    '["read",3,8]', '["read",1e400,9]', '["typing",true]', '["typing","yes"]', '["leave",null,10]',
    '["auth",{"token":"eyJhbGciOiJub25lIn0.e30."},11]', '["cursor",{"x":1}]', '["status","away"]',
    '["edit",{"offset":1,"body":"x"},12]', '["react",{"offset":1,"emoji":"\\ud83d\\ude00"},13]',
    '["kick",{"user":"victim-0"},14]', '["ban",{"user":"victim-0","address":true},15]',
    '["search",{"query":"\\"x"},16]', '["join",{"room":"hall"},17]', '["join",{"room":"@me"},18]',
    '["join",{"room":["hall"]},19]', '["join",{"room":"hall","position":"x"},20]', '["join",7]',
    '["join",{"room":"hall","pid":"x.y","user":"__proto__"},21]', '["join",{"room":"@anteroom"}]',
    "[]", "[1]", "[null]", "[true]", "[[]]", "{}", "7", '"message"', "", '["message"',
    '["message","' + "x" * 70_000 + '",22]', "[" + ",".join('"message"' for _ in range(101)) + "]",
    "[1e5,null,1]", '["\\ud800",null,1]', '["\\ud800"]', '["message","\\ud800",1]',
    '["message",{"\\udc00":1},1]', '["message",{"__proto__":{"x":1}},1]', "[18446744073709551616]",
]  # fmt: skip


def _native(drawn: tuple[str, str, str, list[str]]) -> str:
    name, data, id, more = drawn
    return "[" + ",".join([name, data, id, *more]) + "]"


_named = st.one_of(st.sampled_from(NAMES).map(grammar.written), grammar.json_texts)
native_texts: st.SearchStrategy[str] = st.one_of(
    st.sampled_from(NATIVE),
    mutated_text(st.sampled_from(NATIVE)),
    st.tuples(
        _named,
        grammar.json_texts,
        st.sampled_from(IDS),
        st.lists(grammar.json_texts, max_size=2),
    ).map(_native),
    grammar.event_data,
    grammar.json_texts,
)
"""Frames of the native dialect, and what only looks like them."""

# ---------------------------------------------------------------------------- native, as msgpack

_fitting: st.SearchStrategy[Any] = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(-(2**63), 2**64 - 1), st.floats(), grammar.texts,
        st.binary(max_size=20),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from([*grammar.KEYS, 0, -1, b"k", None]), inner, max_size=3),
    ),
    max_leaves=5,
)  # fmt: skip
ODD_PACKS = [
    b"", b"\xc1", b"\xc0", b"\x90", b"\x80", b"\xd4\x05\x00", b"\xc7\x00\x01", b"\xd6\xff\0\0\0\0",
    b"\x91" * 3000 + b"\xc0", b"\x81\xa1a" * 3000 + b"\xc0", b"\xdd\xff\xff\xff\xff",
    b"\xdf\xff\xff\xff\xff", b"\xdb\xff\xff\xff\xff", b"\xc6\xff\xff\xff\xff", b"\x81\x01\x02",
    b"\x82\xa1a\x01\xa1a\x02", b"\xa2\xff\xfe", b"\xa3\xed\xa0\x80", b"\xc4\x02ab",
    b"\xcb" + struct.pack(">d", float("nan")), b"\xca" + struct.pack(">f", float("inf")),
    b"\xcf" + b"\xff" * 8, b"\x81\xa9__proto__\x81\xa1x\x01",
]  # fmt: skip


def _pack(value: Any) -> bytes:
    return msgspec.msgpack.encode(value)


def _packed_around(drawn: tuple[str, bytes, int]) -> bytes:
    """A frame [name, something that is packed already, id]."""
    name, data, id = drawn
    return b"\x93" + _pack(name) + data + _pack(id)


native_packs: st.SearchStrategy[bytes] = st.one_of(
    st.tuples(st.sampled_from(NAMES), _fitting, st.one_of(st.none(), st.integers(0, 99))).map(
        _pack
    ),
    mutated_bytes(st.tuples(st.sampled_from(NAMES), _fitting, st.integers(0, 99)).map(_pack)),
    st.tuples(
        st.sampled_from(("message", "join", "nothing")), st.sampled_from(ODD_PACKS), st.just(1)
    ).map(_packed_around),
    st.lists(_fitting, max_size=4).map(_pack),
    st.sampled_from(ODD_PACKS),
    st.binary(max_size=24),
)
"""The same in the other coat."""

# ---------------------------------------------------------------------------- the tutorial's

TUTORIAL = [
    '{"event":"message","name":"x","message":"hi"}', '{"name":"x","message":{"a":[1,null]}}',
    '{"message":1e400}', '{"message":"\\ud800"}', '{"message":18446744073709551616}', "{}",
    '{"name":"x"}', '{"event":"login","name":"x","roomid":"hall"}', '{"name":"x","roomid":7}',
    '{"event":"login","name":"x","roomid":"@me"}', '{"event":"login","name":"x","roomid":"a b"}',
    '{"event":"login","name":["x"]}', '{"event":"login","name":"\\ud800"}', '{"name":1e999}',
    '{"event":"login","name":"x","uid":"guest:x"}', '{"event":"login","name":"x","uid":"\\u0000"}',
    '{"event":"auth","message":"eyJhbGciOiJub25lIn0.e30."}', '{"event":"auth","message":7}',
    '{"event":"auth"}', '{"event":"heartbeat","message":"pong"}', '{"event":"heartbeat"}',
    '{"event":"heartbeat","message":{"__proto__":1}}', '{"event":"logout","name":"x"}',
    '{"event":"message"}', '{"event":"__proto__","message":1}', '{"event":["message"]}',
    '{"event":null,"message":"x"}', '{"__proto__":{"event":"message"},"message":"x"}',
    '{"event":"message","message":"x","message":"y"}', '{"event":"message","message":"hi"',
    '{"event":"error","code":"bad_request"}', "hello", "", " ", "[1]", '"text"', "\x00", "\u202e",
    '{"a":' * 3000 + "1" + "}" * 3000, "{" * 5000, '{"message":"' + "x" * 70_000 + '"}',
    "x" * 70_000, '{"event":"message","message":' + "[" * 63 + "]" * 63 + "}",
]  # fmt: skip
FIELDS = ["event", "name", "roomid", "uid", "message", "num", "total", "__proto__", ""]
_events = st.sampled_from(
    ['"login"', '"login"', '"message"', '"message"', '"auth"', '"heartbeat"', '"nothing"', "7"]
)


def _object(drawn: tuple[str, list[tuple[str, str]]]) -> str:
    event, fields = drawn
    members = ['"event":' + event, *(f'"{name}":{value}' for name, value in fields)]
    return "{" + ",".join(members) + "}"


tutorial_texts: st.SearchStrategy[str] = st.one_of(
    st.sampled_from(TUTORIAL),
    mutated_text(st.sampled_from(TUTORIAL)),
    st.tuples(
        _events,
        st.lists(st.tuples(st.sampled_from(FIELDS), grammar.json_texts), max_size=3),
    ).map(_object),
    grammar.json_texts,
    st.text(max_size=12),
)
"""Frames of the tutorial's dialect, and texts that are none."""

# ---------------------------------------------------------------------------- on the wire


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _text(text: str) -> bytes:
    return frame(TEXT, _encoded(text))


def _binary(data: bytes) -> bytes:
    return frame(BINARY, data)


FLOODS = [
    _text('["typing",true]') * 500, _text('["nothing"]') * 300, _text("x") * 300,
    _text('{"event":"heartbeat","message":"pong"}') * 500, _text("{}") * 300,
    _text('{"message":"x"}') * 100, _binary(_pack(["typing", True])) * 500, frame(9, b"p") * 500,
    frame(10, b"") * 500, _text('["message","x"]') * 100,
]  # fmt: skip
CLOSED = [frame(8, close) for close in grammar.CLOSES]


def _conversation(
    right: st.SearchStrategy[bytes], wrong: st.SearchStrategy[bytes]
) -> st.SearchStrategy[tuple[bytes, ...]]:
    """Frames of a dialect, with those of another among them, behind a close frame, or many."""
    several = st.lists(right, min_size=1, max_size=4).map(tuple)
    return st.one_of(
        several,
        several,
        st.tuples(right, wrong),
        st.tuples(st.sampled_from(CLOSED), right, right),
        st.tuples(right, st.sampled_from(FLOODS)),
        grammar.frames,
    )


_texts_of = {
    "native": native_texts.map(_text),
    "tutorial": tutorial_texts.map(_text),
    "msgpack": native_packs.map(_binary),
}
_others_of = {
    "native": st.one_of(_texts_of["msgpack"], _texts_of["tutorial"], st.just(_binary(b"[]"))),
    "tutorial": st.one_of(_texts_of["native"], _texts_of["msgpack"]),
    "msgpack": st.one_of(_texts_of["native"], native_packs.map(lambda data: frame(TEXT, data))),
}
conversations: dict[str, st.SearchStrategy[tuple[bytes, ...]]] = {
    dialect: _conversation(_texts_of[dialect], _others_of[dialect]) for dialect in PROTOCOLS
}
"""What comes over an open WebSocket, by the dialect that it was opened for."""

# ---------------------------------------------------------------------------- handshakes

TARGETS = [PATH] * 6 + [
    f"{PATH}/", f"{PATH}?x=1", f"{PATH}?token=x", f"{PATH}?access_token=x", f"/{PATH}",
    f"{PATH}/../ws", f"{PATH}%00",
]  # fmt: skip
HEADERS = [
    *(f"Sec-WebSocket-Protocol: {offered}" for offered in (
        "sioserver.v1", "sioserver.v1.msgpack, sioserver.v1", "chat", "", ",,,", "sioserver.v1;x",
        " sioserver.v1 , chat", "SIOSERVER.V1", "sioserver.v1.", "p" * 2000, "a," * 500, "\u20ac",
        "sioserver.v2",
    )),
    "Authorization: Bearer x", "Authorization: Bearer", "Origin: https://evil.example",
    "Origin: null", "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits=99",
    "Sec-WebSocket-Extensions: permessage-deflate", "Sec-WebSocket-Version: 99",
    "Sec-WebSocket-Key: x", "Upgrade: h2c", "Connection: close", "Content-Length: 3",
    "X-Forwarded-For: 192.0.2.7",
]  # fmt: skip


def _handshake(drawn: tuple[str, str, list[str], int, tuple[bytes, ...]]) -> bytes:
    method, target, more, left_out, frames = drawn
    headers = [*UPGRADE[:left_out], *UPGRADE[left_out + 1 :], *more]
    return grammar.request(method, target, headers, b"".join(frames))


handshakes: st.SearchStrategy[bytes] = st.tuples(
    st.sampled_from(["GET"] * 8 + ["POST", "PUT", "OPTIONS"]),
    st.sampled_from(TARGETS),
    st.lists(st.sampled_from(HEADERS), max_size=3),
    st.sampled_from([len(UPGRADE)] * 6 + [*range(len(UPGRADE))]),
    st.one_of(st.just(()), *conversations.values()),
).map(_handshake)
"""Requests for a plain WebSocket, good ones too, with frames right behind them."""


def joining(dialect: str, user: str) -> bytes:
    """The frame that brings somebody into the room."""
    if dialect == "tutorial":
        return _text(grammar.written({"name": user, "roomid": ROOM, "uid": user}))
    ask = ["join", {"room": ROOM, "user": user}, 1]
    return _binary(_pack(ask)) if dialect == "msgpack" else _text(grammar.written(ask))
