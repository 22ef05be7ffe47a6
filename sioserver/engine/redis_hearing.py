"""What comes over the bus, passed on to the part of the Redis engine that it is for.

It knows the channels and the first byte of what is said there; the rest is the part's.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

from sioserver.engine.base import EngineListener
from sioserver.engine.redis_bus import Bus
from sioserver.engine.redis_keys import Keys
from sioserver.engine.redis_members import RedisMembers
from sioserver.engine.redis_moderation import RedisModeration
from sioserver.engine.redis_nodes import RedisNodes
from sioserver.engine.redis_presence import RedisPresence
from sioserver.engine.redis_revocations import RedisRevocations
from sioserver.engine.redis_servers import Redis
from sioserver.engine.redis_watch import RedisWatch
from sioserver.model import EVERYWHERE

log = logging.getLogger(__name__)


class Hearing:
    """The bus, and who is told what it says."""

    def __init__(
        self,
        redis: Redis,
        keys: Keys,
        *,
        watch: RedisWatch,
        members: RedisMembers,
        presence: RedisPresence,
        nodes: RedisNodes,
        tokens: RedisRevocations,
        moderation: RedisModeration,
    ) -> None:
        self._keys = keys
        self._everywhere = keys.room(EVERYWHERE).channel
        self._watch = watch
        self._members = members
        self._presence = presence
        self._nodes = nodes
        self._tokens = tokens
        self._moderation = moderation
        self._bus = Bus(
            redis,
            on_message=self._on_message,
            on_subscribed=self._on_subscribed,
            on_lost=self._on_deaf,
        )
        self.listened: dict[str, str] = {}
        """Rooms without a log, by channel."""
        self._foreign = 0
        self._unwatched = 0
        self._listener: EngineListener

    async def start(self, listener: EngineListener) -> None:
        """Hear what is for every node. The parts are started afterwards."""
        self._listener = listener
        await self._bus.start()
        self._bus.subscribe(self._keys.nodes)
        self._bus.subscribe(self._keys.tokens)
        self._bus.subscribe(self._everywhere)

    async def stop(self) -> None:
        """Hear nothing any more."""
        await self._bus.stop()

    @property
    def trouble(self) -> str | None:
        """Why not everything is heard; None while all is well."""
        return self._bus.trouble

    def stats(self) -> Mapping[str, float]:
        """For `Engine.stats`."""
        return {
            **self._bus.stats(),
            "bus_unwatched_total": self._unwatched,
            "bus_foreign_total": self._foreign,
            "rooms_listened": len(self.listened),
        }

    # -- rooms ------------------------------------------------------------------------------------

    def watch(self, room: str) -> None:
        """Hear what is told in a room; the parts know it already."""
        self._bus.subscribe(self._keys.room(room).channel)

    def unwatch(self, room: str) -> None:
        """No more."""
        self._bus.unsubscribe(self._keys.room(room).channel)

    def listen(self, room: str) -> None:
        """See `Nodes.listen`."""
        channel = self._keys.room(room).channel
        self.listened[channel] = room
        self._bus.subscribe(channel)

    def unlisten(self, room: str) -> None:
        """See `Nodes.unlisten`."""
        channel = self._keys.room(room).channel
        if self.listened.pop(channel, None) is not None:
            self._bus.unsubscribe(channel)

    # -- what the bus tells -----------------------------------------------------------------------

    def _on_message(self, channel: str, payload: bytes) -> None:
        room = self._watch.by_channel.get(channel)
        kind = payload[:1]
        if room is None:
            self._on_other(channel, kind, payload[1:])
        elif kind == b"m" or kind == b"o":
            self._watch.on_bus(room, payload)
        elif kind == b"p":
            self._presence.on_bus(room.name, payload[1:])
        elif kind == b"e":
            self._nodes.on_room(room.name, payload[1:])
        elif kind == b"d":
            self._moderation.on_bus(room.name, payload[1:])
        elif kind == b"l":
            self._on_left(room.name, payload[1:])
        else:
            self._foreign += 1

    def _on_other(self, channel: str, kind: bytes, body: bytes) -> None:
        """Something came over a channel that is no watched room's."""
        if channel == self._keys.nodes and kind == b"n":
            self._nodes.on_bus(body)
        elif channel == self._keys.tokens and kind == b"r":
            self._tokens.on_bus(body)
        elif channel == self._everywhere and kind == b"d":
            self._moderation.on_bus(EVERYWHERE, body)
        elif channel in (self._keys.nodes, self._keys.tokens, self._everywhere):
            self._foreign += 1
        elif (heard := self.listened.get(channel)) is None:
            self._unwatched += 1  # still subscribed for a moment
        elif kind == b"e":
            self._nodes.on_room(heard, body)
        else:
            self._foreign += 1

    def _on_left(self, room: str, body: bytes) -> None:
        try:
            user_id = self._members.left(body)
        except ValueError:
            self._foreign += 1
            return
        if user_id is not None:
            try:
                self._listener.on_left(room, user_id)
            except Exception:  # nothing else on the bus is lost for it
                log.exception("a leave could not be passed on")

    def _on_subscribed(self, channels: list[str]) -> None:
        self._watch.on_subscribed(channels)
        self._tokens.on_subscribed(channels)
        self._moderation.on_subscribed(channels)

    def _on_deaf(self) -> None:
        self._watch.on_deaf()
        self._tokens.on_deaf()
        self._moderation.on_deaf()
