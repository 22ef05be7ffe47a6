"""Bodies of messages: what may be in one, and how much it is.

A body is whatever a client made up; nothing here knows which event brought it or where it goes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from sioserver.errors import Refusal

_PLACEHOLDER: Final = "_placeholder"
"""Marks the objects that stand in a packet for its attachments."""


def check_body(body: Any, most: int, what: str) -> None:
    """Raise `Refusal("too_large")` when the body has more than `most` bytes, and
    `Refusal("bad_request")` when it cannot be stored or sent; `what` it is called there."""
    encoded = _encoded(body)
    if len(encoded) > most:
        raise Refusal("too_large", f"{what} has {len(encoded)} bytes, at most {most} are allowed")
    # the search is a fraction of the price of looking at every part
    if _PLACEHOLDER.encode() in encoded and any(map(_is_placeholder, _parts(body))):
        raise Refusal(
            "bad_request",
            f"{what} has an object with {_PLACEHOLDER!r} in it, a name that Socket.IO itself uses",
        )


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


def _is_placeholder(part: Any) -> bool:
    # Beside a binary, in a page of history for instance, clients would take it for a reference to
    # an attachment: JavaScript where it is `true`, python-socketio and others where it is truthy
    # (as an empty binary is, which is an object by then).
    return isinstance(part, dict) and part.get(_PLACEHOLDER) not in (None, False)


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
