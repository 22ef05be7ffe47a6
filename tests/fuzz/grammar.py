"""What strangers send, as hypothesis strategies: JSON, Socket.IO packets, payloads, frames, HTTP.

Each layer is written by its grammar, with faults where the grammar has a choice, and the text or
the bytes are then mutated. Whoever draws must not know what a server makes of it: these are values.
"""

from __future__ import annotations

import base64
import json
from typing import Any

from hypothesis import strategies as st

ROOM = "hall"
SID = "{sid}"
"""Stands in a request for the id of the session that it is sent in."""

# ---------------------------------------------------------------------------- mutations

NASTY_TEXT = [
    "\x00", "\x1e", "\u2028", "\u202e", "\ufeff", "\\ud800", "\U0001f600", "e\u0301", '"', "\\",
    "[",
    "]", "{", "}", ",", "-", "/", "?", "0", "9" * 20, "\u0661", "NaN", "1e999", "null", "\r\n", " ",
]  # fmt: skip
NASTY_BYTES = [
    b"\x00", b"\xff", b"\x80", b"\x7f", b"\xed\xa0\x80", b"\xc0\xaf", b"\xf5", b"\r\n", b"\r",
    b"\n",
    b"\x1e", b" ", b":", b"\t", b";", b"%00", b"\x81\x80", b"\x8a\x00", b"\r\n\r\n",
]  # fmt: skip


def _mutated(base: Any, nasty: list[Any], most: int) -> st.SearchStrategy[Any]:
    """`base` with up to `most` changes at random places."""
    change = st.tuples(
        st.sampled_from(("insert", "delete", "repeat", "cut")),
        st.integers(0, 10_000),
        st.sampled_from(nasty),
    )

    def apply(drawn: tuple[Any, list[tuple[str, int, Any]]]) -> Any:
        value, changes = drawn
        for how, where, piece in changes:
            at = where % (len(value) + 1)
            if how == "insert":
                value = value[:at] + piece + value[at:]
            elif how == "delete":
                value = value[:at] + value[at + 1 + where % 7 :]
            elif how == "repeat":
                value = value[:at] + value[at : at + 8] * 2 + value[at + 8 :]
            else:
                value = value[:at]
        return value

    return st.tuples(base, st.lists(change, max_size=most)).map(apply)


def mutated_text(base: st.SearchStrategy[str], most: int = 2) -> st.SearchStrategy[str]:
    """Texts with signs put in, left out or repeated."""
    return _mutated(base, NASTY_TEXT, most)


def mutated_bytes(base: st.SearchStrategy[bytes], most: int = 2) -> st.SearchStrategy[bytes]:
    """Bytes with some put in, left out or repeated."""
    return _mutated(base, NASTY_BYTES, most)


# ---------------------------------------------------------------------------- JSON

NUMBERS = ["0", "-0", "1", "-1", "1.0", "1e2", "9007199254740991", "9007199254740993", "1e400",
    "18446744073709551616", "-9223372036854775809", "1" * 400, "0.1", "1E-400", "NaN", "-Infinity",
    "01", "+1", ".5", "1."]  # fmt: skip
STRINGS = [
    "", "a", "typing", "message", "hall", "\x00", "\u202e\u2066", "\U0001f468\u200d\U0001f469",
    "x" * 200, "\u0301" * 50, "__proto__", "constructor", "_placeholder", "connect", "toString",
    "2024-01-01T00:00:00Z", "<img src=x onerror=alert(1)>", "javascript:alert(1)",
    "../../etc/passwd",
    "%s%n", "{0}", "\u2028", "e0-0", "1700000000-0",
]  # fmt: skip
KEYS = [
    "id", "before", "after", "limit", "all", "token", "user", "name", "position", "pid", "offset",
    "__proto__", "constructor", "prototype", "_placeholder", "num", "", "a", "\x00", "k" * 300,
]  # fmt: skip

texts = st.one_of(st.sampled_from(STRINGS), st.text(max_size=12))
values: st.SearchStrategy[Any] = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(allow_nan=False), texts,
        st.sampled_from([0, 1, -1, 2**53 + 1, 2**63, 2**64, 1.5, True, {}, []]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.one_of(st.sampled_from(KEYS), st.text(max_size=3)), inner, max_size=3),
    ),
    max_leaves=5,
)  # fmt: skip


def written(value: Any) -> str:
    """As JSON."""
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "replace").decode()


def _nested(drawn: tuple[int, str]) -> str:
    depth, opening = drawn
    closing = {"[": "]", '{"a":': "}"}[opening]
    return opening * depth + "1" + closing * depth


ODD_JSON = [
    '{"a":1,"a":2}', '{"__proto__":{"polluted":true}}', '{"constructor":{"prototype":{"x":1}}}',
    '{"_placeholder":true,"num":0}', '{"_placeholder":true,"num":-1}', '{"_placeholder":true}',
    '{"_placeholder":true,"num":1e3}', '"\\ud800"', '"\\udc00\\ud800"', '{"\\ud800":1}',
    '"\\u0000"',
    "'a'", "undefined", "[,]", "[1,]", '{"a"}', "//", "\ufeff[]", '"\t"', '"' + "x" * 2000 + '"',
    '{"' + "k" * 2000 + '":1}',
]  # fmt: skip
json_texts = st.one_of(
    values.map(written),
    st.sampled_from(NUMBERS),
    st.sampled_from(ODD_JSON),
    st.tuples(st.sampled_from((2, 63, 64, 65, 200, 3000)), st.sampled_from(("[", '{"a":'))).map(
        _nested
    ),
)

# ---------------------------------------------------------------------------- Socket.IO

EVENTS = [
    "message", "history", "members", "read", "typing", "auth", "leave", "rooms", "cursor", "edit",
    "delete", "react", "kick", "mute", "ban", "nothing", "", "connect", "connect_error",
    "disconnect", "disconnecting", "newListener", "removeListener", "__disconnect_final",
    "constructor", "__proto__", "notice", "welcome",
]  # fmt: skip
NAMESPACES = [
    "", f"/{ROOM},", f"/{ROOM},", f"/{ROOM},", "/@me,", "/other,", "/,", "/a b,", "/@dm/x,",
    "/\x00,",
    "/{x},", "/*,", "/../x,", "/\u202e,", "/__proto__,", "/history:x,", f"/{ROOM}?token=x,",
    "/" + "n" * 200 + ",",
    "/" + "n" * 2000 + ",", f"/{ROOM}",
]  # fmt: skip
ACK_IDS = [
    "",
    "",
    "1",
    "0",
    "007",
    "9007199254740991",
    "9007199254740992",
    "9" * 30,
    "\u0663",
    "-1",
]
USERS = ["mallory", "eve", "mallory ", "", "\u202eeve", "guest-1", "a" * 300, "__proto__", "{x}"]

arguments = st.lists(json_texts, max_size=3)
shapes = st.sampled_from(
    [
        '["message","hi"]', '["message",{"a":[1,2.5,null]},{"id":"m-1"}]',
    '["message","hi",{"id":7}]',
        '["history",{"before":5,"limit":2}]', '["history",{"limit":-1}]',
    '["members",{"all":true}]',
        '["read",3]', '["read",1e400]', '["typing",true]', '["typing","yes"]',
    '["auth",{"token":"x"}]',
        '["auth",{"token":"eyJhbGciOiJub25lIn0.e30."}]', '["leave"]', '["cursor",{"x":1}]',
    '["rooms"]',
    ]
)  # fmt: skip


def _event(drawn: tuple[str, list[str]]) -> str:
    name, args = drawn
    return "[" + ",".join([written(name), *args]) + "]"


event_data = st.one_of(shapes, st.tuples(st.sampled_from(EVENTS), arguments).map(_event))
"""The data of an event: an array of a name and arguments of any type."""

events = st.tuples(
    st.just("42"), st.just(f"/{ROOM},"), st.sampled_from(ACK_IDS[:6]), event_data
).map("".join)
"""Well-formed packets; whether the room knows the event is another matter."""

connects = st.tuples(
    st.just("40"),
    st.sampled_from(NAMESPACES),
    st.one_of(
        st.sampled_from(["", "{}", "[]", '"x"', "null", '{"token":"a.b.c"}', '{"user":7}']),
        st.tuples(st.sampled_from(KEYS[5:11]), json_texts).map(lambda p: f'{{"{p[0]}":{p[1]}}}'),
        st.sampled_from(USERS).map(lambda user: written({"user": user, "name": user})),
    ),
).map("".join)

_any_packet = st.tuples(
    st.sampled_from(["4"] * 8 + ["", "0", "1", "2", "3", "5", "6", "7", "b", "2probe", "3probe"]),
    st.sampled_from("01234567:x"),
    st.sampled_from(["", "", "", "0-", "1-", "2-", "11-", "9999999999-", "-", "x-", "\u0661-"]),
    st.sampled_from(NAMESPACES),
    st.sampled_from(ACK_IDS),
    st.one_of(event_data, json_texts, st.just("")),
).map("".join)

packets: st.SearchStrategy[str] = st.one_of(
    events,
    mutated_text(events),
    connects,
    mutated_text(_any_packet, 1),
    mutated_text(st.text(max_size=8)),
)
"""Engine.IO packets: most with a Socket.IO packet in them."""

binaries = st.one_of(
    st.binary(max_size=16), st.sampled_from([b"", b"\x04[]", b"\x00" * 3000, b'2["message"]'])
)


def _with_attachments(drawn: tuple[int, str, list[str | bytes]]) -> list[str | bytes]:
    count, number, following = drawn
    head = f'45{count}-/{ROOM},1["message",{{"_placeholder":true,"num":{number}}}]'
    return [head, *following]


conversations: st.SearchStrategy[list[str | bytes]] = st.one_of(
    st.lists(packets, min_size=1, max_size=3).map(list),
    st.lists(events, min_size=2, max_size=6).map(list),
    st.tuples(
        st.sampled_from((0, 1, 1, 2, 10, 11)),
        st.sampled_from(("0", "0", "1", "-1", "9", '"0"', "0.5")),
        st.lists(st.one_of(binaries, binaries, packets), max_size=3),
    ).map(_with_attachments),
)
"""What one client sends, packet by packet."""

# ---------------------------------------------------------------------------- payloads of polls


def _for_polling(packet: str | bytes) -> str:
    return packet if isinstance(packet, str) else "b" + base64.b64encode(packet).decode()


def payload_of(conversation: list[str | bytes]) -> bytes:
    """The body of a POST with these packets in it."""
    return "\x1e".join(map(_for_polling, conversation)).encode("utf-8", "surrogatepass")


bodies: st.SearchStrategy[bytes] = st.one_of(
    conversations.map(payload_of),
    mutated_bytes(conversations.map(payload_of)),
    st.sampled_from(
        [b"", b"\x1e", b"b", b"b===", b"bQQ", b"\x1e" * 3000, b"3" + b"\x1e3" * 3000, b"4" * 70_000]
    ),
    st.binary(max_size=24),
)

# ---------------------------------------------------------------------------- WebSocket frames

LENGTHS = ("short", "short", "short", "middle", "long", "more", "less", "huge", "negative")
OPCODES = (1, 1, 1, 1, 2, 0, 8, 9, 10, 3, 7, 11, 15)
CLOSES = [
    b"", b"\x03", *(code.to_bytes(2, "big") for code in (0, 999, 1000, 1001, 1004, 1005, 1006, 1009,
    1014, 1015, 1016, 2999, 3000, 4999, 5000, 65535)), b"\x03\xe8\xff", b"\x03\xe8bye",
]  # fmt: skip


def frame(
    opcode: int,
    payload: bytes,
    *,
    fin: bool = True,
    rsv: int = 0,
    mask: bytes | None = b"\x00\x00\x00\x00",
    length: str = "short",
) -> bytes:
    """A frame as a client writes it. `length`: how its size is written, and whether it is true."""
    size = len(payload)
    told = {"more": size + 9, "less": max(size - 2, 0), "huge": 2**40, "negative": 2**63}
    told_size = told.get(length, size)
    bit = 0x80 if mask is not None else 0
    if length in ("long", "huge", "negative") or told_size > 65535:
        head = bytes([bit | 127]) + told_size.to_bytes(8, "big")
    elif length == "middle" or told_size > 125:
        head = bytes([bit | 126]) + told_size.to_bytes(2, "big")
    else:
        head = bytes([bit | told_size])
    if mask is not None:
        payload = bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))
        head += mask
    return bytes([(0x80 if fin else 0) | rsv << 4 | opcode]) + head + payload


def _encoded(packet: str) -> bytes:
    return packet.encode("utf-8", "surrogatepass")


_frames = st.builds(
    frame,
    st.sampled_from(OPCODES),
    st.one_of(packets.map(_encoded), st.sampled_from(CLOSES), st.binary(max_size=130), binaries),
    fin=st.sampled_from((True, True, True, False)),
    rsv=st.sampled_from((0,) * 8 + (1, 2, 4, 7)),
    mask=st.sampled_from((b"\x00" * 4, b"\x01\x02\x03\x04", b"\xff" * 4, None)),
    length=st.sampled_from(LENGTHS),
)


def _fragmented(drawn: tuple[str, int, bytes]) -> bytes:
    packet, size, between = drawn
    payload = _encoded(packet)
    pieces = [payload[at : at + size] for at in range(0, len(payload), size)] or [b""]
    last = len(pieces) - 1
    return b"".join(
        frame(0 if number else 1, piece, fin=number == last) + (between if number < last else b"")
        for number, piece in enumerate(pieces)
    )


_odd_frames: st.SearchStrategy[bytes] = st.one_of(
    st.tuples(
        packets, st.integers(1, 40), st.sampled_from([b"", frame(9, b"x"), frame(10, b"")])
    ).map(_fragmented),
    st.sampled_from(
        [
            frame(1, b"", fin=False) + frame(0, b"", fin=False) * 1500,
            frame(1, b"4" * 60_000, fin=False) + frame(0, b"4" * 60_000, fin=False) * 20,
            frame(9, b"p" * 125) * 300,
            frame(10, b"") * 500,
            frame(1, b"3") * 500,
            frame(1, b"2") * 3,
        ]
    ),
    mutated_bytes(_frames),
    st.binary(min_size=1, max_size=24),
)

frames: st.SearchStrategy[tuple[bytes, ...]] = st.one_of(
    st.lists(_frames, min_size=1, max_size=4).map(tuple), _odd_frames.map(lambda data: (data,))
)
"""What comes over an open WebSocket: some frames, or what only looks like them."""

# ---------------------------------------------------------------------------- HTTP

METHODS = ["GET", "GET", "POST", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "TRACE",
    "CONNECT", "get", "G\x00ET", ""]  # fmt: skip
TARGETS = [
    "/socket.io/?EIO=4&transport=polling", "/socket.io/?EIO=4&transport=websocket",
    f"/socket.io/?EIO=4&transport=polling&sid={SID}",
    f"/socket.io/?EIO=4&transport=polling&sid={SID}",
    f"/socket.io/?EIO=4&transport=polling&sid={SID}&t=a%20b",
    f"/socket.io/?EIO=3&transport=polling&sid={SID}",
    f"/socket.io/?EIO=4&transport=websocket&sid={SID}",
    "/socket.io/?EIO=4&transport=polling&sid=nobody",
    "/socket.io/?EIO=4&transport=polling&sid=__proto__", "/socket.io/?EIO=4&transport=polling&j=0",
    "/socket.io/?EIO=4&EIO=3&transport=polling", "/socket.io/?transport=polling", "/socket.io/",
    "/socket.io",
    "/socket.io/?EIO=4&transport=webtransport",
    "/socket.io/?EIO=4&transport=polling&sid=0000000000000000-x",
    "/", "/healthz", "/readyz", "/nothing", "/assets/../../etc/passwd",
    "/%2e%2e/%2e%2e/etc/passwd", "/%00",
    "//evil/", "http://evil/healthz", "*", "/?" + "q" * 9000,
    "/healthz?token=eyJhbGciOiJub25lIn0.e30.", "/\u20ac",
]  # fmt: skip
VERSIONS = ["HTTP/1.1"] * 8 + ["HTTP/1.0", "HTTP/2.0", "HTTP/1.2", "http/1.1", "HTTP/1", ""]
HEADERS = [
    "Host: 127.0.0.1", "Host: 127.0.0.1", "Host: evil", "Host:", "Content-Length: 3",
    "Content-Length: 0",
    "Content-Length: +3", "Content-Length: 3, 3", "Content-Length: -1",
    "Content-Length: 99999999999",
    "Content-Length: 1_0", "Transfer-Encoding: chunked", "Transfer-Encoding: xchunked",
    "Transfer-Encoding: chunked, identity", "Transfer-Encoding : chunked",
    "Content-Type: text/plain",
    "Content-Type: application/octet-stream", "Content-Encoding: gzip", "Content-Encoding: deflate",
    "Origin: https://evil.example", "Origin: null", "Origin: http://127.0.0.1", "Connection: close",
    "Connection: Upgrade", "Connection: keep-alive", "Upgrade: websocket", "Upgrade: h2c",
    "Sec-WebSocket-Version: 13", "Sec-WebSocket-Version: 99",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Key: x",
    "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits=99",
    "Sec-WebSocket-Protocol: a,b", "Expect: 100-continue", "Expect: 200-ok",
    "X-Forwarded-For: 1.2.3.4, ::1, x",
    "X-Forwarded-Proto: https", "X-Forwarded-Host: evil", "Accept-Encoding: gzip, deflate, br",
    "Cookie: a=b; =; \x01", "Authorization: Bearer x", "Range: bytes=0-1,5-", "If-None-Match: *",
    "X: " + "v" * 9000,
    " folded", "no colon", "N\x00ul: 1", "Name : 1", "If-Modified-Since: yesterday",
    "Access-Control-Request-Method: PUT",
]  # fmt: skip
UPGRADE = [
    "Host: 127.0.0.1", "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
]  # fmt: skip
BODIES = [
    b"", b"", b"abc", b"3", b"42", b"3\r\n42[\r\n0\r\n\r\n", b"3\r\n423\r\n0\r\nX: y\r\n\r\n",
    b"zz\r\n", b"-1\r\nx",
    b"ffffffffffffffffff\r\n", b"1;ext=" + b"e" * 300 + b"\r\n3\r\n0\r\n\r\n", b"0\r\n\r\n",
    b"\x1f\x8b\x08",
    b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n",
]  # fmt: skip


def request(
    method: str, target: str, headers: list[str], body: bytes = b"", version: str = "HTTP/1.1"
) -> bytes:
    """A request as it stands on the wire."""
    lines = [f"{method} {target} {version}".rstrip(), *headers, "", ""]
    return "\r\n".join(lines).encode("utf-8", "surrogateescape") + body


_requests = st.builds(
    request,
    st.sampled_from(METHODS),
    st.sampled_from(TARGETS),
    st.lists(st.sampled_from(HEADERS), max_size=5).map(lambda more: ["Host: 127.0.0.1", *more]),
    st.sampled_from(BODIES),
    st.sampled_from(VERSIONS),
)
_upgrades = st.builds(
    request,
    st.just("GET"),
    st.sampled_from(TARGETS[1:7]),
    st.tuples(
        st.lists(st.sampled_from(HEADERS), max_size=2), st.permutations(UPGRADE), st.integers(0, 9)
    ).map(lambda drawn: [*drawn[1][: max(drawn[2], 3)], *drawn[0]]),
    st.one_of(st.just(b""), frames.map(b"".join)),
)
requests: st.SearchStrategy[bytes] = st.one_of(
    _requests,
    mutated_bytes(_requests),
    _upgrades,
    mutated_bytes(_upgrades, 1),
    st.lists(_requests, min_size=2, max_size=4).map(b"".join),
    st.binary(min_size=1, max_size=40),
)
"""What comes over a new TCP connection: one request, several behind each other, or none."""
