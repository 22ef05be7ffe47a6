"""What this node listens to: channels, at the servers that have them, kept over every break.

It does not know what the channels are for. A message is lost while a connection is broken or a slot
of a cluster moves: whoever needs all of them looks for holes when told that a channel is listened
to (again).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Final

from sioserver.engine.redis_access import Address, ReplyError
from sioserver.engine.redis_ear import PATTERNS, PLAIN, SHARDED, Ear
from sioserver.engine.redis_servers import Redis

log = logging.getLogger(__name__)

LINGER: Final = 2.0
"""Seconds for which a channel is still listened to: whoever left a room may come back."""


class Bus:
    """The subscriptions of this node, on connections of their own.

    - `on_message(channel, payload)` is called for each message.
    - `on_subscribed(channels)` is called when these are listened to: after `subscribe`, and again
      after each break, also of another channel's connection, and when a slot has moved.
    - `on_lost()` is called when a connection broke: nothing counts as listened to any more.

    `sharded`: what is listened to in a cluster was sent with SPUBLISH (else with PUBLISH, which
    every node of a cluster hears). Outside of a cluster it is PUBLISH in any case.
    """

    def __init__(
        self,
        redis: Redis,
        *,
        on_message: Callable[[str, bytes], None],
        on_subscribed: Callable[[list[str]], None],
        on_lost: Callable[[], None],
        sharded: bool = True,
    ) -> None:
        self._redis = redis
        self._on_message = on_message
        self._on_subscribed = on_subscribed
        self._on_lost = on_lost
        self._sharded = sharded
        self._ears: dict[Address | None, Ear] = {}
        """By the server of a cluster that is listened to; under None the one for everything."""
        self._homes: dict[str, Ear] = {}
        """By channel (or pattern)."""
        self._leaving: dict[str, float] = {}
        """Channels that nobody wants any more -> loop time when that becomes true. Oldest first."""
        self._timer: asyncio.TimerHandle | None = None
        self._known: dict[str, None] = {}
        """Channels that are listened to already, but were asked for again."""
        self._ending: set[asyncio.Task[None]] = set()
        self._started = self._stopped = False
        self._refusal: str | None = None
        self._loop: asyncio.AbstractEventLoop
        self._breaks = 0
        self._refused = 0
        self._messages = 0

    @property
    def trouble(self) -> str | None:
        """None while everything that was asked for can be heard, as far as is known."""
        for ear in self._ears.values():
            if ear.trouble:
                return ear.trouble
        return self._refusal

    async def start(self) -> None:
        """Begin to listen; `redis` has been started."""
        self._loop = asyncio.get_running_loop()
        self._started = True
        self._redis.follow(self._move)
        if not (self._sharded and self._redis.cluster):
            self._ear(None)

    async def stop(self) -> None:
        """Close. For good; safe to call twice."""
        self._stopped = True
        if self._timer is not None:
            self._timer.cancel()
        ears = list(self._ears.values())
        self._ears.clear()
        await asyncio.gather(*(ear.stop() for ear in ears), *self._ending)
        self._messages += sum(ear.messages for ear in ears)

    def subscribe(self, channel: str) -> None:
        """Listen to a channel. All of one turn of the loop go out together. `on_subscribed` follows
        in any case, later."""
        self._subscribe(channel, pattern=False)

    def psubscribe(self, pattern: str) -> None:
        """Listen to all channels whose name matches; `on_subscribed` is told the pattern. Not for
        sharded channels."""
        self._subscribe(pattern, pattern=True)

    def _subscribe(self, name: str, *, pattern: bool) -> None:
        if self._stopped:
            return
        self._leaving.pop(name, None)
        ear = self._homes.get(name)
        if ear is None:
            ear = self._homes[name] = self._ear(self._place(name))
            ear.listen(name, PATTERNS if pattern else None)
        elif name in ear.heard:
            self._tell_again([name])

    def unsubscribe(self, channel: str) -> None:
        """Do not listen to a channel (or pattern) any more, unless somebody wants it again soon."""
        if channel in self._homes and not self._stopped:
            self._leaving[channel] = self._loop.time() + LINGER
            self._leave_later()

    def stats(self) -> Mapping[str, float]:
        """Gauges and counters, by name."""
        ears = self._ears.values()
        return {
            "bus_messages": self._messages + sum(ear.messages for ear in ears),
            "bus_channels": len(self._homes),
            "bus_heard": sum(len(ear.heard) for ear in ears),
            "bus_connections": sum(ear.up for ear in ears),
            "bus_breaks": self._breaks,
            "bus_refused": self._refused,
        }

    # -- who listens where

    def _place(self, channel: str) -> Address | None:
        return self._redis.owner(channel) if self._sharded else None

    def _ear(self, place: Address | None) -> Ear:
        ear = self._ears.get(place)
        if ear is None:
            ear = self._ears[place] = Ear(
                self._redis.access,
                self._redis.anybody if place is None else _always(place),
                self,
                self._on_message,
                timeout=self._redis.settings.timeout,
                words=PLAIN if place is None else SHARDED,
            )
            ear.start()
        return ear

    def _move(self) -> None:
        """Servers have changed: a Sentinel's master, or who has the slots of a cluster."""
        if self._stopped:
            return
        alone = self._ears.get(None)
        if alone is not None:
            if not self._redis.cluster and not self._redis.serves(alone.address):
                alone.reconnect("another server is the master")
            return
        for channel, ear in list(self._homes.items()):
            new = self._ear(self._place(channel))
            if new is not ear:
                ear.forget(channel)
                new.listen(channel)
                self._homes[channel] = new
        for place, ear in list(self._ears.items()):
            if not ear.channels:
                self._close(place)

    def _close(self, place: Address | None) -> None:
        ear = self._ears.pop(place)
        self._messages += ear.messages
        ending = self._loop.create_task(ear.stop())
        self._ending.add(ending)
        ending.add_done_callback(self._ending.discard)

    # -- leaving

    def _leave_later(self) -> None:
        if self._timer is None and self._leaving:
            due = next(iter(self._leaving.values()))
            self._timer = self._loop.call_at(due, self._leave)

    def _leave(self) -> None:
        self._timer = None
        now = self._loop.time()
        for channel, due in list(self._leaving.items()):
            # A timer may fire a little early, by the clock's resolution.
            if due > now + 0.01:
                break
            self._give_up(channel)
        self._leave_later()

    def _give_up(self, channel: str) -> None:
        del self._leaving[channel]
        ear = self._homes.pop(channel)
        ear.forget(channel)
        if not ear.channels:
            for place, known in list(self._ears.items()):
                if known is ear and place is not None:
                    self._close(place)

    # -- what ears tell (see `redis_ear.Hearer`)

    def on_heard(self, ear: Ear, channels: list[str]) -> None:
        """See `Hearer.on_heard`."""
        self._refusal = None
        self._tell(channels)

    def on_deaf(self, ear: Ear, reason: str) -> None:
        """See `Hearer.on_deaf`."""
        log.warning("Redis at %s does not tell us anything: %s", ear.address, reason)
        self._breaks += 1
        for channel in [name for name in self._leaving if self._homes[name] is ear]:
            self._give_up(channel)
        try:
            self._on_lost()
        except Exception:  # the other channels are still told
            log.exception("what is done about a broken connection has failed")
        for other in self._ears.values():
            self._tell_again(other.heard)

    def on_refused(self, ear: Ear, error: ReplyError | None) -> None:
        """See `Hearer.on_refused`."""
        self._refused += 1
        if error is None or error.code in ("MOVED", "CLUSTERDOWN"):
            self._redis.suspect()
            return
        if self._refusal is None:
            log.error("Redis at %s does not let us listen: %s", ear.address, error)
        self._refusal = f"Redis at {ear.address} does not let us listen: {error}"

    def _tell_again(self, channels: Iterable[str]) -> None:
        if channels and not self._known:
            self._loop.call_soon(self._tell_known)
        self._known.update(dict.fromkeys(channels))

    def _tell_known(self) -> None:
        known, self._known = self._known, {}
        still = [name for name in known if (ear := self._homes.get(name)) and name in ear.heard]
        if still and not self._stopped:
            self._tell(still)

    def _tell(self, channels: list[str]) -> None:
        try:
            self._on_subscribed(channels)
        except Exception:  # they are listened to nevertheless
            log.exception("what is done about channels that are listened to has failed")


def _always(address: Address) -> Callable[[], Awaitable[Address]]:
    async def where() -> Address:
        return address

    return where
