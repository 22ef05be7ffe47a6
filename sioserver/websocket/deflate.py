"""permessage-deflate (RFC 7692): what is agreed with a client, and compressing and inflating.

Pure: texts and bytes in, values and bytes out. Knows neither connections nor frames.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

NAME: Final = "permessage-deflate"
TAIL: Final = b"\x00\x00\xff\xff"
"""What a sync flush ends with, and what a message goes without (RFC 7692, 7.2.1)."""

WIDEST: Final = 15
NARROWEST: Final = 9
"""Of the windows that zlib compresses with, as powers of two."""

_WORD: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_PARAMETER: Final = re.compile(rf'\s*({_WORD})\s*(?:=\s*(?:({_WORD})|"({_WORD})")\s*)?(?=[;,]|$)')
_BITS: Final = re.compile("[89]|1[0-5]")

Offer = list[tuple[str, str | None]]
"""The parameters of an offered extension, in order, each with its value."""


class TooLarge(Exception):
    """A message inflates to more than one may have."""


class Settings(NamedTuple):
    """What the server wants; the parameters of Node's `ws`, by their names in RFC 7692.

    `threshold` in bytes: smaller messages are not compressed. `concurrency`: large messages that
    are compressed or inflated at the same time, by as many threads.
    """

    threshold: int = 1024
    level: int = 6
    mem_level: int = 8
    server_max_window_bits: int = WIDEST
    client_max_window_bits: int = WIDEST
    server_no_context_takeover: bool = True
    client_no_context_takeover: bool = True
    concurrency: int = 4


BOUNDS: Final = {
    "threshold": (0, 2**31 - 1),
    "level": (1, 9),
    "mem_level": (1, 9),
    "server_max_window_bits": (NARROWEST, WIDEST),
    "client_max_window_bits": (NARROWEST, WIDEST),
    "server_no_context_takeover": (False, True),
    "client_no_context_takeover": (False, True),
    "concurrency": (1, 256),
}


def settings(wanted: bool | Mapping[str, Any] | Settings) -> Settings | None:
    """The settings as somebody may write them: True for the usual ones, False for none, or some of
    them by name. Raises ValueError."""
    if isinstance(wanted, Settings):
        wanted = wanted._asdict()
    elif isinstance(wanted, bool):
        return Settings() if wanted else None
    for name, value in wanted.items():
        if name not in BOUNDS:
            raise ValueError(f"{NAME} has {', '.join(BOUNDS)}; not {name!r}")
        least, most = BOUNDS[name]
        if type(value) is not type(least) or not least <= value <= most:
            raise ValueError(f"{name} of {NAME} is from {least} to {most}, not {value!r}")
    return Settings(**wanted)


class Agreed(NamedTuple):
    """What holds for one connection. `answer` is the header field that tells the client."""

    server_bits: int
    client_bits: int
    server_takeover: bool
    client_takeover: bool
    answer: str


def agree(offered: str, wanted: Settings) -> Agreed | None:
    """The first offer that can be accepted; None where there is none.

    `offered` is the value of Sec-WebSocket-Extensions, of all its lines. Raises ValueError for one
    that is malformed: the handshake has to fail then (RFC 6455, 9.1).
    """
    for name, offer in offers(offered):
        if name == NAME and (agreed := _accept(offer, wanted)) is not None:
            return agreed
    return None


def offers(text: str) -> list[tuple[str, Offer]]:
    """The extensions of a header field: names, and parameters in order (RFC 6455, 9.1).

    Raises ValueError.
    """
    found: list[tuple[str, Offer]] = []
    place, begins = 0, True
    while text and place <= len(text):
        part = _PARAMETER.match(text, place)
        if part is None or (begins and "=" in part[0]):
            raise ValueError("malformed Sec-WebSocket-Extensions")
        if begins:
            found.append((part[1], []))
        else:
            found[-1][1].append((part[1], part[2] or part[3]))
        place = part.end()
        begins = text[place : place + 1] == ","
        place += 1
    return found


def _accept(offer: Offer, wanted: Settings) -> Agreed | None:
    given = dict(offer)
    if len(given) < len(offer) or not all(_valid(*parameter) for parameter in offer):
        return None
    server_bits = wanted.server_max_window_bits
    if (most := given.get("server_max_window_bits")) is not None:
        server_bits = min(server_bits, int(most))
        if server_bits < NARROWEST:
            return None
    client_bits = wanted.client_max_window_bits
    if "client_max_window_bits" in given:
        client_bits = min(client_bits, int(given["client_max_window_bits"] or WIDEST))
    elif client_bits < WIDEST:
        return None  # it does not let us choose
    server_takeover = not wanted.server_no_context_takeover
    server_takeover = server_takeover and "server_no_context_takeover" not in given
    client_takeover = not wanted.client_no_context_takeover
    client_takeover = client_takeover and "client_no_context_takeover" not in given
    answer = [NAME]
    if not server_takeover:
        answer.append("server_no_context_takeover")
    if not client_takeover:
        answer.append("client_no_context_takeover")
    if server_bits < WIDEST or most is not None:
        answer.append(f"server_max_window_bits={server_bits}")
    if client_bits < WIDEST:
        answer.append(f"client_max_window_bits={client_bits}")
    return Agreed(server_bits, client_bits, server_takeover, client_takeover, "; ".join(answer))


def _valid(name: str, value: str | None) -> bool:
    if name in ("server_no_context_takeover", "client_no_context_takeover"):
        return value is None
    if name == "client_max_window_bits" and value is None:
        return True
    bits = name in ("server_max_window_bits", "client_max_window_bits")
    return bits and value is not None and _BITS.fullmatch(value) is not None


# ---------------------------------------------------------------- compressing and inflating


def compressor(bits: int, wanted: Settings) -> Any:
    """What compresses the messages of a connection, or a single one."""
    return zlib.compressobj(wanted.level, zlib.DEFLATED, -bits, wanted.mem_level)


def compress(stream: Any, message: bytes) -> bytes:
    """A message, not empty, behind those that the compressor has had before."""
    data: bytes = stream.compress(message) + stream.flush(zlib.Z_SYNC_FLUSH)
    return data[: -len(TAIL)]


class Inflater:
    """Inflates the messages of a connection, none to more than `limit` bytes."""

    __slots__ = ("_agreed", "_limit", "_stream")

    def __init__(self, agreed: Agreed, limit: int) -> None:
        self._agreed = agreed
        self._limit = limit
        self._stream: Any = None

    def begin(self, data: bytes) -> Inflation:
        """Begin with a message; the one before must have come to its end."""
        stream = self._stream
        if stream is None or stream.eof:
            # a client that was told 8 may have a zlib that cannot do that, and takes 9
            stream = zlib.decompressobj(-max(self._agreed.client_bits, NARROWEST))
            if self._agreed.client_takeover:
                self._stream = stream
        return Inflation(stream, data, self._limit)


class Inflation:
    """A message that is being inflated."""

    __slots__ = ("_left", "_limit", "_pieces", "_rest", "_stream")

    def __init__(self, stream: Any, data: bytes, limit: int) -> None:
        self._stream = stream
        self._rest = data + TAIL
        self._limit = limit
        self._left = limit
        self._pieces: list[bytes] = []

    def go_on(self, most: int) -> bool:
        """Inflate up to so many bytes more; True when that was the end of it.

        Never more than the limit is inflated, and a byte. Raises `TooLarge`, and `zlib.error` for
        what is no compressed message.
        """
        stream, most = self._stream, min(most, self._left + 1)
        piece = stream.decompress(self._rest, most)
        self._pieces.append(piece)
        self._left -= len(piece)
        if self._left < 0:
            raise TooLarge
        if stream.eof:
            # a final block, as is allowed (RFC 7692, 7.2.3.4): what is behind it must be empty
            if stream.unused_data not in (TAIL, b"\x00" + TAIL):
                raise zlib.error("data behind the final block")
            return True
        self._rest = stream.unconsumed_tail
        return len(piece) < most

    @property
    def message(self) -> bytes:
        """What it was, at the end."""
        return self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
