"""A connection to one server that mends itself: what `redis_link` and `redis_ear` have in common.

It connects, again and again, looks at the clock now and then, and closes. It knows neither what is
said on the connection nor who waits for it: that is for those who are built on it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final, Generic, TypeVar

from sioserver.engine.redis_access import Access, Address, Hello, keep_connected, new_reader

_TICKS: Final = 20
"""Looks at the clock per timeout."""


class Wire(asyncio.Protocol):
    """A connection that is up."""

    _line: Line[Any]

    def __init__(self, line: Line[Any], transport: asyncio.Transport) -> None:
        self._line = line
        self._reader = new_reader()
        self.transport = transport
        self.broken: asyncio.Future[None] = line.loop.create_future()
        """Given up by the line."""
        self.closed: asyncio.Future[None] = line.loop.create_future()
        """Given up by the transport."""

    def connection_lost(self, error: Exception | None) -> None:
        self.closed.set_result(None)
        self._line.drop(self, f"the connection was lost{f': {error}' if error else ''}")


W = TypeVar("W", bound=Wire)


class Line(Generic[W]):
    """What `Link` and `Ear` are built on; they are what `keep_connected` calls a `User`."""

    def __init__(
        self,
        access: Access,
        where: Callable[[], Awaitable[Address]],
        timeout: float,
    ) -> None:
        """`where`: finds the server, asked before every attempt. `timeout`: seconds that it may be
        silent."""
        self.loop = asyncio.get_running_loop()
        self._access = access
        self._where = where
        self._timeout = timeout
        self._wire: W | None = None
        self._run: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self.address: Address | None = None
        self.trouble: str | None = "Redis: not connected yet"
        """None while the server answers, as far as is known."""

    @property
    def up(self) -> bool:
        """Whether it is connected."""
        return self._wire is not None

    def start(self) -> None:
        """Begin to connect, and never give up."""
        assert self._run is None
        keeping = keep_connected(self._access, self._where, self, self._timeout)
        self._run = self.loop.create_task(keeping, name=f"redis {type(self).__name__.lower()}")
        self._tick()

    async def stop(self) -> None:
        """Close. For good."""
        if self._timer is not None:
            self._timer.cancel()
        if self._run is not None:
            self._run.cancel()
            await asyncio.gather(self._run, return_exceptions=True)
        wire = self._wire
        if wire is not None:
            self._come_down(wire, "closed")
            await wire.closed

    def reconnect(self, reason: str) -> None:
        """Give the connection up, if there is one, and make a new one."""
        if self._wire is not None:
            self.drop(self._wire, reason)

    def drop(self, wire: W, reason: str) -> None:
        """The connection is of no use any more."""
        if wire is self._wire:  # else it is known already
            self._come_down(wire, reason)
            self._lost(reason)

    def on_failure(self, address: Address | None, error: Exception) -> None:
        """See `User.on_failure`."""
        self.trouble = f"Redis at {address}: {error}" if address else f"Redis: {error}"

    def on_transport(
        self, transport: asyncio.Transport, hello: Hello, address: Address
    ) -> asyncio.Future[None]:
        """See `User.on_transport`."""
        raise NotImplementedError

    def _go_up(self, wire: W, address: Address) -> None:
        self._wire = wire
        wire.transport.set_protocol(wire)
        self.address = address
        self.trouble = None

    def _come_down(self, wire: W, reason: str) -> None:
        self._wire = None
        self.trouble = f"Redis at {self.address}: {reason}"
        wire.transport.abort()
        if not wire.broken.done():  # cancelled with the task that waits for it
            wire.broken.set_result(None)

    def _tick(self) -> None:
        self._timer = self.loop.call_later(self._timeout / _TICKS, self._tick)
        self._look(self.loop.time())

    def _lost(self, reason: str) -> None:
        """The connection broke; the next one is on its way."""
        raise NotImplementedError

    def _look(self, now: float) -> None:
        """Some time has passed (`now`: the loop's)."""
        raise NotImplementedError
