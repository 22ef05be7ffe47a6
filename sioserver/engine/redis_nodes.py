"""The other nodes: who is alive, where they are found, and what they are told in passing.

The list lies in Redis beside the leases, which say who is alive (`redis_lease`); a copy of it is
kept here. This module knows neither who is connected nor how one node reaches another.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable, Mapping
from functools import partial
from math import inf
from types import MappingProxyType
from typing import Any, Final

import msgspec

from sioserver.engine.redis_keys import Keys
from sioserver.engine.redis_replies import RETRY_AFTER
from sioserver.engine.redis_servers import Redis, load_script
from sioserver.errors import Refusal
from sioserver.model import Event, Peer

log = logging.getLogger(__name__)

_REFRESH: Final = 0.1
"""Seconds between two readings of the list at the least, however many unknown ids are asked for."""

_ID: Final = re.compile("[0-9a-f]{1,32}")


class _Event(msgspec.Struct, array_like=True, forbid_unknown_fields=True, frozen=True):
    """What `tell` publishes."""

    node: str
    """Who tells it."""
    name: str
    payload: dict[str, Any]
    before: tuple[Any, ...]
    latest: bool


class _Notice(msgspec.Struct, array_like=True, forbid_unknown_fields=True, frozen=True):
    """What lease.lua and farewell.lua publish."""

    lease: str
    peer: str
    """A `Peer` as JSON; empty: it has said farewell."""


class RedisNodes:
    """See `base.Nodes`."""

    def __init__(
        self, redis: Redis, keys: Keys, peer: Peer, *, on_event: Callable[[str, Event, str], None]
    ) -> None:
        """`peer`: this node. `on_event(room, event, node)` is called for a room whether it is
        watched or not."""
        self._redis = redis
        self._keys = keys
        self._id = peer.id
        self._on_event = on_event
        self._script = load_script("peers")
        self._encode = msgspec.msgpack.Encoder().encode
        self._decode_event = msgspec.msgpack.Decoder(_Event).decode
        self._decode_notice = msgspec.msgpack.Decoder(_Notice).decode
        self._decode_peer = msgspec.json.Decoder(Peer).decode
        self._leases: dict[str, Peer] = {}
        """The others that are alive, by lease."""
        self._peers: dict[str, Peer] = {}
        """The same by node id."""
        self._keep_until = -inf
        self._read_at = -inf
        self._asked: asyncio.Future[bool] | None = None
        """The next reading of the list, while it is waited for: done with whether it went well."""
        self._timer: asyncio.TimerHandle | None = None
        self._stopped = False
        self._under_way: dict[tuple[str, str, str], Event | None] = {}
        """By (room, name, user id): an event of which only the newest counts has been sent and is
        not answered. The newest that has come since, if any, is sent then."""
        self._told = self._dropped = self._overtaken = self._reads = self._foreign = 0

    # -- events -----------------------------------------------------------------------------------

    def tell(self, room: str, event: Event) -> None:
        """See `Nodes.tell`. Of what only the newest counts, one is under way at a time: where Redis
        is slow, the others are left out instead of standing in its queue."""
        if not event.latest:
            self._send(room, event, self._sent)
            return
        what = room, event.name, event.payload["user"]
        if what in self._under_way:
            self._overtaken += self._under_way[what] is not None
            self._under_way[what] = event
        else:
            self._send(room, event, partial(self._sent_latest, what))

    def _send(self, room: str, event: Event, done: Callable[[asyncio.Future[Any]], None]) -> None:
        if self._is_away():
            self._dropped += 1
            return
        told = self._id, event.name, event.payload, event.before, event.latest
        try:
            body = self._encode(told)
        except (TypeError, ValueError, OverflowError, RecursionError):
            self._dropped += 1
            return
        channel = self._keys.room(room).channel
        publish = "SPUBLISH" if self._redis.cluster else "PUBLISH"
        self._told += 1
        if event.latest:
            self._under_way[room, event.name, event.payload["user"]] = None
        self._redis.command(channel, publish, channel, b"e" + body).add_done_callback(done)

    def on_room(self, room: str, body: bytes | memoryview) -> None:
        """An event came over a room's channel, without the byte that says so."""
        try:
            told = self._decode_event(body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            self._foreign += 1
            return
        if told.node == self._id:
            return
        if told.latest and not isinstance(told.payload.get("user"), str):
            self._foreign += 1
            return
        try:
            event = Event(told.name, told.payload, None, told.before, told.latest)
            self._on_event(room, event, told.node)
        except Exception:  # nobody waits for what is ephemeral
            log.exception("an event of another node could not be passed on")

    # -- the list ---------------------------------------------------------------------------------

    async def peer(self, node: str) -> Peer | None:
        """See `Nodes.peer`. An unknown id waits for the next reading of the list, which everybody
        shares."""
        if node == self._id:
            return None
        found = self._peers.get(node)
        if found is None and _ID.fullmatch(node):
            await self.refresh()
            found = self._peers.get(node)
        return found

    def peers(self) -> Mapping[str, Peer]:
        """See `Nodes.peers`."""
        return MappingProxyType(self._peers)

    async def refresh(self) -> None:
        """Read the list: once for all who ask meanwhile, and at most once in 100 ms. Raises a
        `Refusal`."""
        if self._stopped or self._is_away():
            raise Refusal("unavailable", retry_after=RETRY_AFTER)
        if self._asked is None:
            loop = asyncio.get_running_loop()
            self._asked = loop.create_future()
            wait = self._read_at + _REFRESH - loop.time()
            self._timer = loop.call_later(max(wait, 0), self._read)
        if not await asyncio.shield(self._asked):
            raise Refusal("unavailable", retry_after=RETRY_AFTER)

    def keep(self, seconds: float) -> None:
        """Redis lost the list: for so long, nobody is dead only because they are not in it."""
        self._keep_until = asyncio.get_running_loop().time() + seconds

    def on_bus(self, body: bytes | memoryview) -> None:
        """A node came or said farewell, without the byte that says so."""
        try:
            notice = self._decode_notice(body)
            if notice.peer:
                self._leases[notice.lease] = self._decode_peer(notice.peer)
            else:
                self._leases.pop(notice.lease, None)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            self._foreign += 1
            return
        self._index()

    def stop(self) -> None:
        """Nobody is waited for any more. Safe to call twice."""
        self._stopped = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._asked is not None:
            self._answer(self._asked, False)

    def stats(self) -> Mapping[str, float]:
        """Gauges and counters for `/metrics`, by name."""
        return {
            "peers": len(self._peers),
            "peers_read_total": self._reads,
            "events_told_total": self._told,
            "events_not_told_total": self._dropped,
            "events_overtaken_total": self._overtaken,
            "nodes_foreign_total": self._foreign,
        }

    # -- inside -----------------------------------------------------------------------------------

    def _read(self) -> None:
        asked, self._asked, self._timer = self._asked, None, None
        assert asked is not None
        self._read_at = asyncio.get_running_loop().time()
        self._reads += 1
        call = self._redis.script(self._script, [self._keys.leases, self._keys.peers], [])
        call.add_done_callback(partial(self._has_read, asked))

    def _has_read(self, asked: asyncio.Future[bool], call: asyncio.Future[Any]) -> None:
        well = not call.cancelled() and call.exception() is None
        if well:
            self._update(call.result())
        self._answer(asked, well)

    def _update(self, answer: list[bytes]) -> None:
        found: dict[str, Peer] = {}
        for lease, node in zip(answer[::2], answer[1::2], strict=True):
            try:
                found[lease.decode()] = self._decode_peer(node)
            except (msgspec.MsgspecError, UnicodeDecodeError):
                self._foreign += 1
        if asyncio.get_running_loop().time() < self._keep_until:
            found = {**self._leases, **found}
        self._leases = found
        self._index()

    def _index(self) -> None:
        self._peers = {peer.id: peer for peer in self._leases.values() if peer.id != self._id}

    def _sent(self, call: asyncio.Future[Any]) -> None:
        if call.cancelled() or call.exception() is not None:
            self._dropped += 1

    def _sent_latest(self, what: tuple[str, str, str], call: asyncio.Future[Any]) -> None:
        self._sent(call)
        newest = self._under_way.pop(what)
        if newest is not None and not self._stopped:
            self.tell(what[0], newest)

    @staticmethod
    def _answer(asked: asyncio.Future[bool], well: bool) -> None:
        if not asked.done():
            asked.set_result(well)

    def _is_away(self) -> bool:
        return self._redis.up_since == inf
