"""Bodies of messages: what may be in one, and how much it is.

A body is whatever a client made up; nothing here knows which event brought it or where it goes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

import msgspec
import orjson

from sioserver.errors import Refusal

MAX_KEY: Final = 1024
"""Characters of a member's name in an object."""

MAX_WHOLE: Final = 2**53
"""Whole numbers are exact in JavaScript up to here: beyond it, receivers would see different ones.
(Beyond 64 bits the parser of packets has made doubles of them already, the same for everybody.)"""

_LEAVES: Final = frozenset({str, float, bool, bytes, type(None)})
"""What is a body, or a part of one, in which there is nothing to be found."""

_PLACEHOLDER: Final = "_placeholder"
"""Marks the objects that stand in a packet for its attachments."""


def check_body(body: Any, most: int, what: str) -> None:
    """Raise `Refusal("too_large")` when the body has more than `most` bytes, and
    `Refusal("bad_request")` when it cannot be stored or sent, or would not be the same for all who
    get it; `what` it is called there. What is let through is kept as it is."""
    encoded = _encoded(body)
    if len(encoded) > most:
        raise Refusal(
            "too_large",
            f"{what} has {len(encoded)} bytes, at most {most} are allowed",
            limit="max_body",
        )
    if type(body) in _LEAVES:
        return
    if _has_suspicious_text(encoded) or (_has_suspicious_bytes(encoded) and not _is_exact(body)):
        _check_parts(body, what)


# What msgpack has in front of a whole number beyond 53 bits, a negative one, and a text of more
# than `MAX_KEY` bytes. All of it may stand in the middle of something else too.
_LARGE: Final = re.compile(rb"\xcf(?:[^\0]|\0[\x20-\xff])", re.DOTALL)
_SMALL: Final = re.compile(rb"\xd3(?:[^\xff]|\xff[\x00-\xdf])", re.DOTALL)
_LETTER: Final = (
    rb"[\0-\x7f]|[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}"
)
# So many letters are there at least, and hardly ever in the bytes of fractions. Two expressions:
# one that begins with either of two bytes takes ten times as long.
_LONG: Final = re.compile(rb"\xda[\x04-\xff].(?:" + _LETTER + rb"){64}", re.DOTALL)
_LONGER: Final = re.compile(rb"\xdb....(?:" + _LETTER + rb"){64}", re.DOTALL)


# Is it worth looking at every part? That takes thirty times as long as these for a thousand
# numbers, and most bodies need not be looked through.


def _has_suspicious_text(encoded: bytes) -> bool:
    """Perhaps a placeholder or a long name is in it."""
    return (
        b"_placeholder" in encoded
        or (b"\xda" in encoded and _LONG.search(encoded) is not None)
        or (b"\xdb" in encoded and _LONGER.search(encoded) is not None)
    )


def _has_suspicious_bytes(encoded: bytes) -> bool:
    """Perhaps a number that is too large is in it."""
    return (b"\xcf" in encoded and _LARGE.search(encoded) is not None) or (
        b"\xd3" in encoded and _SMALL.search(encoded) is not None
    )


def _is_exact(body: Any) -> bool:
    """Every whole number in the body is exact in JavaScript. False: it could not be told.

    Fractions have any bytes, so that most bodies with a hundred of them look suspicious; for a
    thousand points with names this takes a quarter of what `_check_parts` would."""
    try:
        orjson.dumps(body, default=_nothing, option=orjson.OPT_STRICT_INTEGER)
    except orjson.JSONEncodeError:
        return False
    return True


def _nothing(_: object) -> None:
    """Binaries have no numbers in them."""


def _check_parts(body: Any, what: str) -> None:
    """Without recursion: the body may be of a program, and nested as deeply as it likes."""
    rest: list[Any] = [[body]]
    while rest:
        part = rest.pop()
        if isinstance(part, dict):
            if _is_placeholder(part):
                raise Refusal(
                    "bad_request",
                    f"{what} has an object with {_PLACEHOLDER!r} in it, a name that Socket.IO "
                    "itself uses",
                )
            for name in part:
                if isinstance(name, str) and len(name) > MAX_KEY:
                    raise Refusal(
                        "bad_request",
                        f"{what} has an object with a name of {len(name)} characters in it, at "
                        f"most {MAX_KEY} are allowed",
                    )
            part = part.values()
        for value in part:
            if type(value) in _LEAVES:
                continue
            if isinstance(value, int):
                if not -MAX_WHOLE <= value <= MAX_WHOLE:
                    raise Refusal(
                        "bad_request",
                        f"{what} has a whole number beyond 2**53 in it, which JavaScript would "
                        "round: send it as a text",
                    )
            elif isinstance(value, dict | list | tuple):
                rest.append(value)


def body_size(body: Any) -> int:
    """Bytes of a body: of a string in UTF-8, of binary as it is, of anything else as msgpack.

    Raises `Refusal("bad_request")` for what cannot be stored faithfully: half a surrogate pair, a
    whole number beyond 64 bits, nesting without end.
    """
    return len(_encoded(body))


def count_binaries(body: Any) -> int:
    """How many attachments the body is sent with."""
    return sum(isinstance(part, (bytes, bytearray)) for part in _parts(body))


def _encoded(body: Any) -> bytes:
    if isinstance(body, bytes):
        return body
    try:
        if isinstance(body, str):
            return body.encode()
        return msgspec.msgpack.encode(body)
    except UnicodeEncodeError:
        raise Refusal("bad_request", "the text has half a surrogate pair in it") from None
    except (OverflowError, TypeError, msgspec.MsgspecError):
        raise Refusal("bad_request", "a number in the message is beyond 64 bits") from None
    except RecursionError:
        raise Refusal("bad_request", "the message is nested too deeply") from None


def _is_placeholder(part: dict[Any, Any]) -> bool:
    # Beside a binary, in a page of history for instance, clients would take it for a reference to
    # an attachment: JavaScript where it is `true`, python-socketio and others where it is truthy
    # (as an empty binary is, which is an object by then).
    return part.get(_PLACEHOLDER) not in (None, False)


def _parts(body: Any) -> Iterator[Any]:
    """The body and all that is in it, without recursion."""
    rest = [body]
    while rest:
        part = rest.pop()
        yield part
        if isinstance(part, dict):
            rest.extend(part.values())
        elif isinstance(part, list):
            rest.extend(part)
