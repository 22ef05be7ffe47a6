"""WebSocket frames read by picows, which parses them in C and calls us back.

For where aiohttp's parser is not compiled, or not wanted. picows has no public door for a
connection that is there already, so its version is bounded. It judges single frames (lengths,
masks, reserved opcodes) and tells its log when one is wrong; what frames make together is judged in
connection.py.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Final

from picows import WSListener, WSMsgType, WSUpgradeResponse, WSUpgradeResponseWithListener
from picows.picows import WSAutoPingStrategy, WSProtocol  # type: ignore[attr-defined]  # private

from sioserver.websocket.connection import (
    INTERNAL_ERROR,
    INVALID_TEXT,
    NO_KIND,
    READ_AT_ONCE,
    WRITE_HIGH,
    WebSocket,
)
from sioserver.websocket.frames import RSV1

log = logging.getLogger(__name__)

READ_BUFFER: Final = 2048
HANDSHAKE_TIMEOUT: Final = 5.0

_TEXT: Final = WSMsgType.TEXT
_PINGS: Final = (False, 20, 20, WSAutoPingStrategy.PING_WHEN_IDLE, False)
"""picows asks and answers none: Engine.IO has pings of its own, and floods are bounded here."""


def begin(
    socket: WebSocket, tcp: asyncio.Transport, key: str, headers: dict[str, str], max_message: int
) -> Callable[[bytes], None]:
    """Accept the handshake with this key and read the connection from now on; `headers` are more
    ones for the answer, which is the first thing that the socket writes. Returns who takes bytes
    that have been read already."""
    listener = DeflatedListener(socket) if socket.deflates else Listener(socket)
    response = WSUpgradeResponse.create_101_response(headers)
    accepted = WSUpgradeResponseWithListener(response, listener)
    nobody = None  # host, port and path are for clients
    told = _Log(socket)
    protocol = Reader(
        nobody, nobody, False, lambda _: accepted, told, True, HANDSHAKE_TIMEOUT, *_PINGS,
        max_message, None, READ_BUFFER,
    )  # fmt: skip
    protocol.log = told
    protocol.connection_made(_Transport(tcp, told))
    tcp.set_protocol(protocol)
    tcp.set_write_buffer_limits(high=WRITE_HIGH)

    def feed(data: bytes) -> None:
        while data:
            room = protocol.get_buffer(len(data))
            size = min(len(room), len(data))
            room[:size] = data[:size]
            protocol.buffer_updated(size)
            data = data[size:]

    # it wants to read the request itself, and takes one value of Connection only
    feed(
        "GET / HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n".encode()
    )
    return feed


class Listener(WSListener):
    """What picows calls."""

    __slots__ = ("_socket",)

    def __init__(self, socket: WebSocket) -> None:
        super().__init__()
        self._socket = socket

    def on_ws_frame(self, transport: Any, received: Any) -> None:
        """A frame has come."""
        socket = self._socket
        if received.rsv1 or received.rsv2 or received.rsv3:
            socket.on_frame(NO_KIND, True, b"")
        elif (
            # nearly all of them: decoded where they lie, in one step
            received.msg_type is _TEXT
            and received.fin
            and not socket._fragments
            and not socket._closing
        ):
            try:
                text = received.get_payload_as_utf8_text()
            except UnicodeDecodeError:
                socket.fault(INVALID_TEXT)
                return
            socket._receiver.on_text(text)
        else:
            payload = received.get_payload_as_bytes()
            socket.on_frame(received.msg_type.value, bool(received.fin), payload)

    def on_ws_disconnected(self, transport: Any) -> None:
        """The connection is over."""
        self._socket.on_gone()

    def pause_writing(self) -> None:
        """The kernel takes no more for now."""
        self._socket.pause_writing()

    def resume_writing(self) -> None:
        """The kernel takes more again."""
        self._socket.resume_writing()


class DeflatedListener(Listener):
    """What picows calls where messages may be compressed."""

    __slots__ = ()

    def on_ws_frame(self, transport: Any, received: Any) -> None:
        """A frame has come."""
        kind = received.msg_type.value
        if received.rsv1:
            kind |= RSV1
        if received.rsv2 or received.rsv3:
            kind = NO_KIND
        self._socket.on_frame(kind, bool(received.fin), received.get_payload_as_bytes())


class Reader(WSProtocol):
    """picows' protocol with bounds. It doubles its buffer whenever a read fills it, without end;
    and when a frame is wrong it goes on for ten milliseconds, in which it hands out what it has
    refused, frames of any size too."""

    __slots__ = ("log",)

    log: _Log

    def buffer_updated(self, nbytes: int) -> None:
        """There they are."""
        super().buffer_updated(nbytes)
        if self.log.fault:
            self.log.socket.fault(self.log.fault)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where the next bytes go."""
        buffer: memoryview = super().get_buffer(sizehint)
        return buffer[:READ_AT_ONCE]


class _Log:
    """The logger that picows gets: a peer's protocol errors are no news, our own faults are.

    Not a logging.Logger: picows would keep a child of it for every connection.
    """

    __slots__ = ("fault", "socket")

    def __init__(self, socket: WebSocket) -> None:
        self.socket = socket
        # with which code the connection has to be closed, when the frames before have been handled
        self.fault = 0

    def isEnabledFor(self, level: int) -> bool:
        return False

    def debug(self, *_: object) -> None: ...

    def log(self, *_: object) -> None: ...

    def info(self, *_: object) -> None: ...

    def warning(self, *_: object) -> None: ...

    def error(self, text: str, reason: tuple[int, str]) -> None:
        self.fault = reason[0]

    def exception(self, text: str, *args: object) -> None:
        log.exception(text, *args)
        self.socket.close(INTERNAL_ERROR)


class _Transport:
    """The TCP transport as picows sees it. picows asks for addresses and options of the socket, to
    log them, and sets options that aiohttp has set already and that unix sockets do not have: a
    dozen system calls for a connection."""

    __slots__ = ("_log", "_tcp")

    def __init__(self, tcp: asyncio.Transport, log: _Log) -> None:
        self._tcp = tcp
        self._log = log

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tcp, name)

    def write(self, data: bytes) -> None:
        """The answer to the handshake. Of close frames, ours is enough."""
        if not self._log.fault:
            self._log.socket.write(data)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Is it encrypted? Of everything else, nothing."""
        if name == "socket":
            return _SOCKET
        return self._tcp.get_extra_info(name, default) if name == "ssl_object" else default


class _Socket:
    def fileno(self) -> int:
        return -1  # picows keeps it for its own way of sending, which is not used

    def setsockopt(self, *_: object) -> None: ...

    def getsockopt(self, *_: object) -> int:
        return 0


_SOCKET: Final = _Socket()
