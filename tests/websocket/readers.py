"""The readers of WebSocket frames without a server: bytes go in, what becomes of them is kept."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

from sioserver.websocket import aiohttp_reader, picows_reader
from sioserver.websocket.connection import WebSocket

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
READERS: dict[str, Any] = {"picows": picows_reader, "aiohttp": aiohttp_reader}


class Told:
    """The receiver: what it was told, in order."""

    def __init__(self) -> None:
        self.all: list[Any] = []

    def on_text(self, text: str) -> None:
        self.all.append(text)

    def on_binary(self, data: bytes) -> None:
        self.all.append(data)

    def on_gone(self) -> None:
        self.all.append(None)


class TCP:
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        self.ends = socket.socketpair()
        self.ends[1].setblocking(False)
        self.protocol: Any = None
        self.written = b""
        self.closed = False
        self.reading = True

    def set_protocol(self, protocol: Any) -> None:
        self.protocol = protocol

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self.ends[0] if name == "socket" else default

    def set_write_buffer_limits(self, high: int) -> None: ...

    def get_write_buffer_size(self) -> int:
        return 0

    def write(self, data: bytes) -> None:
        self.written += data

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    abort = close

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True


class Line:
    """A connection that one of the readers reads."""

    def __init__(self, reader: str, limit: int = 1000, make: Any = WebSocket) -> None:
        self.tcp: Any = TCP()
        self.told = Told()
        self.ws = make(self.told, self.tcp, limit)
        begin = READERS[reader].begin
        self.feed: Callable[[bytes], None] = begin(self.ws, self.tcp, KEY, {"X-More": "1"}, limit)
        self.ws.flush()
        self.answer, self.tcp.written = self.tcp.written, b""

    def frames(self) -> list[tuple[int, bytes]]:
        """What was written: first byte and payload of each frame."""
        data = self.tcp.written
        try:
            data += self.tcp.ends[1].recv(65_536)  # picows refuses frames by way of the descriptor
        except BlockingIOError:
            pass
        found = []
        while data:
            size, begin = data[1], 2
            if size > 125:
                begin = 4 if size == 126 else 10
                size = int.from_bytes(data[2:begin], "big")
            found.append((data[0], data[begin : begin + size]))
            data = data[begin + size :]
        self.tcp.written = b""
        return found

    def close(self) -> None:
        self.tcp.protocol.connection_lost(None)
        for end in self.tcp.ends:
            end.close()
