"""A line mends itself, whatever is said on it: connections that break, are given up, and end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sioserver.config.schema import Redis as Settings
from sioserver.engine.redis_access import Access, Address, Hello
from sioserver.engine.redis_line import Line, Wire

from .redis_kit import FakeRedis, always, on_both_loops, until


class Silent(Line[Wire]):
    """Says nothing on its connections, and writes down what becomes of them."""

    def __init__(self, url: str, timeout: float) -> None:
        access = Access(Settings(url=url), "test")
        super().__init__(access, always(access.address), timeout)
        self.wires: list[Wire] = []
        self.lost: list[str] = []
        self.failures = 0
        self.looks: list[float] = []

    def on_transport(
        self, transport: asyncio.Transport, hello: Hello, address: Address
    ) -> asyncio.Future[None]:
        wire = Wire(self, transport)
        self._go_up(wire, address)
        self.wires.append(wire)
        return wire.broken

    def on_failure(self, address: Address | None, error: Exception) -> None:
        super().on_failure(address, error)
        self.failures += 1

    def _lost(self, reason: str) -> None:
        self.lost.append(reason)

    def _look(self, now: float) -> None:
        self.looks.append(now)


@asynccontextmanager
async def a_line(url: str, *, timeout: float = 5.0) -> AsyncIterator[Silent]:
    line = Silent(url, timeout)
    line.start()
    try:
        yield line
    finally:
        await line.stop()


@on_both_loops
async def test_a_connection_that_breaks_is_followed_by_another() -> None:
    async with FakeRedis() as fake, a_line(fake.url) as line:
        assert line.trouble == "Redis: not connected yet"
        await until(lambda: line.up)
        assert line.trouble is None
        fake.open[0].reset()
        await until(lambda: len(line.wires) == 2)
        assert line.up
        assert line.trouble is None
        (reason,) = line.lost
        assert reason.startswith("the connection was lost")
        assert line.wires[0].closed.done()


async def test_what_is_given_up_is_lost_once() -> None:
    async with FakeRedis() as fake, a_line(fake.url) as line:
        await until(lambda: line.up)
        (wire,) = line.wires
        line.reconnect("another server is the master")
        assert not line.up
        assert line.trouble == f"Redis at {line.address}: another server is the master"
        line.reconnect("nothing is there to be given up")
        line.drop(wire, "known already")
        await until(wire.closed.done)  # its transport tells of it too
        await until(lambda: len(line.wires) == 2)
        assert line.lost == ["another server is the master"]


async def test_why_there_is_no_connection_is_told() -> None:
    async with FakeRedis() as fake:
        fake.role = b"slave"
        async with a_line(fake.url) as line:
            await until(lambda: line.failures)
            assert "replica" in str(line.trouble)
            fake.role = b"master"
            await until(lambda: line.up)


async def test_it_looks_at_the_clock_also_while_nobody_answers() -> None:
    async with FakeRedis() as fake:
        fake.stalled = True
        async with a_line(fake.url, timeout=0.2) as line:
            await until(lambda: len(line.looks) > 3)
            assert line.looks == sorted(line.looks)
            assert not line.up


async def test_after_the_stop_nothing_goes_on() -> None:
    async with FakeRedis() as fake:
        async with a_line(fake.url) as line:
            await until(lambda: line.up)
        assert not line.up
        assert line.trouble == f"Redis at {line.address}: closed"
        assert line.wires[0].closed.done()
        assert line.lost == []  # it was not lost
        assert line._timer is not None
        assert line._timer.cancelled()


async def test_stopping_what_was_never_started() -> None:
    await Silent("redis://127.0.0.1:1", 1.0).stop()
