"""For the tests of what a node knows of Redis by the bus: a node whose bus can be held back."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any, Generic, Protocol, Self, TypeVar

from sioserver.engine.redis_bus import Bus
from sioserver.engine.redis_keys import Keys
from sioserver.engine.redis_servers import Redis
from tests.redis_servers import ask, settings

from .conftest import server


class Part(Protocol):
    """A part of the engine that is told what happens to the bus."""

    def on_subscribed(self, channels: Iterable[str]) -> None: ...

    def on_deaf(self) -> None: ...

    async def stop(self) -> None: ...


P = TypeVar("P", bound=Part)

Start = Callable[[], Awaitable[Any]]
"""Starts one more node."""


class BusNode(Generic[P]):
    """A connection, a bus, and one part of the engine; who is built on it hears for the part."""

    def __init__(self, keys: Keys, part: Callable[[Redis, Keys], P]) -> None:
        self.keys = keys
        self.redis = Redis(
            settings(server("redis")),
            name="test",
            on_connected=lambda: None,
            on_lost=lambda reason: None,
        )
        self.part = part(self.redis, keys)
        self.bus = Bus(
            self.redis,
            on_message=self._heard,
            on_subscribed=self.part.on_subscribed,
            on_lost=self.part.on_deaf,
        )
        self.deaf = False
        self.bodies: list[bytes] = []

    def _heard(self, channel: str, payload: bytes) -> None:
        self.bodies.append(payload[1:])
        if not self.deaf:
            self.hear(channel, payload[:1], payload[1:])

    def hear(self, channel: str, kind: bytes, body: bytes) -> None:
        """Something came, and the bus is not held back."""
        raise NotImplementedError

    async def begin(self) -> None:
        """The connections are there: start the part, and wait until it knows everything."""
        raise NotImplementedError

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Self]:
        await self.redis.start()
        await self.bus.start()
        try:
            await self.begin()
            yield self
        finally:
            await self.part.stop()
            await self.bus.stop()
            await self.redis.stop()


def of_redis(*command: Any) -> Any:
    """What the server itself answers."""
    return ask(server("redis"), *command)  # type: ignore[arg-type]
