"""Thousands of clients in one process: as little as it takes to speak Socket.IO over WebSocket.

Each behaves as the stock JavaScript client does: it comes back by itself with a growing, jittered
pause, with its `pid` and the last offset that it saw. It has one room and posts nothing.
"""

from __future__ import annotations

import asyncio
import random
import resource
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, nullcontext
from typing import Any, Final
from urllib.parse import urlsplit

import orjson

# as in socket.io-client
PAUSE: Final = 1.0
LONGEST_PAUSE: Final = 5.0
JITTER: Final = 0.5
CONNECT_WITHIN: Final = 20.0

REQUEST: Final = (
    b"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: crowd\r\nUpgrade: websocket\r\n"
    b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)
TEXT: Final = 0x81
CLOSE: Final = 0x88
MASK: Final = bytes(4)


def room_for(files: int) -> None:
    """Let this process, and those that it starts, open so many files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= files:
        return
    if hard != resource.RLIM_INFINITY and hard < files:
        raise RuntimeError(f"this test opens {files} files: raise the hard limit (ulimit -Hn)")
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, hard))


class Crowd:
    """`size` clients of the room, each another user."""

    def __init__(
        self, url: Callable[[], str], room: str, size: int, *, rng: random.Random, at_once: int = 50
    ) -> None:
        self.url = url
        self.room = room
        self.rng = rng
        self.failures: Counter[str] = Counter()
        """Attempts that failed, by what was said; each was followed by another."""
        self.refused: list[Any] = []
        """CONNECT_ERRORs that are for good."""
        self.wrong: list[str] = []
        """What must not happen: a message twice, or past one that never came."""
        self.clients = [Client(self, f"user{number}") for number in range(size)]
        self.turn = asyncio.Semaphore(at_once)
        """Only for the first time: coming back is nobody's turn."""
        self._changed = asyncio.Event()

    @asynccontextmanager
    async def here(self) -> AsyncIterator[None]:
        """All of them come in, stay, come back, and go at the end."""
        async with asyncio.TaskGroup() as everybody:
            tasks = [everybody.create_task(client.stay()) for client in self.clients]
            await self.until(lambda: all(client.connected for client in self.clients))
            yield
            for task in tasks:
                task.cancel()

    @property
    def visits(self) -> int:
        return sum(client.visits for client in self.clients)

    def changed(self) -> None:
        self._changed.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            assert not self.refused, self.refused
            self._changed.clear()
            await self._changed.wait()


class Client(asyncio.Protocol):
    """One of them, and its present connection."""

    def __init__(self, crowd: Crowd, user: str) -> None:
        self.user = user
        self.visits = 0
        """Welcomes."""
        self.recovered = 0
        """Those of them that were recoveries, by the server's word."""
        self.offset = 0
        """Of the last message; what comes is one more."""
        self.received = 0
        self.connected = False
        self.longest = 0.0
        """Seconds for which it was away, at most."""
        self._crowd = crowd
        self._pid: str | None = None
        self._position: str | None = None
        self._lost_at = 0.0
        self._transport: asyncio.Transport | None = None
        self._buffer = b""
        self._upgraded = False
        self._why = ""
        self._entered: asyncio.Future[None]
        self._over: asyncio.Future[None]
        """Of the present connection: it has been welcomed, it has ended."""
        namespace = f"/{crowd.room},"
        self._event = f"42{namespace}".encode()
        self._accepted = f"40{namespace}".encode()
        self._refused = f"44{namespace}".encode()

    async def stay(self) -> None:
        """Be here, until cancelled."""
        attempts = 0
        try:
            while True:
                async with self._crowd.turn if self.visits == 0 else nullcontext():
                    came_in = await self.come_in()
                if came_in:
                    await self._over
                attempts = 0 if came_in else attempts + 1
                pause = min(PAUSE * 2**attempts, LONGEST_PAUSE)
                await asyncio.sleep(pause * (1 + JITTER * (2 * self._crowd.rng.random() - 1)))
        finally:
            self.leave()

    async def come_in(self) -> bool:
        """Connect, and wait for the welcome."""
        loop = asyncio.get_running_loop()
        self._entered, self._over = loop.create_future(), loop.create_future()
        self._buffer, self._upgraded, self._why = b"", False, "closed before the welcome"
        where = urlsplit(self._crowd.url())
        try:
            async with asyncio.timeout(CONNECT_WITHIN):
                await loop.create_connection(lambda: self, where.hostname, where.port)
                either = {self._entered, self._over}
                await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        except (OSError, TimeoutError) as error:
            self._why = type(error).__name__
            if self._transport is not None:
                self.leave()
                await self._over
        if not self._entered.done():
            self._crowd.failures[self._why] += 1
        return self._entered.done()

    def go_on_from(self, other: Client) -> None:
        """Be another connection of the same session."""
        self._pid, self._position, self.offset = other._pid, other._position, other.offset
        self.visits, self._lost_at = other.visits, time.monotonic()

    def leave(self) -> None:
        """Be cut off."""
        if self._transport is not None:
            self._transport.abort()

    # ------------------------------------------------------------ bytes

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(REQUEST)

    def connection_lost(self, error: Exception | None) -> None:
        if self.connected:
            self._lost_at = time.monotonic()
        self.connected = False
        self._transport = None
        if not self._over.done():  # cancelled with the task that waited
            self._over.set_result(None)
        self._crowd.changed()

    def data_received(self, data: bytes) -> None:
        data = self._buffer + data
        at = 0
        if not self._upgraded:
            head, end, data = data.partition(b"\r\n\r\n")
            if not end:
                self._buffer = head
                return
            status = head.split(b" ", 2)[1]
            if status != b"101":
                self._why = f"status {status.decode()}"
                self._end()
                return
            self._upgraded = True
        while (found := _frame(data, at)) is not None:
            kind, packet, at = found
            if kind == TEXT:
                self._packet(packet)
            elif kind == CLOSE:
                self._end()
                return
        self._buffer = data[at:]

    def _send(self, packet: bytes) -> None:
        assert self._transport is not None
        size = len(packet)  # masked, as clients have to, with zeros
        head = bytes([TEXT, 0x80 | size]) if size < 126 else b"\x81\xfe" + size.to_bytes(2, "big")
        self._transport.write(head + MASK + packet)

    def _end(self) -> None:
        assert self._transport is not None
        self._transport.close()

    # ------------------------------------------------------------ packets

    def _packet(self, packet: bytes) -> None:
        if packet == b"2":
            self._send(b"3")
        elif packet.startswith(self._event):
            at = len(self._event)
            name = packet[at + 2 : packet.index(b'"', at + 2)]
            if name == b"message":
                self._message(*orjson.loads(packet[at:])[1:])
            elif name == b"welcome":
                self._welcome(*orjson.loads(packet[at:])[1:])
            elif name == b"gap":
                self._crowd.wrong.append(f"{self.user}: {packet.decode()}")
        elif packet.startswith(self._accepted):
            pid = orjson.loads(packet[len(self._accepted) :])["pid"]
            self.recovered += pid == self._pid
            self._pid = pid
        elif packet.startswith(self._refused):
            said = orjson.loads(packet[len(self._refused) :])["data"]
            self._why = said["code"]
            if not said["temporary"]:
                self._crowd.refused.append(said)
            self._end()
        elif packet.startswith(b"0"):
            auth = {"user": self.user, "pid": self._pid, "offset": self._position}
            known = {key: value for key, value in auth.items() if value is not None}
            self._send(self._accepted + orjson.dumps(known))

    def _message(self, message: dict[str, Any], position: str) -> None:
        self._position = position
        self.received += 1
        offset = message["offset"]
        if offset != self.offset + 1:
            self._crowd.wrong.append(f"{self.user}: {offset} after {self.offset}")
        self.offset = offset
        self._crowd.changed()

    def _welcome(self, welcome: dict[str, Any], position: str) -> None:
        if not self.visits:
            self.offset = int(position.rpartition(".")[2])
        else:
            self.longest = max(self.longest, time.monotonic() - self._lost_at)
        self._position = position
        self.visits += 1
        self.connected = True
        self._entered.set_result(None)
        self._crowd.changed()


def _frame(data: bytes, at: int) -> tuple[int, bytes, int] | None:
    """A frame from the server, unmasked: kind, payload, where it ends; None: not all there yet."""
    if len(data) < at + 2:
        return None
    kind, size = data[at], data[at + 1]
    at += 2
    if size > 125:
        more = 2 if size == 126 else 8
        if len(data) < at + more:
            return None
        size, at = int.from_bytes(data[at : at + more], "big"), at + more
    if len(data) < at + size:
        return None
    return kind, data[at : at + size], at + size
