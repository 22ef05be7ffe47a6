"""A TCP proxy that does to connections what networks do: it cuts them, goes deaf, is slow.

It knows bytes only, and what it does is decided by the test, never by chance.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal, Self

CHUNK: Final = 65_536
IN_FLIGHT: Final = 64
"""Chunks of one direction that may wait for their time; then the source is not read."""

How = Literal["rst", "fin"]
Rewrite = Callable[[bytes], bytes]


class Way:
    """One direction: what happens to the bytes that go there, and how many went."""

    def __init__(self) -> None:
        self.latency = 0.0
        """Seconds that each byte is under way longer."""
        self.piece = 0
        """The largest piece that is handed on at once, in bytes; 0: as they come."""
        self.rewrite: Callable[[], Rewrite] | None = None
        """Makes, for each new connection, what changes its bytes; what it returns is sent."""
        self.bytes = 0
        """Handed on so far."""
        self.pieces = 0
        self.held = 0
        """Connections and ends of connections that wait for `go_on`, in this direction."""
        self._open = asyncio.Event()
        self._open.set()

    @property
    def stalled(self) -> bool:
        return not self._open.is_set()

    def stall(self) -> None:
        """Hand on nothing, not even an end, and read nothing (but what a read that waits already
        brings), until `go_on`: then everything arrives, late, as after a partition."""
        self._open.clear()

    def go_on(self) -> None:
        self._open.set()

    async def passable(self) -> None:
        if self._open.is_set():
            return
        self.held += 1
        try:
            await self._open.wait()
        finally:
            self.held -= 1


@dataclass(eq=False)
class _Link:
    """A client's connection and ours to the target, while they are kept."""

    client: socket.socket
    task: asyncio.Task[None] | None = None
    how: How = "fin"
    server: socket.socket | None = None


class Proxy:
    """Listens on a free loopback port and connects to `port` there. Use it with `async with`.

    `up` is the way to the target, `down` the way back. It begins with passing everything.
    """

    def __init__(self, port: int) -> None:
        self.target = port
        self.port = 0
        self.up = Way()
        self.down = Way()
        self.accepted = 0
        """Connections that came, also those that were refused."""
        self.refused = 0
        """Those that were broken at once: it was cut, or the target could not be reached."""
        self.broken = 0
        """Those that were cut in the middle."""
        self._cut: How | None = None
        self._links: set[_Link] = set()
        self._listener: socket.socket | None = None
        self._accepting: asyncio.Task[None] | None = None
        self._failures: deque[BaseException] = deque(maxlen=10)

    @property
    def open(self) -> int:
        """Connections that are kept just now."""
        return len(self._links)

    async def __aenter__(self) -> Self:
        listener = self._listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        listener.setblocking(False)
        self.port = listener.getsockname()[1]
        self._accepting = asyncio.create_task(self._accept(listener))
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._accepting is not None
        assert self._listener is not None
        self._accepting.cancel()
        await asyncio.wait({self._accepting})
        self._listener.close()
        await self.blip("fin")
        if not self._accepting.cancelled() and (error := self._accepting.exception()) is not None:
            raise error
        if self._failures:
            raise self._failures[0]

    # ------------------------------------------------------------ what can be done to them

    async def blip(self, how: How = "rst") -> None:
        """Break the connections that there are; new ones are let through."""
        links = list(self._links)
        for link in links:
            link.how = how
            assert link.task is not None
            link.task.cancel()
        self.broken += len(links)
        if links:
            await asyncio.wait([link.task for link in links if link.task is not None])

    async def cut(self, how: How = "rst") -> None:
        """Break the connections that there are, and every new one at once, until `heal`."""
        self._cut = how
        await self.blip(how)

    def stall(self) -> None:
        """Half-open from now on, both ways: connections stay and new ones are accepted, but
        nothing is read or handed on until `heal`; what was written meanwhile arrives then."""
        self.up.stall()
        self.down.stall()

    def heal(self) -> None:
        """Pass everything again, at once and as it comes (but rewritten, where that is asked for).
        Connections that were cut stay so; the others go on."""
        self._cut = None
        for way in (self.up, self.down):
            way.latency, way.piece = 0.0, 0
            way.go_on()

    # ------------------------------------------------------------ passing on

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            client, _ = await loop.sock_accept(listener)
            client.setblocking(False)
            self.accepted += 1
            if self._cut is not None:
                self.refused += 1
                _close(client, self._cut)
                continue
            link = _Link(client)
            self._links.add(link)
            link.task = asyncio.create_task(self._keep(link))

    async def _keep(self, link: _Link) -> None:
        """A connection from its beginning to its end."""
        try:
            await self.up.passable()
            if not await self._reach(link):
                self.refused += 1
                link.how = "rst"
                return
            assert link.server is not None
            # a pump that fails has lost its connection: the other one then has nothing to do
            async with asyncio.TaskGroup() as pumps:
                pumps.create_task(self._pump(link.client, link.server, self.up))
                pumps.create_task(self._pump(link.server, link.client, self.down))
        except* OSError:
            link.how = "rst"
        except* asyncio.CancelledError:
            pass  # cut
        except* Exception as errors:
            self._failures.append(errors)
        finally:
            self._links.discard(link)
            for end in (link.client, link.server):
                if end is not None:
                    _close(end, link.how)

    async def _reach(self, link: _Link) -> bool:
        server = link.server = socket.socket()
        server.setblocking(False)
        server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        link.client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            await asyncio.get_running_loop().sock_connect(server, ("127.0.0.1", self.target))
        except OSError:
            return False
        return True

    async def _pump(self, source: socket.socket, sink: socket.socket, way: Way) -> None:
        """One direction, to the end of what the source sends."""
        queue: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(IN_FLIGHT)
        async with asyncio.TaskGroup() as both:
            both.create_task(self._read(source, queue, way))
            both.create_task(self._write(sink, queue, way))

    async def _read(
        self, source: socket.socket, queue: asyncio.Queue[tuple[float, bytes]], way: Way
    ) -> None:
        loop = asyncio.get_running_loop()
        rewrite = None if way.rewrite is None else way.rewrite()
        while True:
            await way.passable()
            try:
                data = await loop.sock_recv(source, CHUNK)
            except OSError:
                await way.passable()  # a reset does not get through either
                raise
            ended = not data
            if rewrite is not None and data:
                data = rewrite(data)
            if data or ended:
                await queue.put((loop.time() + way.latency, data))
            if ended:
                return

    async def _write(
        self, sink: socket.socket, queue: asyncio.Queue[tuple[float, bytes]], way: Way
    ) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due, data = await queue.get()
            if (early := due - loop.time()) > 0:
                await asyncio.sleep(early)
            await way.passable()
            if not data:
                sink.shutdown(socket.SHUT_WR)
                return
            size = way.piece or len(data)
            for start in range(0, len(data), size):
                await way.passable()
                piece = data[start : start + size]
                await loop.sock_sendall(sink, piece)
                way.bytes += len(piece)
                way.pieces += 1
                await asyncio.sleep(0)  # sock_sendall does not give way while the buffer has room


def _close(end: socket.socket, how: How) -> None:
    if how == "rst":
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    else:
        try:
            end.shutdown(socket.SHUT_WR)
            while end.recv(CHUNK):
                pass  # closing with something unread would be a reset
        except OSError:
            pass  # nothing more is there, or the other side was quicker
    end.close()
