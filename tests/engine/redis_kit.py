"""For the tests of the lines to Redis: a server that does what the test says, and its witnesses."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, Self

import hiredis
import pytest
import uvloop

from sioserver.config.schema import Redis as Settings
from sioserver.engine.redis_access import Access, Address, ReplyError
from sioserver.engine.redis_calls import Call
from sioserver.engine.redis_link import Link

SLOW = 20.0
"""Seconds in which everything has happened that a test waits for, however loaded the machine."""


def on_both_loops(test: Callable[..., Coroutine[Any, Any, None]]) -> Any:
    """Run a test of no other arguments on asyncio's loop and on uvloop's."""

    def run(loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
        with asyncio.Runner(loop_factory=loop) as runner:
            runner.run(asyncio.wait_for(test(), 60))

    run.__doc__ = test.__doc__
    loops = [asyncio.new_event_loop, uvloop.new_event_loop]
    return pytest.mark.parametrize("loop", loops, ids=["asyncio", "uvloop"])(run)


async def until(condition: Callable[[], Any], what: str = "") -> None:
    """Wait until the condition holds."""
    async with asyncio.timeout(SLOW):
        while not condition():
            await asyncio.sleep(0.002)


class Conversation:
    """A connection to the fake server, as the test's handler sees it."""

    def __init__(self, fake: FakeRedis, writer: asyncio.StreamWriter) -> None:
        self._fake = fake
        self._writer = writer
        self.gone = False

    def say(self, data: bytes) -> None:
        self._writer.write(data)

    def reset(self) -> None:
        """Cut the connection with an RST."""
        self.gone = True
        hard = struct.pack("ii", 1, 0)
        self._writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, hard)
        self._writer.transport.abort()

    def hang_up(self) -> None:
        """Cut it with a FIN."""
        self.gone = True
        self._writer.close()


Handler = Callable[[Conversation, list[str]], None]


class FakeRedis:
    """A server on loopback that greets as Redis does; what comes after that is the handler's."""

    def __init__(self, handler: Handler | None = None) -> None:
        self.handler: Handler = handler or (lambda line, command: line.say(b"+OK\r\n"))
        self.seen: list[list[str]] = []
        """What came after the greetings, without loading of scripts and questions for the time."""
        self.loaded: list[str] = []
        self.open: list[Conversation] = []
        self.connections = 0
        self.role = b"master"
        self.mode = b"standalone"
        self.version = b"7.2.4"
        self.ping = b"+PONG\r\n"
        self.clock = 1_700_000_000.0
        self.stalled = False
        """Reads, and answers nothing."""
        self.pause = 0.0
        """Seconds before each answer."""
        self.slots = b"-ERR This instance has cluster support disabled\r\n"
        self.port = 0
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Nobody can connect any more, and everybody is cut off."""
        self._server.close()
        for line in self.open:
            line.reset()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        line = Conversation(self, writer)
        self.open.append(line)
        self.connections += 1
        commands = hiredis.Reader(notEnoughData=False)
        try:
            while data := await reader.read(65_536):
                commands.feed(data)
                while (command := commands.gets()) is not False:
                    if self.pause:
                        await asyncio.sleep(self.pause)
                    if not line.gone:
                        self._obey(line, [word.decode() for word in command])
        except OSError:
            pass  # it was cut off, by whomever
        finally:
            writer.close()
            self.open.remove(line)
            self._tasks.discard(task)

    def _obey(self, line: Conversation, command: list[str]) -> None:
        if self.stalled:
            return
        match command:
            case ["HELLO", *_]:
                fields = [b"server", b"redis", b"version", self.version, b"mode", self.mode]
                fields += [b"role", self.role]
                line.say(b"*8\r\n" + b"".join(b"$%d\r\n%s\r\n" % (len(f), f) for f in fields))
            case ["CLIENT", "SETNAME", _] | ["SELECT", _]:
                line.say(b"+OK\r\n")
            case ["PING"]:
                line.say(self.ping)
            case ["TIME"]:
                whole, part = divmod(round(self.clock * 1e6), 1_000_000)
                texts = (str(whole).encode(), str(part).encode())
                line.say(b"*2\r\n" + b"".join(b"$%d\r\n%s\r\n" % (len(t), t) for t in texts))
            case ["CLUSTER", "SLOTS"]:
                line.say(self.slots)
            case ["SCRIPT", "LOAD", source]:
                self.loaded.append(source)
                line.say(b"$1\r\nx\r\n")
            case _:
                self.seen.append(command)
                self.handler(line, command)


class Witness:
    """An owner of links that writes down what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.failures: list[Exception] = []
        self.denied: list[str] = []
        self.when_up: Callable[[Link], None] = lambda link: None
        self.takes_moved = False

    def on_up(self, link: Link) -> None:
        self.told.append("up")
        self.when_up(link)

    def on_down(self, link: Link, reason: str) -> None:
        self.told.append(f"down: {reason}")

    def on_failed(self, link: Link, error: Exception) -> None:
        self.failures.append(error)

    def on_denied(self, link: Link, call: Call, error: ReplyError) -> None:
        self.denied.append(str(error))

    def on_ask(self, link: Link, call: Call, error: ReplyError) -> bool:
        return False

    def on_moved(self, link: Link, error: ReplyError) -> bool:
        if self.takes_moved:
            link.hold()
        return self.takes_moved

    def on_idle(self, link: Link) -> None:
        self.told.append("idle")


def always(address: Address) -> Callable[[], Awaitable[Address]]:
    async def where() -> Address:
        return address

    return where


@asynccontextmanager
async def a_link(
    url: str, witness: Witness | None = None, *, timeout: float = 5.0, most: int = 100
) -> AsyncIterator[Link]:
    """A link that has been started, but may not be up yet."""
    access = Access(Settings(url=url), "test")
    link = Link(access, always(access.address), witness or Witness(), timeout=timeout, most=most)
    link.start()
    try:
        yield link
    finally:
        await link.stop()
