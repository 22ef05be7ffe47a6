"""The hostile client's end of a connection: bytes out, bytes in, and what they say together.

Reads what our server writes and nothing else, so there is no more of HTTP and of WebSockets here
than that takes.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import re
import sys
import termios
from array import array
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, Final

import msgspec

from sioserver.errors import REFUSALS

STATUS: Final = re.compile(rb"HTTP/\d\.\d (\d\d\d) ")
"""The beginning of an answer: it has the version of its request."""

END: Final = b"\r\n\r\n"
SESSION: Final = re.compile(rb'"sid":"([\w-]+)","upgrades":\["websocket"')

CLOSE_FRAME: Final = 8
FAULTS: Final = frozenset({1002, 1007, 1009, 3005})
"""Codes of close frames that answer what a client has sent: RFC 6455, 7.4.1, and `parse_error`."""


class Line(asyncio.Protocol):
    """A TCP connection that keeps everything that has come."""

    def __init__(self) -> None:
        self.received = bytearray()
        self.over = False
        self._news = asyncio.Event()
        self._tcp: asyncio.Transport | None = None

    @classmethod
    async def open(cls, port: int) -> Line:
        """A new connection to this port of loopback."""
        loop = asyncio.get_running_loop()
        _, line = await loop.create_connection(cls, "127.0.0.1", port)
        return line

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._tcp = transport

    def data_received(self, data: bytes) -> None:
        self.received += data
        self._news.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self._read_the_rest()
        self.over = True
        self._news.set()

    def _read_the_rest(self) -> None:
        # a write that fails ends the connection for asyncio, whatever there is still to be read
        assert self._tcp is not None
        number = self._tcp.get_extra_info("socket").fileno()
        with suppress(OSError):
            while data := os.read(number, 65_536):
                self.received += data

    def send(self, data: bytes) -> None:
        """Send, unless it is over."""
        if not self.over and self._tcp is not None:
            self._tcp.write(data)

    async def sent(self) -> None:
        """Wait until everything that was sent is where the server only has to read it."""
        assert self._tcp is not None
        while not self.over and (self._tcp.get_write_buffer_size() or self._under_way()):
            await asyncio.sleep(0.001)

    def _under_way(self) -> int:
        """Bytes that the other end's kernel has not got yet, where that can be known."""
        assert self._tcp is not None
        number = self._tcp.get_extra_info("socket").fileno()
        if sys.platform != "linux" or number < 0:
            return 0
        count = array("i", [0])
        fcntl.ioctl(number, termios.TIOCOUTQ, count)
        return count[0]

    async def until(self, condition: Callable[[bytes], bool]) -> None:
        """Wait until what has come is enough, or nothing more comes."""
        while not (self.over or condition(bytes(self.received))):
            self._news.clear()
            await self._news.wait()

    async def ask(self, request: bytes) -> tuple[int, bytes]:
        """Send a request and take its answer away: status and body. (0, b"") when it is over."""
        begins = len(self.received)
        self.send(request)
        await self.until(lambda _: _whole(self.received, begins) > 0)
        ends = _whole(self.received, begins)
        if not ends:
            return 0, b""
        answer = bytes(self.received[begins:ends])
        del self.received[begins:ends]
        head, _, body = answer.partition(END)
        return int(head[9:12]), body

    def answer(self) -> tuple[bytes, bytes]:
        """Take the next answer away that is here as a whole: head and body; empty: there is none
        yet."""
        ends = _whole(self.received, 0)
        answer = bytes(self.received[:ends])
        del self.received[:ends]
        head, _, body = answer.partition(END)
        return head, body

    def close(self) -> None:
        """Break off."""
        if self._tcp is not None:
            self._tcp.abort()


def _whole(data: bytearray, begins: int) -> int:
    """Where the answer that begins there ends; 0: it is not there yet."""
    end = data.find(END, begins)
    if end < 0:
        return 0
    length = re.search(rb"(?i)\r\ncontent-length: (\d+)", data[begins:end])
    ends = end + len(END) + (int(length[1]) if length else 0)
    return ends if ends <= len(data) else 0


# ---------------------------------------------------------------------------- what it says


def frames(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Opcode and payload of each whole frame of the server's."""
    at = 0
    while at + 2 <= len(data):
        opcode, size = data[at] & 15, data[at + 1] & 127
        at += 2
        if size > 125:
            more = 2 if size == 126 else 8
            size = int.from_bytes(data[at : at + more], "big")
            at += more
        if at + size > len(data):
            return
        yield opcode, data[at : at + size]
        at += size


def refused(packet: str) -> str:
    """The code of the refusal that the server tells in this Engine.IO packet; empty: in none."""
    kind, rest = packet[:2], packet[2:]
    if rest.startswith("/"):
        rest = rest.partition(",")[2]
    if kind == "44":
        return str(json.loads(rest)["data"]["code"])
    if kind not in ("42", "43", "45", "46"):
        return ""
    data = json.loads(rest[rest.index("[") :])
    if kind in ("43", "46"):
        answer = data[0] if data else None
        failed = isinstance(answer, dict) and answer.get("ok") is False
        return str(answer["error"]["code"]) if failed else ""
    if data[0] == "notice" and "event" in data[1]:
        return str(data[1]["code"])
    return ""


def refused_plainly(opcode: int, payload: bytes) -> str:
    """The same of a message that came over a plain WebSocket, in either dialect."""
    try:
        said = json.loads(payload) if opcode == 1 else msgspec.msgpack.decode(payload)
    except (ValueError, RecursionError):
        return ""  # a text that somebody has said
    code: Any = ""
    match said:
        case {"event": "noauth"}:
            return "noauth"
        case {"event": "error", "code": told} | ["notice", {"code": told, "event": _}]:
            code = told
        case ["ack", {"ok": False, "error": {"code": told}}, _]:
            code = told
    return code if code in REFUSALS else ""


def rejections(data: bytes, *, plain: bool = False) -> Iterator[str]:
    """Each "no" in what a connection has brought: statuses, and behind a 101 what frames say.
    `plain`: it is a plain WebSocket's."""
    at = 0
    while found := STATUS.search(data, at):
        at = found.end()
        if found[1] == b"101":
            begins = data.index(END, at) + len(END)
            yield from _rejections_in_frames(data[begins:], plain)
            return
        if found[1] >= b"400":
            yield f"status {found[1].decode()}"


def _rejections_in_frames(data: bytes, plain: bool) -> Iterator[str]:
    for opcode, payload in frames(data):
        if plain and opcode in (1, 2):
            if code := refused_plainly(opcode, payload):
                yield code
        elif opcode == 1:
            if code := refused(payload.decode()):
                yield code
        elif opcode == CLOSE_FRAME and len(payload) > 2:
            # with a reason: it is not the client's own close that is answered
            code = int.from_bytes(payload[:2], "big")
            if code in FAULTS:
                yield f"closed {code} {payload[2:].decode()}"


def rejections_in_poll(body: bytes) -> Iterator[str]:
    """Each "no" in the answer to a poll."""
    for packet in body.decode().split("\x1e"):
        if code := refused(packet):
            yield code
