"""A WebSocket connection (RFC 6455): frames in, frames out.

Outgoing frames come ready-made, are gathered for the length of a turn of the event loop and written
to the TCP transport as they are. Incoming ones are given to `on_frame` by one of two readers
(picows_reader.py, aiohttp_reader.py), which are all that differs between connections; what
the frames make together is judged here, the same for both. Knows nothing of HTTP or Engine.IO.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from math import inf
from typing import ClassVar, Final, Protocol
from weakref import WeakKeyDictionary

from sioserver.websocket.frames import Outgoing, frame

log = logging.getLogger(__name__)

CLOSE_TIMEOUT: Final = 1.0
"""Seconds that a peer has to read what was written before the close frame."""
WRITE_HIGH: Final = 65_536
"""Bytes that the kernel has not taken, beyond which the connection counts as paused."""
GATHERED: Final = 65_536
"""Bytes that wait at most for the end of the loop's turn."""
READ_AT_ONCE: Final = 65_536
"""Bytes that are taken from the kernel at a time; all frames in them are handled in one call."""
MOST_ROUNDS: Final = 4
"""Rounds of the event loop for which what was written waits at most: there is always somebody to
write to on a busy node."""
MAX_FRAGMENTS: Final = 1024
"""Frames of one message; many tiny ones cost far more memory than they carry (CVE-2026-62389)."""

CONTINUATION: Final = 0
TEXT: Final = 1
BINARY: Final = 2
CLOSE: Final = 8
PING: Final = 9
PONG: Final = 10
NO_KIND: Final = 255
"""Stands for what no frame may be."""

OK: Final = 1000
GOING_AWAY: Final = 1001
PROTOCOL_ERROR: Final = 1002
INVALID_TEXT: Final = 1007
TOO_BIG: Final = 1009
INTERNAL_ERROR: Final = 1011

REASONS: Final = {
    PROTOCOL_ERROR: b"not a frame that may come here",
    INVALID_TEXT: b"not the data that the frame is for",
    TOO_BIG: b"the message is too large",
}
"""What the peer is told that broke the protocol, by the code of the close frame."""

NEVER_SENT: Final = frozenset({1004, 1005, 1006})
"""Codes that stand for something else than a close frame (RFC 6455, 7.4.1)."""


class Receiver(Protocol):
    """Who owns the WebSocket."""

    def on_text(self, text: str) -> None:
        """A text message."""

    def on_binary(self, data: bytes) -> None:
        """A binary message."""

    def on_gone(self) -> None:
        """The connection is over, whoever ended it. Called exactly once, and nothing after."""


class Turn:
    """The sockets that were written to in this turn of a loop: each is written once, at its end.

    A write to the kernel is most of what a delivery costs, and messages come several at a time:
    joined, a delivery in a busy room costs about half (make bench WORK=burst). The end comes when a
    whole round of callbacks has added no socket: handlers that this turn woke up answer meanwhile,
    so that a message and its acknowledgement reach who posted it in one write.
    """

    # it must not keep its loop alive, whose entry in `_TURNS` it is
    def __init__(self) -> None:
        self.sockets: list[WebSocket] = []
        self._counted = self._rounds = 0

    def begin(self) -> None:
        """The first socket of this turn is about to be added to `sockets`."""
        self._counted = self._rounds = 0
        asyncio.get_running_loop().call_soon(self._round)

    def _round(self) -> None:
        if len(self.sockets) > self._counted and self._rounds < MOST_ROUNDS:
            self._counted = len(self.sockets)
            self._rounds += 1
            asyncio.get_running_loop().call_soon(self._round)
        else:
            self._end()

    def _end(self) -> None:
        sockets, self.sockets = self.sockets, []
        for socket in sockets:
            socket.flush()


_TURNS: Final[WeakKeyDictionary[asyncio.AbstractEventLoop, Turn]] = WeakKeyDictionary()


def _turn() -> Turn:
    loop = asyncio.get_running_loop()
    turn = _TURNS.get(loop)
    if turn is None:
        turn = _TURNS[loop] = Turn()
    return turn


class WebSocket:
    """One WebSocket connection, the server's end of it."""

    deflates: ClassVar = False
    """Whether messages are compressed here, or may be (deflating.py)."""

    _more_kinds: ClassVar[frozenset[int]] = frozenset()
    """Kinds of messages that there are besides text and binary."""

    __slots__ = (
        "_closing",
        "_drained",
        "_fragments",
        "_fragments_kind",
        "_fragments_size",
        "_gathered",
        "_gone",
        "_max_message",
        "_out",
        "_paused",
        "_receiver",
        "_tcp",
        "_turn",
        "faulty",
        "on_pong",
        "said",
    )

    def __init__(self, receiver: Receiver, tcp: asyncio.Transport, max_message: int) -> None:
        self._turn = _turn()
        self._out: list[bytes] = []
        self._gathered = 0
        self._receiver = receiver
        self._tcp = tcp
        self._max_message = max_message
        self._fragments: list[bytes] = []
        self._fragments_size = 0
        self._fragments_kind = TEXT
        self._closing = self._gone = False
        self._paused = False
        self._drained: asyncio.Future[None] | None = None
        self.faulty = False
        """It was closed because the peer broke the protocol."""
        self.said = 0
        """The code of the peer's close frame; 0: none has come. One without a code says 1000."""
        self.on_pong: Callable[[bytes], None] | None = None
        """Told of pongs, where somebody sends pings: of any, also of those that answer none."""

    # ------------------------------------------------------------ out

    def write(self, frames: bytes, limit: float = inf) -> bool:
        """Write whole, unmasked frames, at the end of this turn of the loop; nothing, once the
        connection is closing. False, when the `backlog` would be more than `limit` bytes (it may be
        `WRITE_HIGH` more: as long as that little waits, nobody asks the transport)."""
        out = self._out
        if out or self._paused or self._closing:
            return self._write_more(frames, limit)
        turn = self._turn
        if not turn.sockets:
            turn.begin()
        turn.sockets.append(self)
        out.append(frames)
        self._gathered = len(frames)
        return True

    def _write_more(self, frames: bytes, limit: float) -> bool:
        if self._closing:
            return True
        size = len(frames)
        if self._out and self.backlog + size > limit:
            self.flush()  # perhaps the kernel takes it at once
        if not self._out:
            if self._paused and self.backlog + size > limit:
                return False
            if not self._turn.sockets:
                self._turn.begin()
            self._turn.sockets.append(self)
        self._out.append(frames)
        self._gathered += size
        if self._gathered > GATHERED:
            self.flush()
        return True

    def send(self, out: Outgoing, limit: float = inf) -> bool:
        """Write a packet in the way that was agreed with the client; as `write`."""
        return self.write(out.frames, limit)

    def flush(self) -> None:
        """Write now what waits for the end of the turn. Does not raise: whoever writes to many
        goes on with the others."""
        out = self._out
        if out:
            frames = out[0] if len(out) == 1 else b"".join(out)
            out.clear()
            self._gathered = 0
            try:
                self._tcp.write(frames)
            except Exception:  # it is closed; the others are written to
                log.exception("a connection could not be written to")
                self.abort()

    @property
    def backlog(self) -> int:
        """Bytes that the kernel has not taken yet."""
        return self._gathered + self._tcp.get_write_buffer_size()

    def close(self, code: int = OK, reason: bytes = b"") -> None:
        """Close politely: what was written goes out first; a mute peer is cut off soon. `reason`:
        UTF-8, at most 123 bytes."""
        if self._closing:
            return
        self.flush()
        self._tcp.write(frame(0x88, code.to_bytes(2, "big") + reason))
        self._closing = True
        if self._tcp.get_write_buffer_size():
            # whoever does not read will not read the close frame either
            asyncio.get_running_loop().call_later(CLOSE_TIMEOUT, self._tcp.abort)
        self._tcp.close()

    def fault(self, code: int) -> None:
        """The peer broke the protocol: close, and say how; `code` is a key of `REASONS`."""
        if not self._closing:
            self.faulty = True
            self.close(code, REASONS[code])

    def abort(self) -> None:
        """Cut the connection off at once."""
        self._closing = True
        self._forget()
        self._tcp.abort()

    def _forget(self) -> None:
        """Nothing that waits is written any more."""
        self._out.clear()
        self._gathered = 0

    def pause_reading(self) -> None:
        """Take no more from the peer for now: TCP slows it down."""
        if not self._tcp.is_closing():
            self._tcp.pause_reading()

    def resume_reading(self) -> None:
        """Go on after `pause_reading`."""
        if not self._tcp.is_closing():
            self._tcp.resume_reading()

    # ------------------------------------------------------------ in, called by the reader

    def on_frame(self, kind: int, fin: bool, payload: bytes) -> None:
        """A frame has come, unmasked and no larger than a message may be; `kind` is its opcode,
        with the bit RSV1 where that is set."""
        if self._closing:
            return
        if kind > PONG and kind not in self._more_kinds:
            self.fault(PROTOCOL_ERROR)
        elif kind == PING:
            # only while the peer reads: a flood of pings must not pile up answers
            if self.backlog < WRITE_HIGH:
                self._tcp.write(frame(0x8A, payload))
        elif kind == CLOSE:
            self._on_close(payload)
        elif kind == PONG:
            if self.on_pong is not None:
                self.on_pong(payload)
        else:
            if (kind == CONTINUATION) != bool(self._fragments):
                self.fault(PROTOCOL_ERROR)
            elif fin and kind != CONTINUATION:
                self._on_message(kind, payload)
            else:
                self._on_fragment(kind, fin, payload)

    def _on_fragment(self, kind: int, fin: bool, payload: bytes) -> None:
        if kind != CONTINUATION:
            self._fragments_kind = kind
            self._fragments_size = 0
        self._fragments.append(payload)
        self._fragments_size += len(payload)
        if len(self._fragments) > MAX_FRAGMENTS or self._fragments_size > self._max_message:
            self._fragments.clear()
            self.fault(TOO_BIG)
        elif fin:
            message = b"".join(self._fragments)
            self._fragments.clear()
            self._on_message(self._fragments_kind, message)

    def _on_message(self, kind: int, message: bytes) -> None:
        if kind == BINARY:
            self._receiver.on_binary(message)
            return
        try:
            text = message.decode()
        except UnicodeDecodeError:
            self.fault(INVALID_TEXT)
            return
        self._receiver.on_text(text)

    def _on_close(self, payload: bytes) -> None:
        """A close frame (RFC 6455, 5.5.1): its code is the answer, if it is one."""
        code = int.from_bytes(payload[:2], "big") if payload else OK
        known = 1000 <= code <= 1014 and code not in NEVER_SENT
        if len(payload) == 1 or not (known or 3000 <= code <= 4999):
            self.fault(PROTOCOL_ERROR)
            return
        try:
            payload[2:].decode()
        except UnicodeDecodeError:
            self.fault(INVALID_TEXT)
        else:
            self.said = code
            self.close(code)

    def on_gone(self) -> None:
        """The connection is over."""
        self._closing = self._gone = True
        self._forget()
        self._release()
        self._receiver.on_gone()

    def pause_writing(self) -> None:
        """The kernel takes no more for now. The owner looks at `backlog` before it writes."""
        self._paused = True

    def resume_writing(self) -> None:
        """The kernel takes more again."""
        self._paused = False
        self._release()

    async def drained(self, below: int = WRITE_HIGH) -> None:
        """Wait until the kernel has taken most of what was written (no more than `below` bytes are
        left), or the connection is over."""
        self.flush()
        if below < WRITE_HIGH and self.backlog > below and not self._closing:
            self._tcp.set_write_buffer_limits(high=below)  # that pauses at once
        if (self._paused or self._closing) and not self._gone:
            self._drained = self._drained or asyncio.get_running_loop().create_future()
            await asyncio.shield(self._drained)
            if below < WRITE_HIGH and not self._closing:
                self._tcp.set_write_buffer_limits(high=WRITE_HIGH)
        else:
            await asyncio.sleep(0)  # what was written in this turn of the loop goes out with it

    def _release(self) -> None:
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)
        self._drained = None
