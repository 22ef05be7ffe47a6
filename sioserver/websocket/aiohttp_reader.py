"""WebSocket frames read by aiohttp's parser, in C: the default.

The connection is taken over as with picows, so that everything else is the same: no task and no
queue per connection. aiohttp's own `WebSocketResponse` would judge messages by itself, and
differently: it takes unmasked frames and any number of fragments. Here each frame goes to
connection.py as it comes. For that a method of the parser is overridden that is not public;
tests/transport/test_aiohttp_reader.py says with which versions this works.
"""

from __future__ import annotations

import asyncio
import logging
from base64 import b64encode
from collections.abc import Callable
from hashlib import sha1
from typing import Any, Final
from weakref import WeakKeyDictionary

from aiohttp._websocket.reader import WebSocketDataQueue
from aiohttp.http_websocket import WS_KEY, WebSocketError, WebSocketReader

from sioserver.websocket.connection import (
    BINARY,
    INTERNAL_ERROR,
    PROTOCOL_ERROR,
    READ_AT_ONCE,
    TEXT,
    WRITE_HIGH,
    WebSocket,
)
from sioserver.websocket.frames import RSV1

log = logging.getLogger(__name__)

COMPILED: Final = WebSocketReader.__module__.endswith("_c")
"""Is it the parser in C? aiohttp has the same in Python, for where that could not be compiled."""

_NOBODY: Final[Any] = None
_EMPTY: Final = WebSocketDataQueue(_NOBODY, 2**16, loop=_NOBODY)
"""The queue of all parsers: they look at its size, and nothing is ever put into it."""


def begin(
    socket: WebSocket, tcp: asyncio.Transport, key: str, headers: dict[str, str], max_message: int
) -> Callable[[bytes], None]:
    """Accept the handshake with this key and read the connection from now on; `headers` are more
    ones for the answer, which is the first thing that the socket writes. Returns who takes bytes
    that have been read already."""
    protocol = Reader(socket, max_message)
    tcp.set_protocol(protocol)
    tcp.set_write_buffer_limits(high=WRITE_HIGH)
    answer = {
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Accept": b64encode(sha1(key.encode() + WS_KEY).digest()).decode(),  # noqa: S324  # RFC 6455, 4.2.2
        **headers,
    }
    lines = "".join(f"{name}: {value}\r\n" for name, value in answer.items())
    socket.write(f"HTTP/1.1 101 Switching Protocols\r\n{lines}\r\n".encode())
    return protocol.feed


class Parser(WebSocketReader):
    """aiohttp's parser, which hands out frames before it makes messages of them."""

    __slots__ = ("_socket",)

    def __init__(self, socket: WebSocket, max_message: int) -> None:
        # it counts as too large what is as large as this
        super().__init__(_EMPTY, max_message + 1, compress=socket.deflates, decode_text=False)
        self._socket = socket

    def _handle_frame(self, fin: bool, opcode: int, payload: Any, compressed: int) -> None:
        if type(payload) is bytes:  # what was masked is a bytearray
            raise WebSocketError(PROTOCOL_ERROR, "a frame without a mask")
        if compressed == 1 and opcode in (TEXT, BINARY):
            opcode |= RSV1  # it is told of each frame, but stood at the first of the message
        self._socket.on_frame(opcode, fin, bytes(payload))


_BUFFERS: Final[WeakKeyDictionary[asyncio.AbstractEventLoop, memoryview]] = WeakKeyDictionary()


def _buffer() -> memoryview:
    """Where all connections of a loop are read into: what is read is handled at once. Another loop
    is another thread, which might read in between."""
    loop = asyncio.get_running_loop()
    buffer = _BUFFERS.get(loop)
    if buffer is None:
        buffer = _BUFFERS[loop] = memoryview(bytearray(READ_AT_ONCE))
    return buffer


class Reader(asyncio.BufferedProtocol):
    """Reads the connection."""

    __slots__ = ("_buffer", "_parser", "_socket")

    def __init__(self, socket: WebSocket, max_message: int) -> None:
        self._buffer = _buffer()
        self._socket = socket
        self._parser = Parser(socket, max_message)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where the next bytes go."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """There they are."""
        self.feed(bytes(self._buffer[:nbytes]))

    def feed(self, data: bytes) -> None:
        """Take bytes of the peer's."""
        socket = self._socket
        if socket._closing:
            return
        try:
            self._parser._feed_data(data)
        except WebSocketError as error:
            socket.fault(error.code)
        except Exception:  # the client is told with a close frame
            log.exception("a frame could not be handled")
            socket.close(INTERNAL_ERROR)

    def pause_writing(self) -> None:
        """The kernel takes no more for now."""
        self._socket.pause_writing()

    def resume_writing(self) -> None:
        """The kernel takes more again."""
        self._socket.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is over."""
        self._socket.on_gone()
