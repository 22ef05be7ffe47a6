"""The WebSocket: frames in, frames out (RFC 6455), taken over from aiohttp after it has routed.

aiohttp answers the request's path and headers; then picows owns the TCP connection, parses frames
in C and calls us back: no task, no queue and no request object per connection. Outgoing frames
come ready-made and are written to the TCP transport as they are. Knows nothing of Engine.IO.

picows has no public way to take over a connection, so its version is pinned; and it hands out
frames, so fragments are joined here.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from math import inf
from socket import AF_INET, AF_INET6
from typing import Any, Final, Protocol
from weakref import WeakKeyDictionary

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from picows import WSListener, WSMsgType
from picows.picows import WSAutoPingStrategy, WSProtocol  # type: ignore[attr-defined]  # private

from sioserver.transport.frames import frame

log = logging.getLogger(__name__)

READ_BUFFER: Final = 2048
READ_AT_ONCE: Final = 65_536
"""Bytes that are taken from the kernel at a time: picows doubles its buffer whenever a read fills
it, without end, and handles all the frames in it in one call."""
HANDSHAKE_TIMEOUT: Final = 5.0
CLOSE_TIMEOUT: Final = 1.0
"""Seconds that a peer has to read what was written before the close frame."""
WRITE_HIGH: Final = 65_536
"""Bytes that the kernel has not taken, beyond which the connection counts as paused."""
GATHERED: Final = 65_536
"""Bytes that wait at most for the end of the loop's turn."""
MAX_FRAGMENTS: Final = 1024
"""Frames of one message; many tiny ones cost far more memory than they carry (CVE-2026-62389)."""

OK: Final = 1000
GOING_AWAY: Final = 1001
PROTOCOL_ERROR: Final = 1002
INVALID_TEXT: Final = 1007
TOO_BIG: Final = 1009


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
    joined, a delivery in a busy room costs about half (benchmarks/cluster.py). The end is one round
    of callbacks later than it could be: handlers that this turn woke up answer meanwhile, so that a
    message and its acknowledgement reach who posted it in one write.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.sockets: list[WebSocket] = []

    def begin(self) -> None:
        """The first socket of this turn is about to be added to `sockets`."""
        self._loop.call_soon(self._loop.call_soon, self._end)

    def _end(self) -> None:
        sockets, self.sockets = self.sockets, []
        for socket in sockets:
            try:
                socket.flush()
            except Exception:  # the others must not wait for ever
                log.exception("a connection could not be written to")
                socket.abort()


_TURNS: Final[WeakKeyDictionary[asyncio.AbstractEventLoop, Turn]] = WeakKeyDictionary()


def _turn() -> Turn:
    loop = asyncio.get_running_loop()
    turn = _TURNS.get(loop)
    if turn is None:
        turn = _TURNS[loop] = Turn()
    return turn


class WebSocket(WSListener):
    """One WebSocket connection."""

    def __init__(self, receiver: Receiver, tcp: asyncio.Transport, max_message: int) -> None:
        super().__init__()
        self._turn = _turn()
        self._out: list[bytes] = []
        self._gathered = 0
        self._receiver = receiver
        self._tcp = tcp
        self._max_message = max_message
        self._fragments: list[bytes] = []
        self._fragments_size = 0
        self._fragments_text = False
        self._closing = False
        self._paused = False
        self._drained: asyncio.Future[None] | None = None

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

    def flush(self) -> None:
        """Write now what waits for the end of the turn."""
        out = self._out
        if out:
            frames = out[0] if len(out) == 1 else b"".join(out)
            out.clear()
            self._gathered = 0
            self._tcp.write(frames)

    @property
    def backlog(self) -> int:
        """Bytes that the kernel has not taken yet."""
        return self._gathered + self._tcp.get_write_buffer_size()

    def close(self, code: int = OK) -> None:
        """Close politely: what was written goes out first; a mute peer is cut off soon."""
        if self._closing:
            return
        self.flush()
        self._tcp.write(frame(0x88, code.to_bytes(2, "big")))
        self._closing = True
        if self._tcp.get_write_buffer_size():
            # whoever does not read will not read the close frame either
            asyncio.get_running_loop().call_later(CLOSE_TIMEOUT, self._tcp.abort)
        self._tcp.close()

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

    # ------------------------------------------------------------ in, called by picows

    def on_ws_frame(self, transport: Any, received: Any) -> None:
        """A frame has come."""
        if self._closing:
            return
        kind = received.msg_type
        if received.rsv1 or received.rsv2 or received.rsv3:
            self.close(PROTOCOL_ERROR)
        elif received.fin and kind is WSMsgType.TEXT and not self._fragments:
            try:
                text = received.get_payload_as_utf8_text()
            except UnicodeDecodeError:
                self.close(INVALID_TEXT)
                return
            self._receiver.on_text(text)
        elif received.fin and kind is WSMsgType.BINARY and not self._fragments:
            self._receiver.on_binary(received.get_payload_as_bytes())
        elif kind is WSMsgType.CLOSE:
            self.close(_echo(int(received.get_close_code())))
        elif kind is WSMsgType.PING:
            # only while the peer reads: a flood of pings must not pile up answers
            if self.backlog < WRITE_HIGH:
                self._tcp.write(frame(0x8A, received.get_payload_as_bytes()))
        elif kind is not WSMsgType.PONG:
            self._fragment(kind, received)

    def _fragment(self, kind: WSMsgType, received: Any) -> None:
        begins = kind is not WSMsgType.CONTINUATION
        if begins == bool(self._fragments):
            self.close(PROTOCOL_ERROR)
            return
        if begins:
            self._fragments_text = kind is WSMsgType.TEXT
            self._fragments_size = 0
        payload = received.get_payload_as_bytes()
        self._fragments.append(payload)
        self._fragments_size += len(payload)
        if len(self._fragments) > MAX_FRAGMENTS or self._fragments_size > self._max_message:
            self._fragments.clear()
            self.close(TOO_BIG)
            return
        if not received.fin:
            return
        message = b"".join(self._fragments)
        self._fragments.clear()
        if not self._fragments_text:
            self._receiver.on_binary(message)
            return
        try:
            text = message.decode()
        except UnicodeDecodeError:
            self.close(INVALID_TEXT)
            return
        self._receiver.on_text(text)

    def on_ws_disconnected(self, transport: Any) -> None:
        """The connection is over."""
        self._closing = True
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
        if self._paused and not self._closing:
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


def _echo(code: int) -> int:
    """The code that answers a close frame; 1005 stands for none and may not be sent."""
    return code if code >= 1000 and code != 1005 else OK


class Detached(web.StreamResponse):
    """The response of a request whose connection another protocol owns: nothing is written."""

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Nothing to prepare."""
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        """Nothing to end."""

    @property
    def prepared(self) -> bool:
        """aiohttp must not prepare it."""
        return True


class _Quiet:
    """The logger that picows gets: a peer's protocol errors are no news, our own faults are.

    Not a logging.Logger: picows would keep a child of it for every connection.
    """

    def isEnabledFor(self, level: int) -> bool:
        return False

    def debug(self, *_: object) -> None: ...

    def log(self, *_: object) -> None: ...

    def info(self, *_: object) -> None: ...

    def warning(self, *_: object) -> None: ...

    def error(self, *_: object) -> None: ...

    def exception(self, text: str, *args: object) -> None:
        log.exception(text, *args)


_QUIET: Final = _Quiet()


def take_over(
    request: web.Request,
    receiver: Receiver,
    max_message: int,
    opened: Callable[[WebSocket], None],
) -> bool:
    """Turn the request's connection into a WebSocket; False when it cannot be one.

    The handshake is answered here (101, or 400 when it is malformed), then `opened(socket)` is
    called, then come the frames. The handler must return `detached()` right after, without waiting
    for anything.
    """
    tcp = request.transport
    if tcp is None or tcp.is_closing():
        return False
    handler = request.protocol
    socket = WebSocket(receiver, tcp, max_message)
    protocol = Reader(
        None,  # host and port: client side only
        None,  # path: client side only
        False,
        lambda _: socket,
        _QUIET,
        True,
        HANDSHAKE_TIMEOUT,
        False,
        20,
        20,
        WSAutoPingStrategy.PING_WHEN_IDLE,
        False,
        max_message,
        None,
        READ_BUFFER,
    )
    tail = handler._message_tail  # frames that came right behind the request
    protocol.connection_made(_without_tcp_options(tcp))
    tcp.set_protocol(protocol)
    tcp.set_write_buffer_limits(high=WRITE_HIGH)
    let_go(request)
    _feed(protocol, _head(request))
    if tcp.is_closing():
        return False
    # aiohttp pauses when much has come behind the request; before the tail is handled, for that
    # may be so much that the receiver pauses
    tcp.resume_reading()
    opened(socket)
    _feed(protocol, tail)
    return True


def let_go(request: web.Request) -> None:
    """aiohttp must not close the connection that it no longer owns, and lets go of everything
    about it. The handler must return `detached()` right after."""
    handler = request.protocol
    handler.transport = None
    asyncio.get_running_loop().call_soon(handler.connection_lost, None)


class _UnixTransport:
    """A unix socket's transport for picows, which sets options on it that only TCP has."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """The transport's own, but for the socket."""
        found = self._transport.get_extra_info(name, default)
        return _UnixSocket(found.fileno()) if name == "socket" else found


class _UnixSocket:
    def __init__(self, number: int) -> None:
        self._number = number

    def fileno(self) -> int:
        return self._number

    def setsockopt(self, *_: object) -> None: ...

    def getsockopt(self, *_: object) -> int:
        return 0


def _without_tcp_options(transport: asyncio.Transport) -> Any:
    family = transport.get_extra_info("socket").family
    return transport if family in (AF_INET, AF_INET6) else _UnixTransport(transport)


def detached() -> Detached:
    """The response of a request whose connection was taken over."""
    response = Detached()
    response.force_close()
    return response


def _head(request: web.Request) -> bytes:
    # picows wants the request again; only these lines matter to it, and the rest may be long
    lines = ["GET / HTTP/1.1"]
    for name in ("Host", "Upgrade", "Connection", "Sec-WebSocket-Version", "Sec-WebSocket-Key"):
        lines.extend(f"{name}: {value}" for value in request.headers.getall(name, ()))
    return ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8", "surrogateescape")


class Reader(WSProtocol):
    """picows' protocol with bounded reads."""

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where the next bytes go."""
        buffer: memoryview = super().get_buffer(sizehint)
        return buffer[:READ_AT_ONCE]


def _feed(protocol: WSProtocol, data: bytes) -> None:
    while data:
        room = protocol.get_buffer(len(data))
        size = min(len(room), len(data))
        room[:size] = data[:size]
        protocol.buffer_updated(size)
        data = data[size:]
