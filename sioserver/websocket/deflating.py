"""A WebSocket whose messages are compressed, as agreed with the client (RFC 7692).

What goes to many is compressed once for each size of window, with nothing before it, so that
everybody can have the same bytes; what goes to one client may refer to what it had before, as long
as nothing else came between. Large messages are compressed and inflated by threads: what the
client gets, and what it sends, keeps its order meanwhile.
"""

from __future__ import annotations

import asyncio
import logging
import zlib
from collections import OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from math import inf
from typing import Any, ClassVar, Final

from sioserver.websocket import deflate
from sioserver.websocket.connection import (
    BINARY,
    GOING_AWAY,
    INTERNAL_ERROR,
    INVALID_TEXT,
    OK,
    TEXT,
    TOO_BIG,
    WRITE_HIGH,
    Receiver,
    WebSocket,
)
from sioserver.websocket.deflate import Agreed, Inflater, Inflation, Settings, TooLarge
from sioserver.websocket.frames import RSV1, Outgoing, frame

log = logging.getLogger(__name__)

COMPRESSED_HERE: Final = 32_768
"""Bytes that are compressed at once; more would stop the loop for over a millisecond."""

INFLATED_HERE: Final = 131_072
"""Bytes that are inflated at once, for the same reason."""

INFLATED_THERE: Final = 1_048_576
"""Bytes that a thread inflates at a time."""

MAX_CONTEXTS: Final = 256
"""Connections that have a compressor of their own; each costs 256 KiB at the usual settings."""

PATIENCE: Final = 16
"""Of so many messages to others when there are no more, one takes the compressor that was not used
for the longest time: idle ones do not stay, and many clients in turn do not all begin anew."""


class Codec:
    """What the compressed connections of a server have in common."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.bytes = dict.fromkeys(("out_plain", "out_deflated", "in_plain", "in_deflated"), 0)
        """What was compressed and inflated, before and after; a broadcast counts once."""
        self._contexts: OrderedDict[DeflatingWebSocket, Any] = OrderedDict()
        self._turned_away = 0
        self._pool: ThreadPoolExecutor | None = None
        self._running: set[asyncio.Future[Any]] = set()

    def now(self) -> dict[str, int]:
        """What it keeps: connections with a compressor of their own, and large messages that a
        thread works at or that wait for one."""
        return {"contexts": len(self._contexts), "large": len(self._running)}

    def on_thread(
        self, work: Callable[[], Any], done: Callable[[asyncio.Future[Any]], None]
    ) -> None:
        """Have a thread do it, and then tell `done`; no more than `concurrency` work at a time."""
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self.settings.concurrency, "deflate")
        future = asyncio.get_running_loop().run_in_executor(self._pool, work)
        self._running.add(future)
        future.add_done_callback(self._running.discard)
        future.add_done_callback(done)

    async def stop(self) -> None:
        """Let go of the threads; what still waits for one is given up."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = None
        if self._running:
            await asyncio.wait(self._running)

    # ------------------------------------------------------------ out

    def shared(self, out: Outgoing, bits: int, waiter: DeflatingWebSocket) -> bytes | None:
        """The frames of a packet, the same for all clients with this window. None: a thread is at
        it, and the waiter's `go_on` is called afterwards."""
        made = out.compressed.get(bits)
        if isinstance(made, bytes):
            return made
        if made is None and len(out.frames) <= COMPRESSED_HERE:
            made = self._compress(out, lambda: deflate.compressor(bits, self.settings))
            self._keep(out, bits, made)
            return made
        if made is None:
            made = out.compressed[bits] = []
            self.on_thread(
                lambda: self._compress(out, lambda: deflate.compressor(bits, self.settings)),
                lambda done: self._compressed(out, bits, done),
            )
        made.append(waiter)
        return None

    def _compressed(self, out: Outgoing, bits: int, done: asyncio.Future[bytes]) -> None:
        waiters = out.compressed[bits]
        if done.cancelled() or done.exception() is not None:
            if not done.cancelled():
                log.error("a message could not be compressed", exc_info=done.exception())
            out.compressed[bits] = out.frames
        else:
            self._keep(out, bits, done.result())
        for waiter in waiters:
            waiter.go_on()

    def own(self, out: Outgoing, bits: int, socket: DeflatingWebSocket) -> bytes | None:
        """The frames of a packet that refer to what the client had before; as `shared`, when the
        client may have no compressor."""
        stream = self._contexts.get(socket)
        if stream is None:
            if len(self._contexts) >= MAX_CONTEXTS:
                self._turned_away += 1
                if self._turned_away % PATIENCE:
                    return self.shared(out, bits, socket)
                self._contexts.popitem(last=False)
            stream = self._contexts[socket] = deflate.compressor(bits, self.settings)
        self._contexts.move_to_end(socket)
        return self._count(out, self._compress(out, lambda: stream, whatever=True))

    def forget(self, socket: DeflatingWebSocket) -> None:
        """The client's next message refers to nothing."""
        self._contexts.pop(socket, None)

    def _compress(
        self, out: Outgoing, stream: Callable[[], Any], *, whatever: bool = False
    ) -> bytes:
        """The frames; `whatever`: also those messages are compressed that get no smaller by it."""
        frames = []
        for opcode, message in out.messages():
            if len(message) >= max(self.settings.threshold, 1):
                packed = deflate.compress(stream(), message)
                if whatever or len(packed) < len(message):
                    opcode, message = opcode | RSV1, packed
            frames.append(frame(opcode, message))
        return b"".join(frames)

    def _keep(self, out: Outgoing, bits: int, made: bytes) -> None:
        # the same object where nothing was compressed: `DeflatingWebSocket` asks
        out.compressed[bits] = out.frames if made == out.frames else self._count(out, made)

    def _count(self, out: Outgoing, made: bytes) -> bytes:
        self.bytes["out_plain"] += len(out.frames)
        self.bytes["out_deflated"] += len(made)
        return made


class DeflatingWebSocket(WebSocket):
    """A connection on which messages are compressed."""

    __slots__ = (
        "_agreed",
        "_codec",
        "_held",
        "_held_bytes",
        "_inflater",
        "_inflating",
        "_later",
        "_stopped",
    )

    deflates: ClassVar = True
    _more_kinds: ClassVar[frozenset[int]] = frozenset({RSV1 | TEXT, RSV1 | BINARY})

    def __init__(
        self,
        receiver: Receiver,
        tcp: asyncio.Transport,
        max_message: int,
        codec: Codec,
        agreed: Agreed,
    ) -> None:
        super().__init__(receiver, tcp, max_message)
        self._codec = codec
        self._agreed = agreed
        # packets behind one that a thread compresses, that one first
        self._held: deque[Outgoing] | None = None
        self._held_bytes = 0
        # frames behind a message that a thread inflates: those of one read at most
        self._inflater = Inflater(agreed, max_message)
        self._inflating = False
        self._later: deque[tuple[int, bool, bytes]] | None = None
        self._stopped = False

    # ------------------------------------------------------------ out

    def send(self, out: Outgoing, limit: float = inf) -> bool:
        """Write a packet, compressed where that is worth it; as `write`."""
        if self._held is None and (frames := self._frames(out)) is not None:
            if self.write(frames, limit):
                return True
            self._codec.forget(self)  # its compressor has seen what the client never will
            return False
        if self._closing:
            return True
        size = len(out.frames)
        if (self._held or self._paused) and self.backlog + size > limit:
            return False
        if self._held is None:
            self._held = deque()
        self._held.append(out)
        self._held_bytes += size
        return True

    def _frames(self, out: Outgoing) -> bytes | None:
        """As they are written; None: a thread is at it."""
        if len(out.frames) < self._codec.settings.threshold or self._closing:
            return out.frames
        bits, codec = self._agreed.server_bits, self._codec
        if out.alone and self._agreed.server_takeover and len(out.frames) <= COMPRESSED_HERE:
            return codec.own(out, bits, self)
        frames = codec.shared(out, bits, self)
        if frames is not out.frames:
            codec.forget(self)  # the client's window moves on without our compressor
        return frames

    def go_on(self) -> None:
        """A packet that was waited for is compressed."""
        while self._held:
            frames = self._frames(self._held[0])
            if frames is None:
                return
            self._held_bytes -= len(self._held.popleft().frames)
            self.write(frames)
        self._held = None
        self._release()

    @property
    def backlog(self) -> int:
        """Bytes that the kernel has not taken yet."""
        return self._gathered + self._held_bytes + self._tcp.get_write_buffer_size()

    def close(self, code: int = OK, reason: bytes = b"") -> None:
        """Close politely: what was written goes out first, what is not compressed yet as it is."""
        held, self._held, self._held_bytes = self._held, None, 0
        for out in held or ():
            self.write(out.frames)
        super().close(code, reason)

    def _forget(self) -> None:
        super()._forget()
        self._held, self._held_bytes = None, 0
        self._codec.forget(self)

    async def drained(self, below: int = WRITE_HIGH) -> None:
        """Wait until the kernel has taken most of what was written; see `WebSocket`."""
        if self._held:
            self._drained = self._drained or asyncio.get_running_loop().create_future()
            await asyncio.shield(self._drained)
        else:
            await super().drained(below)

    # ------------------------------------------------------------ in

    def on_frame(self, kind: int, fin: bool, payload: bytes) -> None:
        """A frame has come; it waits while a message before it is inflated."""
        if self._inflating:
            self._later = self._later or deque()
            self._later.append((kind, fin, payload))
        else:
            super().on_frame(kind, fin, payload)

    def _on_message(self, kind: int, message: bytes) -> None:
        if kind & RSV1:
            self._inflate(kind & ~RSV1, message)
        else:
            super()._on_message(kind, message)

    def _inflate(self, kind: int, data: bytes) -> None:
        inflation = self._inflater.begin(data)
        self._codec.bytes["in_deflated"] += len(data)
        try:
            whole = inflation.go_on(INFLATED_HERE)
        except (TooLarge, zlib.error) as error:
            self._refuse(error)
            return
        if whole:
            self._inflated(kind, inflation)
            return
        self._inflating = True
        super().pause_reading()
        self._codec.on_thread(
            lambda: _to_the_end(inflation), lambda done: self._on_inflated(kind, inflation, done)
        )

    def _on_inflated(self, kind: int, inflation: Inflation, done: asyncio.Future[None]) -> None:
        self._inflating = False
        if self._closing:
            return
        if done.cancelled():
            self.close(GOING_AWAY)
            return
        if (error := done.exception()) is not None:
            self._refuse(error)
            return
        self._inflated(kind, inflation)
        while self._later and not self._inflating:
            super().on_frame(*self._later.popleft())
        if not self._inflating and not self._stopped:
            super().resume_reading()

    def _inflated(self, kind: int, inflation: Inflation) -> None:
        message = inflation.message
        self._codec.bytes["in_plain"] += len(message)
        super()._on_message(kind, message)

    def _refuse(self, error: BaseException) -> None:
        if isinstance(error, TooLarge):
            self.fault(TOO_BIG)
        elif isinstance(error, zlib.error):
            self.fault(INVALID_TEXT)  # as ws: data that do not suit the type of the message
        else:
            log.error("a message could not be inflated", exc_info=error)
            self.close(INTERNAL_ERROR)

    def pause_reading(self) -> None:
        """Take no more from the peer for now."""
        self._stopped = True
        super().pause_reading()

    def resume_reading(self) -> None:
        """Go on after `pause_reading`, when nothing is being inflated."""
        self._stopped = False
        if not self._inflating:
            super().resume_reading()


def _to_the_end(inflation: Inflation) -> None:
    while not inflation.go_on(INFLATED_THERE):
        pass
