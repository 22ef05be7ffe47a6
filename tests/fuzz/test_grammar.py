"""The strategies reach what they are for: each kind of input turns up sooner or later."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from . import grammar, plain
from .attacks import DOORS, Attack, Frames, Knock, Plain, Post, Raw, Talk, Upgrade, inputs, short

ROUND = settings(
    max_examples=200,
    database=None,
    deadline=None,
    phases=(Phase.generate,),
    suppress_health_check=list(HealthCheck),
)
ROUNDS = 20
"""Rounds in which everything turns up: the rarest about once in 300 draws."""


@cache
def drawn(strategy: st.SearchStrategy[Any], number: int) -> list[Any]:
    """What is drawn from it in this round."""
    found: list[Any] = []

    @seed(number)
    @ROUND
    @given(strategy)
    def draw(value: Any) -> None:
        found.append(value)

    draw()
    return found


Frame = tuple[bytes, ...]


def first(frames: Frame) -> int:
    """The first byte; 0 where a mutation has left none."""
    return frames[0][0] if frames[0] else 0


def opcode(number: int) -> Callable[[Frame], bool]:
    return lambda frames: first(frames) & 15 == number


def said(dialect: str, part: bytes) -> tuple[st.SearchStrategy[Any], Callable[[Frame], bool]]:
    """This in a frame of the dialect, the key of whose mask is 0."""
    return plain.conversations[dialect], lambda frames: any(part in one for one in frames)


REACHED: dict[str, tuple[st.SearchStrategy[Any], Callable[[Any], bool]]] = {
    "a text frame": (grammar.frames, opcode(1)),
    "a close frame": (grammar.frames, opcode(8)),
    "an opcode that is reserved": (grammar.frames, opcode(11)),
    "a reserved bit": (grammar.frames, lambda frames: first(frames) & 0x70 != 0),
    "no mask": (grammar.frames, lambda frames: len(frames[0]) > 1 and frames[0][1] < 128),
    "a length of 2**40": (grammar.frames, lambda f: (2**40).to_bytes(8, "big") in f[0]),
    "a fragment": (grammar.frames, lambda frames: first(frames) == 1),
    "many fragments": (grammar.frames, lambda frames: len(frames[0]) > 8000),
    "a deep packet": (grammar.packets, lambda packet: packet.count("[") > 1000),
    "half a surrogate pair": (grammar.packets, lambda packet: "\\ud800" in packet),
    "an infinite number": (grammar.packets, lambda packet: "1e400" in packet),
    "NaN": (grammar.packets, lambda packet: "NaN" in packet),
    "a reserved event": (grammar.packets, lambda packet: '["disconnecting"' in packet),
    "a key of a prototype": (grammar.packets, lambda packet: '"__proto__":' in packet),
    "an attachment too much": (grammar.conversations, lambda packets: packets[0][:4] == "4511"),
    "a binary": (grammar.conversations, lambda packets: isinstance(packets[-1], bytes)),
    "a body that is not UTF-8": (
        grammar.bodies,
        lambda body: "\ufffd" in body.decode(errors="replace"),
    ),
    "a smuggled request": (grammar.requests, lambda data: data.count(b"HTTP/1.1\r\n") > 1),
    "both lengths": (
        grammar.requests,
        lambda data: b"Content-Length: 3\r" in data and b"Transfer-Encoding: chunked\r" in data,
    ),
    "an upgrade": (grammar.requests, lambda data: b"Sec-WebSocket-Key" in data),
    "a refused sub-protocol": (plain.handshakes, lambda data: b"Protocol: chat\r" in data),
    "a token in the address": (plain.handshakes, lambda data: b" /ws?token=x " in data),
    "a handshake without a header": (
        plain.handshakes,
        lambda data: b"Upgrade: websocket" not in data,
    ),
    "frames right behind a handshake": (
        plain.handshakes,
        lambda data: not data.endswith(b"\r\n\r\n"),
    ),
    **{
        f"{name} as {dialect}": said(dialect, part)
        for name, dialect, part in (
            ("an infinite number", "native", b"1e400"),
            ("a deep frame", "native", b"[" * 200),
            ("half a surrogate pair", "native", b"\\ud800"),
            ("a key of a prototype", "native", b'"__proto__":'),
            ("an id that is none", "native", b",9007199254740992"),
            ("an extension type", "msgpack", b"\xd4\x05\x00"),
            ("a key that is no text", "msgpack", b"\x81\x01\x02"),
            ("NaN", "msgpack", b"\xcb\x7f\xf8"),
            ("a text that is not UTF-8", "msgpack", b"\xa2\xff\xfe"),
            ("a deep frame", "msgpack", b"\x91" * 3000),
            ("a wrong type", "tutorial", b'"event":7'),
            ("a number as a room", "tutorial", b'"roomid":7'),
            ("half a surrogate pair", "tutorial", b"\\ud800"),
            ("a key of a prototype", "tutorial", b'{"__proto__":'),
            ("a text that is no JSON", "tutorial", b"\x85\0\0\0\0hello"),
        )
    },
    "binary where texts are spoken": (
        plain.conversations["native"],
        lambda frames: any(one[:1] == b"\x82" for one in frames),
    ),
    "a frame behind the close": (
        plain.conversations["tutorial"],
        lambda frames: len(frames) > 1 and frames[0][:1] == b"\x88",
    ),
    "a flood": (
        plain.conversations["native"],
        lambda frames: any(one.count(b"typing") > 400 for one in frames),
    ),
    **{
        f"{dialect}, {'joined' if joined else 'not joined'}": (
            DOORS["plain"],
            lambda attack, dialect=dialect, joined=joined: (  # type: ignore[misc]
                isinstance(attack, Plain) and (attack.dialect, attack.joined) == (dialect, joined)
            ),
        )
        for dialect in plain.PROTOCOLS
        for joined in (True, False)
    },
    **{
        f"{kind.__name__} over {way}": (
            DOORS["all"],
            lambda attack, kind=kind, way=way: (  # type: ignore[misc]
                isinstance(attack, kind) and getattr(attack, "way", way) == way
            ),
        )
        for kind, ways in {
            Frames: ("websocket",),
            Talk: ("websocket", "polling", "lane"),
            Post: ("polling", "lane"),
            Upgrade: ("websocket",),
            Raw: ("polling", "lane"),
            Knock: ("websocket",),
        }.items()
        for way in ways
    },
}


@pytest.mark.parametrize("what", REACHED)
def test_it_is_drawn(what: str) -> None:
    strategy, condition = REACHED[what]
    rounds = (drawn(strategy, number) for number in range(ROUNDS))
    assert any(any(map(condition, values)) for values in rounds), f"{what} is never drawn"


def test_a_frame_is_what_a_client_writes() -> None:
    assert grammar.frame(1, b"hi", mask=b"\x01\x02\x03\x04") == b"\x81\x82\x01\x02\x03\x04ik"
    assert grammar.frame(2, b"x" * 300, mask=None)[:4] == b"\x82\x7e\x01\x2c"
    assert grammar.frame(1, b"x", length="long")[:10] == b"\x81\xff" + (1).to_bytes(8, "big")
    assert grammar.frame(9, b"", fin=False, rsv=1, mask=None) == b"\x19\x00"
    assert grammar.frame(1, b"xyz", mask=None, length="less") == b"\x81\x01xyz"


@pytest.mark.parametrize(
    ("attack", "number"),
    [
        (Talk("polling", ("3", "4", "5")), 3),
        (Frames((b"a", b"b")), 2),
        (Upgrade((b"a",)), 1),
        (Post("lane", b"3\x1e3"), 1),
        (Plain("native", (b"a", b"b")), 2),
        (Knock(b"GET"), 1),
        (Raw(b"GET"), 1),
    ],
)
def test_inputs_are_counted(attack: Attack, number: int) -> None:
    assert inputs(attack) == number


def test_an_attack_is_told_in_a_line_or_two() -> None:
    assert short(Raw(b"GET")) == "Raw(data=b'GET', way='polling')"
    told = short(Frames((b"p" * 70_000,)))
    assert len(told) < 200
    assert told.startswith("Frames(frames=(b'ppp")
    assert told.endswith("(70034 characters)")
