"""A node's share in presence and nothing else: a connection, a bus, and the three parts on them."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any

from sioserver.config.schema import Redis as Settings
from sioserver.engine.redis_bus import Bus
from sioserver.engine.redis_keys import Keys
from sioserver.engine.redis_lease import Lease
from sioserver.engine.redis_nodes import RedisNodes
from sioserver.engine.redis_presence import RedisPresence
from sioserver.engine.redis_servers import Redis
from sioserver.errors import Refusal
from sioserver.model import Event, Peer, PresenceDiff, User

from .conftest import GRACE

SLOW = 30.0
"""Seconds in which everything has happened that a test waits for, however loaded the machine."""


class Node:
    """`diffs` and `events` are what its clients would be told."""

    def __init__(self, settings: Settings, *, lease: float = 60.0, grace: float = GRACE) -> None:
        self.peer = Peer(secrets.token_hex(4), address="127.0.0.1:1")
        self.keys = keys = Keys(settings.prefix)
        self.diffs: list[tuple[str, PresenceDiff]] = []
        self.events: list[tuple[str, Event]] = []
        self.gone: list[tuple[str, str, float]] = []
        self.reaped: list[str] = []
        self.received = 0
        """Messages of rooms that came over the bus."""
        self.subscribed: set[str] = set()
        self.redis = redis = Redis(
            settings, name="test", on_connected=self._connected, on_lost=lambda reason: None
        )
        self.bus = Bus(
            redis,
            on_message=self._message,
            on_subscribed=self.subscribed.update,
            on_lost=self.subscribed.clear,
        )
        self.nodes = RedisNodes(
            redis, keys, self.peer, on_event=lambda *told: self.events.append(told[:2])
        )
        self.presence = RedisPresence(
            redis,
            keys,
            self.peer.id,
            grace=grace,
            timeout=settings.timeout,
            on_diff=lambda *told: self.diffs.append(told),
            on_left=lambda *told: self.gone.append(told),
            on_reaped=self.reaped.append,
        )
        self.lease = Lease(
            redis, keys, self.peer, self.presence, self.nodes, seconds=lease, grace=grace
        )

    async def start(self, *rooms: str) -> None:
        await self.redis.start()
        await self.bus.start()
        channels = [self.keys.nodes, *(self.keys.room(room).channel for room in rooms)]
        for channel in channels:
            self.bus.subscribe(channel)
        await until(lambda: self.subscribed.issuperset(channels))
        await self.lease.start()

    async def stop(self) -> None:
        await self.lease.stop()
        await self.bus.stop()
        await self.redis.stop()

    def freeze(self) -> Callable[[], None]:
        """No sign of life from now on, until what is returned is called."""
        thawed = asyncio.Event()
        beat = self.lease.beat

        async def wait() -> None:
            await thawed.wait()
            await beat()

        self.lease.beat = wait
        return thawed.set

    async def enter(self, *users: User, room: str = "a", client: str = "c") -> None:
        """All at once, as in a storm."""
        await asyncio.gather(*(self.presence.enter(room, user, client) for user in users))

    async def exit(self, user: User, *, room: str = "a", client: str = "c", now: float = 0) -> None:
        await self.presence.exit(room, user.id, client, now)

    async def ids(self, room: str = "a") -> list[str]:
        return [user.id for user in await self.presence.online(room, limit=100_000)]

    def joined(self) -> list[str]:
        return [user.id for _, diff in self.diffs for user in diff.joined]

    def left(self) -> list[str]:
        return [user.id for _, diff in self.diffs for user in diff.left]

    def _connected(self) -> None:
        self.lease.doubt()

    def _message(self, channel: str, payload: bytes) -> None:
        kind, body = payload[:1], payload[1:]
        if channel == self.keys.nodes:
            assert kind == b"n"
            self.nodes.on_bus(body)
        else:
            self.received += 1
            room = channel[channel.index("{") + 1 : -1]
            {b"p": self.presence.on_bus, b"e": self.nodes.on_room}[kind](room, body)


@asynccontextmanager
async def nodes(
    settings: Settings, *rooms: str, count: int = 2, **options: Any
) -> AsyncIterator[list[Node]]:
    """Some nodes that watch the rooms."""
    found = [Node(settings, **options) for _ in range(count)]
    try:
        for node in found:
            await node.start(*rooms)
        yield found
    finally:
        for node in found:
            await node.stop()


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(SLOW):
        while not condition():
            await asyncio.sleep(0.005)


async def until_so(ask: Callable[[], Any], answer: Any) -> None:
    """Until the coroutine gives this answer; a refusal is none."""
    async with asyncio.timeout(SLOW):
        while True:
            try:
                found = await ask()
            except Refusal:
                logging.getLogger(__name__).info("refused")
            else:
                if found == answer:
                    return
            await asyncio.sleep(0.01)


def people(numbers: Iterable[int]) -> list[User]:
    return [User(f"u{number:05}", f"User {number:05}") for number in numbers]
