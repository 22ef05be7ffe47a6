"""`Feed`: hearing and publishing on Redis channels that belong to other libraries.

Plain PUBLISH and SUBSCRIBE, which ask for no slot: in a cluster any node will do, because each
tells all the others. What is published while nobody listens is gone: the log is not here. It must
not know what the messages say.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from sioserver.config.schema import Redis as Settings
from sioserver.engine.redis_access import ReplyError
from sioserver.engine.redis_bus import Bus
from sioserver.engine.redis_link import Unavailable
from sioserver.engine.redis_servers import Redis

log = logging.getLogger(__name__)

INBOX: Final = 16_777_216
"""Bytes of messages that may wait until the ones before are done; more are dropped."""

EACH: Final = 200
"""Bytes that a message takes beside its own."""

BREATH: Final = 64
"""Messages that are handed on before the event loop has a turn."""


class Feed:
    """Some channels of one Redis, and those whose names match some patterns (Redis' own).

    `hear(channel, payload)` gets one message after the other; it must not raise. `count(what)` is
    called for "lost" (not published in time), "overflow" (heard, and dropped) and "reconnected".
    """

    def __init__(
        self,
        settings: Settings,
        *,
        name: str,
        channels: Sequence[str],
        patterns: Sequence[str],
        hear: Callable[[str, bytes], Awaitable[None]],
        count: Callable[[str], None],
    ) -> None:
        """`name`: of the connections, for CLIENT LIST."""
        self._settings = settings
        self._name = name
        self._channels = tuple(channels)
        self._patterns = tuple(patterns)
        self._hear = hear
        self._count = count
        self._redis: Redis | None = None
        self._bus: Bus | None = None
        self._heard: set[str] = set()
        self._broken = False
        self._hearing = asyncio.Event()
        self._inbox: deque[tuple[str, bytes]] = deque()
        self._size = 0
        self._news = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Connect, and begin to hear; raises `StoreError`. Later it mends itself."""
        if self._redis is not None:
            return
        self._redis = redis = Redis(
            self._settings,
            name=self._name,
            on_connected=lambda: None,
            on_lost=lambda reason: None,
        )
        try:
            await redis.start()
            await self._listen(redis)
        except BaseException:
            await self.stop()
            raise

    async def _listen(self, redis: Redis) -> None:
        self._bus = bus = Bus(
            redis,
            on_message=self._on_message,
            on_subscribed=self._on_subscribed,
            on_lost=self._on_lost,
            sharded=False,
        )
        await bus.start()
        for channel in self._channels:
            bus.subscribe(channel)
        for pattern in self._patterns:
            bus.psubscribe(pattern)
        self._task = asyncio.create_task(self._hand_on(), name="feed")
        self._task.add_done_callback(_tell_if_it_died)
        try:
            async with asyncio.timeout(self._settings.timeout):
                await self._hearing.wait()
        except TimeoutError:
            log.warning("the channels of Redis are not heard yet: %s", bus.trouble)

    async def stop(self) -> None:
        """Let go of the connections, when what was published has been answered."""
        redis, self._redis = self._redis, None
        bus, self._bus = self._bus, None
        task, self._task = self._task, None
        if redis is not None:
            await redis.stop()
        if bus is not None:
            await bus.stop()
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        self._inbox.clear()
        self._on_lost()
        self._size, self._broken = 0, False

    @property
    def hearing(self) -> bool:
        """Are all channels heard just now, as far as is known?"""
        return self._hearing.is_set()

    async def publish(self, channel: str, payload: bytes) -> None:
        """Publish; in the order of the calls. Raises ConnectionError when Redis has not said within
        `timeout` that it is done: then it may have been heard or not. After a broken connection a
        message is published again, so it may be heard twice."""
        if self._redis is None:
            self._count("lost")
            raise ConnectionError("not published: the feed has not started")
        try:
            await self._redis.command(channel, "PUBLISH", channel, payload)
        except (Unavailable, ReplyError) as error:
            self._count("lost")
            raise ConnectionError(f"not published: {error}") from error

    # ------------------------------------------------------------ what the bus tells

    def _on_subscribed(self, names: list[str]) -> None:
        self._heard.update(names)
        if self._heard.issuperset(self._channels) and self._heard.issuperset(self._patterns):
            self._hearing.set()
            if self._broken:
                self._broken = False
                self._count("reconnected")

    def _on_lost(self) -> None:
        self._heard.clear()
        self._hearing.clear()
        self._broken = True

    def _on_message(self, channel: str, payload: bytes) -> None:
        size = len(payload) + EACH
        if self._size and self._size + size > INBOX:
            self._count("overflow")
            return
        self._size += size
        self._inbox.append((channel, payload))
        self._news.set()

    async def _hand_on(self) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            handed = 0
            while self._inbox:
                channel, payload = self._inbox.popleft()
                self._size -= len(payload) + EACH
                await self._hear(channel, payload)
                handed += 1
                if handed % BREATH == 0:
                    await asyncio.sleep(0)


def _tell_if_it_died(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("nothing is heard any more", exc_info=error)
