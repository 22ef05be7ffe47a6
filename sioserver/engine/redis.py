"""The Redis engine: rooms that many nodes share, through a Redis or Valkey, alone or a cluster.

See `base` for the contract. This module puts the parts together: the logs are `redis_log` (asking)
and `redis_watch` (announcing), the people `redis_members`, `redis_presence` and `redis_lease`, the
other nodes `redis_nodes`, the tokens `redis_secrets` and `redis_revocations`, what moderators
decided `redis_moderation`. What other nodes tell of all that comes through `redis_hearing`. The
connections, and what becomes of commands when one breaks, are `redis_servers` and `redis_bus`.

The engine owns its timers and tasks, other than the rest of the server, where the node does: a
lease has to be kept up while the node is still starting, and given back after it has stopped.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Final

from sioserver.auth import Policy
from sioserver.config import Config
from sioserver.engine.base import UNLIMITED, EngineListener, Quota, Retention, StoreError
from sioserver.engine.redis_access import ReplyError, risks
from sioserver.engine.redis_calls import Unavailable
from sioserver.engine.redis_directory import RedisDirectory
from sioserver.engine.redis_hearing import Hearing
from sioserver.engine.redis_keys import Keys
from sioserver.engine.redis_lease import Lease
from sioserver.engine.redis_log import RedisLog
from sioserver.engine.redis_members import RedisMembers
from sioserver.engine.redis_mentions import RedisMentions
from sioserver.engine.redis_moderation import RedisModeration
from sioserver.engine.redis_nodes import RedisNodes
from sioserver.engine.redis_presence import RedisPresence
from sioserver.engine.redis_replies import RETRY_AFTER
from sioserver.engine.redis_revocations import RedisRevocations
from sioserver.engine.redis_secrets import RedisSecrets
from sioserver.engine.redis_seen import RedisSeen
from sioserver.engine.redis_servers import Redis
from sioserver.engine.redis_watch import RedisWatch
from sioserver.engine.redis_webhooks import RedisWebhooks
from sioserver.engine.scan import Scan
from sioserver.errors import Refusal
from sioserver.model import (
    Counts,
    Draft,
    Event,
    Membership,
    Operation,
    Page,
    Peer,
    Position,
    PresenceDiff,
    Published,
    Standing,
    State,
    User,
)
from sioserver.subscriptions import Subscriptions

log = logging.getLogger(__name__)

_TIDY_EVERY: Final = 60.0
"""Seconds between two rounds of trimming."""
_PATIENCE: Final = 10
"""Times that a page is read again because it ended before the announcements began."""


class RedisEngine:
    """An `Engine` for many nodes. See `base`."""

    def __init__(self, config: Config, peer: Peer) -> None:
        """`peer`: this node, as the others find it."""
        settings = config.redis
        self._timeout = settings.timeout
        # Nothing is to be kept: so it is said of the private Valkey that keeps nothing, too.
        self._keeps = config.store.path != ":memory:"
        self._keys = keys = Keys(settings.prefix)
        self._redis = redis = Redis(
            settings, name=peer.id, on_connected=self._on_connected, on_lost=self._on_lost
        )
        self._watch = watch = RedisWatch(
            redis,
            keys,
            cached=config.store.cached_messages,
            on_new_epoch=self._on_new_epoch,
            on_looked=self._on_looked,
        )
        self._log = RedisLog(redis, keys, settings, watched=watch.rooms, on_own=watch.on_own)
        self._members = RedisMembers(redis, keys, peer.id)
        self._secrets = RedisSecrets(redis, keys)
        self.tokens = RedisRevocations(redis, keys)
        self.mentions = RedisMentions(redis, keys)
        self.search = Scan(self.history, config.rooms.search_scan)
        self.directory = RedisDirectory(redis, keys)
        self._nodes = RedisNodes(redis, keys, peer, on_event=self._on_event)
        subscriptions = Subscriptions(config.webhooks)
        self.webhooks = (
            RedisWebhooks(
                redis,
                keys,
                subscriptions,
                peer.id,
                timeout=settings.timeout,
                lease=config.presence.lease,
            )
            if subscriptions
            else None
        )
        self.moderation = RedisModeration(
            redis, keys, timeout=settings.timeout, webhooks=self.webhooks
        )
        self._presence = RedisPresence(
            redis,
            keys,
            peer.id,
            grace=config.presence.grace,
            timeout=settings.timeout,
            on_diff=self._on_diff,
            on_left=self._on_gone,
            noted=self._noted,
            on_reaped=self._on_reaped,
        )
        self.seen = RedisSeen(redis, keys)
        self._policy = Policy(config)
        self._lease = Lease(
            redis,
            keys,
            peer,
            self._presence,
            self._nodes,
            seconds=config.presence.lease,
            grace=config.presence.grace,
        )
        self._hearing = Hearing(
            redis,
            keys,
            watch=watch,
            members=self._members,
            presence=self._presence,
            nodes=self._nodes,
            tokens=self.tokens,
            moderation=self.moderation,
        )
        self._tidied = float("-inf")
        self._running = False
        self._stopping: asyncio.Task[None] | None = None
        self._listener: EngineListener

    # -- life -------------------------------------------------------------------------------------

    async def start(self, listener: EngineListener) -> None:
        """See `Engine.start`."""
        self._listener = listener
        await self._redis.start()
        try:
            self._watch.start(listener, self._log)
            await self._hearing.start(listener)
            await self.tokens.start(listener)
            await self.moderation.start(listener)
            await self._lease.start()
        except Refusal as error:
            await self._shut_down()
            raise StoreError(
                "Redis answers, but this node cannot register there: see what was logged before, "
                "and whether the user of `redis.url` may write keys that begin with "
                f"{self._keys.leases!r}"
            ) from error
        except BaseException:
            await self._shut_down()
            raise
        self._running = True
        if self._keeps:
            await self._tell_risks()

    async def _tell_risks(self) -> None:
        """In a cluster, of one of its servers. Who may not be asked has an operator who knows."""
        try:
            asked = [self._redis.command("", "INFO", about) for about in ("persistence", "memory")]
            for risk in risks(*await asyncio.gather(*asked)):
                log.warning(f"Redis: {risk}")
        except (ReplyError, Unavailable) as error:
            log.info("Redis does not say whether it keeps what it is given: %s", error)

    async def stop(self) -> None:
        """See `Engine.stop`."""
        if self._stopping is None:
            if not self._running:
                return
            self._running = False
            self._stopping = asyncio.create_task(self._shut_down(), name="redis-engine-stop")
        # Not taken along by a caller who is cancelled: another may be waiting too.
        await asyncio.shield(self._stopping)

    async def _shut_down(self) -> None:
        self._watch.stop()
        await self.tokens.stop()
        await self.moderation.stop()
        await self._lease.stop()
        await self._members.write_rest()
        await self.seen.write_rest()
        if self.webhooks is not None:
            await self.webhooks.stop()
        await self._hearing.stop()
        await self._redis.stop()
        await asyncio.sleep(0)  # whoever was answered announces it now

    async def secret(self, name: str) -> bytes:
        """See `Engine.secret`."""
        self._check_running()
        return await self._secrets.secret(name)

    def watch(self, room: str) -> None:
        """See `Engine.watch`."""
        if self._watch.add(room):
            self.moderation.watch(room)
            self._hearing.watch(room)

    def unwatch(self, room: str) -> None:
        """See `Engine.unwatch`."""
        self._watch.remove(room)
        self.moderation.unwatch(room)
        self._hearing.unwatch(room)

    def ready(self) -> str | None:
        """See `Engine.ready`."""
        if not self._running:
            return "the engine does not run"
        return self._redis.trouble or self._hearing.trouble

    def stats(self) -> Mapping[str, float]:
        """See `Engine.stats`."""
        return {
            **self._redis.stats(),
            **self._hearing.stats(),
            **self._watch.stats(),
            **self._members.stats(),
            **self._presence.stats(),
            **self.seen.stats(),
            **self._nodes.stats(),
            **self._lease.stats(),
            **self.tokens.stats(),
            **self.moderation.stats(),
            **({} if self.webhooks is None else self.webhooks.stats()),
            "publish_late_total": self._log.late,
        }

    # -- the log ----------------------------------------------------------------------------------

    async def publish(self, room: str, draft: Draft, keep: Retention) -> Published:
        """See `Log.publish`. A body that cannot be stored is a `bad_request`."""
        if not self._running:
            raise _stopped()
        if self.webhooks is not None:
            await self.webhooks.expect(room)
        published = await self._log.publish(room, draft, keep)
        if self.webhooks is not None:
            self.webhooks.touch(room)
        if published.position.offset == 1:
            self._members.count_room(room)
        return published

    async def operate(self, room: str, operation: Operation, keep: Retention) -> Published:
        """See `Log.operate`."""
        self._check_running()
        if self.webhooks is not None:
            await self.webhooks.expect(room)
        published = await self._log.operate(room, operation, keep)
        if self.webhooks is not None:
            self.webhooks.touch(room)
        return published

    async def history(
        self,
        room: str,
        *,
        after: int | None = None,
        before: int | None = None,
        limit: int,
        ops: bool = False,
    ) -> Page:
        """See `Log.history`. A watched room answers from memory what is there, also while Redis is
        away; unless somebody knows of more than was announced here."""
        self._check_running()
        for _ in range(_PATIENCE):
            state = self._watch.rooms.get(room)
            if state is not None and state.is_whole and (after is None or after <= state.top):
                found = state.page(state.first, after, before, limit, ops=ops)
                if found is not None:
                    top = Position(state.epoch, state.top)
                    return Page(
                        found.messages, state.first, top, state.number, found.start, found.end
                    )
            page = await self._log.page(room, after, before, limit, ops=ops)
            state = self._watch.rooms.get(room)
            if state is None:
                return page
            await self._watch.placed(state, self._timeout)
            if self._watch.rooms.get(room) is not state:
                continue
            if page.top.epoch != state.epoch:
                self._watch.doubt(state)  # whoever reads this page is told of the new log, too
                return page
            if page.top.offset >= state.base:
                return page
        raise Refusal("unavailable", retry_after=RETRY_AFTER)

    async def trim(self, room: str, keep: Retention, now: float) -> None:
        """See `Log.trim`."""
        if not self._running:
            return
        rule = keep.history_length, keep.history_age
        first = await self._log.trim(room, rule, now)
        state = self._watch.rooms.get(room)
        if state is not None:
            state.rule = rule
            if first is not None:
                state.drop_before(first)

    # -- members ----------------------------------------------------------------------------------

    async def join(self, room: str, user: User, quota: Quota = UNLIMITED) -> Membership:
        """See `Members.join`."""
        self._check_running()
        return await self._members.join(room, user, quota)

    async def leave(self, room: str, user_id: str) -> None:
        """See `Members.leave`."""
        self._check_running()
        await self._members.leave(room, user_id)

    def advance(self, room: str, user_id: str, offset: int) -> None:
        """See `Members.advance`."""
        self._members.advance(room, user_id, offset)

    async def read(self, room: str, user_id: str, offset: int) -> Standing:
        """See `Members.read`."""
        self._check_running()
        return await self._members.read(room, user_id, offset)

    async def members(self, room: str, *, limit: int) -> list[User]:
        """See `Members.members`."""
        self._check_running()
        return await self._members.members(room, limit=limit)

    async def names(self, wanted: Mapping[str, str]) -> Mapping[str, str]:
        """See `Members.names`."""
        self._check_running()
        return await self._members.names(wanted)

    async def rooms_of(self, user_id: str, *, limit: int) -> Mapping[str, Standing]:
        """See `Members.rooms_of`."""
        self._check_running()
        return await self._members.rooms_of(user_id, limit=limit)

    # -- presence ---------------------------------------------------------------------------------

    async def enter(self, room: str, user: User, client: str) -> Counts:
        """See `Presence.enter`."""
        self._check_running()
        if self.webhooks is not None:
            await self.webhooks.expect(room)
        return await self._presence.enter(room, user, client)

    async def exit(self, room: str, user_id: str, client: str, now: float) -> None:
        """See `Presence.exit`."""
        if self._running:
            self._members.write_one(room, user_id)
        await self._presence.exit(room, user_id, client, now)

    def rest(self, room: str, user_id: str, client: str, resting: bool) -> None:
        """See `Presence.rest`."""
        self._presence.rest(room, user_id, client, resting)

    async def states(self, room: str, user_ids: Sequence[str]) -> Mapping[str, State]:
        """See `Presence.states`."""
        self._check_running()
        return await self._presence.states(room, user_ids)

    async def online(self, room: str, *, limit: int) -> list[User]:
        """See `Presence.online`."""
        self._check_running()
        return await self._presence.online(room, limit=limit)

    async def counts(self, room: str) -> Counts:
        """See `Presence.counts`."""
        self._check_running()
        return await self._presence.counts(room)

    async def sweep(self, now: float) -> None:
        """See `Presence.sweep`. Also has cursors written and the logs here trimmed now and then."""
        if not self._running:
            return
        self._members.write(now)
        self.tokens.tick(now)
        self.moderation.tick(now)
        if not 0 <= now - self._tidied < _TIDY_EVERY:
            self._tidied = now
            self._watch.tidy(now)
        await self._presence.sweep(now)
        self.seen.write()

    # -- other nodes ------------------------------------------------------------------------------

    def tell(self, room: str, event: Event) -> None:
        """See `Nodes.tell`."""
        if self._running:
            self._nodes.tell(room, event)

    def listen(self, room: str) -> None:
        """See `Nodes.listen`."""
        self._hearing.listen(room)

    def unlisten(self, room: str) -> None:
        """See `Nodes.unlisten`."""
        self._hearing.unlisten(room)

    async def peer(self, node: str) -> Peer | None:
        """See `Nodes.peer`."""
        return await self._nodes.peer(node) if self._running else None

    def peers(self) -> Mapping[str, Peer]:
        """See `Nodes.peers`."""
        return self._nodes.peers()

    # -- what Redis tells -------------------------------------------------------------------------

    def _on_connected(self) -> None:
        if self._running:
            self._watch.on_connected()
            self._secrets.restore()
            self.tokens.on_connected()
            self.moderation.on_connected()
            self._lease.doubt()

    def _on_lost(self, reason: str) -> None:
        log.warning("Redis does not answer: %s", reason)

    def _on_new_epoch(self, room: str) -> None:
        self._members.forget_room(room)
        self._lease.doubt()

    def _on_looked(self, room: str, presence: int) -> None:
        self._presence.on_looked(room, presence)

    def _on_diff(self, room: str, diff: PresenceDiff) -> None:
        if self.webhooks is not None:
            self.webhooks.touch(room)
        if room in self._watch.rooms:
            self._listener.on_presence(room, diff)

    def _noted(self, room: str) -> Sequence[str]:
        return () if self.webhooks is None else self.webhooks.keys_of(room)

    def _on_reaped(self, room: str) -> None:
        """A dead node may have left something in the room that it had yet to send."""
        if self.webhooks is not None:
            self.webhooks.touch(room)

    def _on_gone(self, room: str, user_id: str, at: float) -> None:
        if self._policy.rule(room).presence:
            self.seen.note(user_id, at)

    def _on_event(self, room: str, event: Event, node: str) -> None:
        if room in self._watch.rooms or self._keys.room(room).channel in self._hearing.listened:
            self._listener.on_event(room, event, node)

    def _check_running(self) -> None:
        if not self._running:
            raise _stopped()


def _stopped() -> Refusal:
    return Refusal("unavailable", retry_after=RETRY_AFTER)
