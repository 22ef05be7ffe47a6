"""The embedded engine: rooms in the memory of one process, journalled to one SQLite file.

See `base` for the contract. Numbers are given and kept by the journal (`embedded_store`); this
module keeps what was committed (each room's newest messages and counts), joins drafts that are
still under way, and announces in the order in which the journal hands its results out. It knows
no SQL and no thread.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from sioserver.config.schema import Store
from sioserver.config.schema import Webhooks as Endpoints
from sioserver.engine import embedded_members as member_rows
from sioserver.engine import embedded_operations as operations
from sioserver.engine import embedded_pages as pages
from sioserver.engine import embedded_tokens as token_rows
from sioserver.engine.base import (
    UNLIMITED,
    EngineListener,
    Quota,
    Retention,
    ambiguous,
    not_found,
    not_theirs,
    too_many,
    too_many_reactions,
    too_soon,
)
from sioserver.engine.embedded_directory import EmbeddedDirectory
from sioserver.engine.embedded_members import Known
from sioserver.engine.embedded_mentions import EmbeddedMentions
from sioserver.engine.embedded_moderation import EmbeddedModeration
from sioserver.engine.embedded_presence import Presence
from sioserver.engine.embedded_rooms import Room, RoomCache
from sioserver.engine.embedded_search import EmbeddedSearch
from sioserver.engine.embedded_seen import EmbeddedSeen
from sioserver.engine.embedded_store import RETRY_AFTER, Journal, refusal
from sioserver.engine.embedded_tables import Append, Entry, Loaded, Operate, Rule
from sioserver.engine.embedded_webhooks import EmbeddedWebhooks, Marking
from sioserver.engine.revocations import Revocations
from sioserver.engine.scan import Scan
from sioserver.engine.tail import TAIL_BYTES
from sioserver.errors import Refusal
from sioserver.model import (
    Counts,
    Credentials,
    Draft,
    Event,
    Membership,
    Message,
    Operation,
    Page,
    Peer,
    Position,
    PresenceDiff,
    Published,
    Revocation,
    Standing,
    State,
    User,
)
from sioserver.subscriptions import Subscriptions

log = logging.getLogger(__name__)

SLICE: Final = 0.005
"""Seconds for which one sweep keeps the event loop at a time: crowds leave at once."""

_TIDY_EVERY: Final = 60.0
"""Seconds between two rounds of trimming, pruning and forgetting."""


class EmbeddedEngine:
    """An `Engine` for one process. See `base`."""

    def __init__(
        self,
        store: Store,
        *,
        grace: float,
        path: str | Path,
        endpoints: Endpoints | None = None,
        clock: Callable[[], float] = time.time,
        tells: Callable[[str], bool] = lambda room: True,
        search_scan: int = 5000,
    ) -> None:
        """`grace`: seconds between a user's last exit and the leave. `path`: the store's file, or
        ":memory:"; `store.path` is not looked at. `endpoints`: the webhooks; `clock` is for those.
        `tells`: does a room tell who is in it? `search_scan`: messages that one search looks at."""
        subscriptions = Subscriptions(endpoints or Endpoints())
        self._cached_messages = store.cached_messages
        self._journal = Journal(
            path,
            full=store.durability == "full",
            dedup_window=store.dedup_window,
            queue=store.queue,
            on_entry=self._entered,
            on_first=self._trimmed,
            watcher=Marking(subscriptions) if subscriptions else None,
        )
        self.webhooks = (
            EmbeddedWebhooks(self._journal, subscriptions, clock) if subscriptions else None
        )
        self._encode = msgspec.msgpack.Encoder().encode
        # Rooms.
        self._watched: set[str] = set()
        self._rooms = RoomCache(self._fetch_room, self._is_needed, idle=store.cached_rooms)
        self._rules: dict[str, Rule] = {}
        """What the rooms keep that were trimmed here, by name, while they are watched or cached."""
        # People.
        self._presence = Presence(grace)
        self._grace = grace
        self._tells = tells
        self.seen = EmbeddedSeen(self._journal)
        self._cursors: dict[tuple[str, str], int] = {}
        """Proven cursors that are still to be written down, by (room, user id)."""
        self._cursors_under_way: dict[tuple[str, str], int] = {}
        self._cursors_before: dict[tuple[str, str], int] = {}
        """The lot that was written last. Who read a cursor before may look at it only then."""
        # Drafts that may be sent again before their fate is known, by (room, user id, id).
        self._under_way: dict[tuple[str, str, str], Append] = {}
        # Tokens.
        self._secrets: dict[str, bytes] = {}
        self._revocations = Revocations()
        # Decisions about people and rooms.
        self.moderation = EmbeddedModeration(self._journal, self.webhooks)
        self.mentions = EmbeddedMentions(self._journal)
        self.search = EmbeddedSearch(
            self._journal, Scan(self.history, search_scan), self._first, search_scan
        )
        self.directory = EmbeddedDirectory(
            self._journal, lambda room: self._presence.counts(room)[0]
        )
        # Times of the last rounds.
        self._tidied = float("-inf")
        self._reviewed = float("-inf")
        self._probed = float("-inf")
        self._pruning = False
        # The life of the engine.
        self._running = False
        self._listener: EngineListener
        self._loop: asyncio.AbstractEventLoop

    # -- lifecycle --------------------------------------------------------------------------------

    async def start(self, listener: EngineListener) -> None:
        """See `Engine.start`."""
        self._listener = listener
        self._loop = asyncio.get_running_loop()
        await self._journal.start()
        for rule in await self._journal.read(token_rows.revocations):
            self._revocations.put(rule)
        await self.moderation.start(listener)
        if self.webhooks is not None:
            await self.webhooks.start()
        self._running = True

    async def stop(self) -> None:
        """See `Engine.stop`."""
        if self._running:
            self._running = False
            self._write_cursors()
            for room, user, due in self._presence.leaving():
                self._gone(room, user, due)
            self.seen.write()
        await self._journal.stop()

    def watch(self, room: str) -> None:
        """See `Engine.watch`."""
        self._watched.add(room)
        self._rooms.review(room)
        self.moderation.watch(room)

    def unwatch(self, room: str) -> None:
        """See `Engine.unwatch`."""
        self._watched.discard(room)
        self._rooms.review(room)
        self.moderation.unwatch(room)

    def ready(self) -> str | None:
        """See `Engine.ready`."""
        return self._journal.trouble if self._running else "the store is closed"

    def stats(self) -> Mapping[str, float]:
        """See `Engine.stats`."""
        return {
            "revocations": len(self._revocations),
            **self.moderation.stats(),
            **self.seen.stats(),
            "rooms_cached": len(self._rooms),
            "rooms_watched": len(self._watched),
            "rooms_with_people": len(self._presence),
            "tail_bytes": self._rooms.tail_bytes,
            "cursors_waiting": len(self._cursors) + len(self._cursors_under_way),
            **self._journal.stats(),
            **(self.webhooks.stats() if self.webhooks is not None else {}),
        }

    # -- the log ----------------------------------------------------------------------------------

    async def publish(self, room: str, draft: Draft, keep: Retention) -> Published:
        """See `Log.publish`. A body that cannot be stored is a `bad_request`."""
        append = None
        if draft.resendable:
            append = self._under_way.get((room, draft.user.id, draft.id))
        if append is None:
            body = self._encoded(draft.body)
            append = Append(room, draft, body, keep.history_length, keep.history_age)
            self._journal.append(append)  # before anything is awaited: callers keep their order
            if draft.resendable:
                self._under_way[room, draft.user.id, draft.id] = append
            if self._cursors or self._rules:
                self._enters(room, keep)
        # A future for each caller, so that one who is cancelled takes nobody along.
        waiter: asyncio.Future[Published] = self._loop.create_future()
        append.waiters.append(waiter)
        return await waiter

    async def operate(self, room: str, operation: Operation, keep: Retention) -> Published:
        """See `Log.operate`."""
        body = self._encoded(operation.body) if operation.kind == "edit" else b""
        state = self._rooms.get(room)
        job = Operate(
            room,
            operation,
            body,
            keep.history_length,
            keep.history_age,
            least=1 if state is None else state.first,
        )
        self._journal.append(job)
        self._enters(room, keep)
        waiter: asyncio.Future[Published] = self._loop.create_future()
        job.waiters.append(waiter)
        return await waiter

    def _encoded(self, body: Any) -> bytes:
        try:
            return self._encode(body)
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            raise Refusal("bad_request", f"the body cannot be stored: {error}") from error

    def _enters(self, room: str, keep: Retention) -> None:
        """Something is on its way into the room's log."""
        if room in self._rules:
            self._rules[room] = Rule(room, keep.history_length, keep.history_age)
        if self._cursors and not self._cursors_under_way:
            self._write_cursors()

    async def history(
        self,
        room: str,
        *,
        after: int | None = None,
        before: int | None = None,
        limit: int,
        ops: bool = False,
    ) -> Page:
        """See `Log.history`."""
        state = await self._rooms.need(room)
        found = state.page(state.first, after, before, limit, ops=ops)
        if found is not None:
            top = Position(self._journal.epoch, state.top)
            return Page(found.messages, state.first, top, state.number, found.start, found.end)
        least = state.first  # more than the table's first where something could not be deleted
        return await self._journal.read(
            lambda tables: pages.page(tables, room, after, before, limit, ops=ops, least=least)
        )

    async def _first(self, room: str) -> int:
        return (await self._rooms.need(room)).first

    async def trim(self, room: str, keep: Retention, now: float) -> None:
        """See `Log.trim`."""
        rule = self._rules[room] = Rule(room, keep.history_length, keep.history_age)
        try:
            state = await self._rooms.need(room)
            if state.is_due(rule.length, rule.age, round(now * 1000)):
                if self._journal.trouble is None:
                    self._journal.post(lambda tables: tables.apply([rule], now))
                least = state.first
                self._hide({room: await self._journal.read(
                    lambda tables: tables.horizon(rule, least, now)
                )})  # fmt: skip
        except Refusal as error:
            log.debug("the room %r could not be trimmed: %s", room, error)

    def _hide(self, horizons: Mapping[str, tuple[int, int]]) -> None:
        """Show nothing of these rooms that lies before an offset."""
        for room, (first, oldest) in horizons.items():
            state = self._rooms.get(room)
            if state is not None and first >= state.first:
                state.drop_before(first)
                if first <= state.top:
                    state.oldest = oldest

    def _entered(self, entry: Entry) -> None:
        """The fate of a draft or an operation is known: keep it, announce it, tell who waits."""
        if isinstance(entry, Append):
            draft = entry.draft
            id, target = draft.id, 0
            if draft.resendable:
                del self._under_way[entry.room, draft.user.id, id]
        else:
            assert isinstance(entry, Operate)
            id, target = entry.id, entry.target
        waiters = entry.waiters
        if entry.problem is not None:
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_exception(_refusal_of(entry))
            return
        epoch = self._journal.epoch
        if not entry.duplicate:
            message = _message_of(entry)
            state = self._rooms.get(entry.room)
            if state is not None:
                state.append(message, entry.size, self._cached_messages)
            if entry.room in self._watched:
                try:
                    self._listener.on_message(entry.room, epoch, message)
                except Exception:
                    log.exception("a message could not be announced")
            if self.webhooks is not None:
                self.webhooks.touch(entry.room)
        position = Position(epoch, entry.offset)
        published = Published(id, position, entry.at, entry.duplicate, target)
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(published)
            if not published.duplicate:
                published = Published(id, position, entry.at, duplicate=True)

    def _trimmed(self, room: str, first: int) -> None:
        state = self._rooms.get(room)
        if state is not None:
            state.stored = first
            state.drop_before(first)

    # -- members ----------------------------------------------------------------------------------

    async def join(self, room: str, user: User, quota: Quota = UNLIMITED) -> Membership:
        """See `Members.join`."""
        if user.guest:
            state = await self._rooms.need(room)
            top, number = state.top, state.number
            if (
                quota.rooms
                and not (top or state.members)
                and await self._journal.read(
                    lambda tables: member_rows.no_more_rooms(tables, room, quota)
                )
            ):
                raise too_many("rooms")
            return Membership(top, top, top, number)
        # Looked up before it is written, so that members get in while nothing can be written.
        stored = await self._journal.read(lambda tables: member_rows.find(tables, room, user.id))
        if stored is not None and stored.name == user.name:
            return self._as_proven(room, user.id, stored.standing).membership
        if stored is None and quota.members_per_room:
            state = await self._rooms.need(room)
            if state.members >= quota.members_per_room:
                raise too_many("members_per_room")
        known = await self._journal.write(
            lambda tables: member_rows.join(tables, room, user, quota), partial(self._joined, room)
        )
        if isinstance(known, str):
            raise too_many(known)
        return self._as_proven(room, user.id, known.standing).membership

    async def leave(self, room: str, user_id: str) -> None:
        """See `Members.leave`."""
        await self._journal.write(
            lambda tables: member_rows.leave(tables, room, user_id), partial(self._left, room)
        )

    def advance(self, room: str, user_id: str, offset: int) -> None:
        """See `Members.advance`."""
        who = room, user_id
        if offset > self._cursors.get(who, 0):
            self._cursors[who] = offset

    async def read(self, room: str, user_id: str, offset: int) -> Standing:
        """See `Members.read`."""
        known = await self._journal.write(
            lambda tables: member_rows.read(tables, room, user_id, offset)
        )
        if known is None:
            state = await self._rooms.need(room)
            top, number = state.top, state.number
            return Standing(Membership(top, top, top, number), top, number)
        return self._as_proven(room, user_id, known.standing)

    async def members(self, room: str, *, limit: int) -> list[User]:
        """See `Members.members`."""
        return await self._journal.read(lambda tables: member_rows.by_name(tables, room, limit))

    async def names(self, wanted: Mapping[str, str]) -> Mapping[str, str]:
        """See `Members.names`."""
        return await self._journal.read(lambda tables: member_rows.names(tables, wanted))

    async def rooms_of(self, user_id: str, *, limit: int) -> Mapping[str, Standing]:
        """See `Members.rooms_of`."""
        rooms = await self._journal.read(
            lambda tables: member_rows.rooms_of(tables, user_id, limit)
        )
        return {room: self._as_proven(room, user_id, standing) for room, standing in rooms.items()}

    def _joined(self, room: str, known: Known | str) -> None:
        state = self._rooms.get(room)
        if state is not None and isinstance(known, Known) and known.is_new:
            state.members += 1

    def _left(self, room: str, was_member: bool) -> None:
        state = self._rooms.get(room)
        if state is not None and was_member:
            state.members -= 1

    def _as_proven(self, room: str, user_id: str, stored: Standing) -> Standing:
        """As stored, but with the cursor that is not written down yet."""
        who = room, user_id
        lots = self._cursors, self._cursors_under_way, self._cursors_before
        proven = max(lot.get(who, 0) for lot in lots)
        cursor = min(proven, stored.top)
        if cursor <= stored.membership.cursor:
            return stored
        return replace(stored, membership=replace(stored.membership, cursor=cursor))

    def _write_cursors(self) -> None:
        """Write the proven cursors down with the next batch, one lot at a time."""
        if not self._cursors or self._cursors_under_way:
            return
        lot = self._cursors
        try:
            self._journal.post(
                lambda tables: member_rows.advance(tables, lot),
                done=self._cursors_written,
                failed=self._cursors_not_written,
            )
        except Refusal:
            return  # they stay until the next time
        self._cursors, self._cursors_under_way = {}, lot

    def _cursors_written(self, _: None) -> None:
        self._cursors_before, self._cursors_under_way = self._cursors_under_way, {}

    def _cursors_not_written(self, _: Refusal) -> None:
        lot, self._cursors_under_way = self._cursors_under_way, {}
        for (room, user_id), offset in lot.items():
            self.advance(room, user_id, offset)

    # -- presence ---------------------------------------------------------------------------------

    async def enter(self, room: str, user: User, client: str) -> Counts:
        """See `Presence.enter`."""
        # Before the room is fetched, so that an exit meanwhile finds the client.
        self._presence.enter(room, user, client)
        self._rooms.review(room)
        try:
            state = await self._rooms.need(room)
        except BaseException:
            self._presence.withdraw(room, user.id, client)
            self._rooms.review(room)
            raise
        return self._counts(room, state)

    async def exit(self, room: str, user_id: str, client: str, now: float) -> None:
        """See `Presence.exit`."""
        self._presence.exit(room, user_id, client, now)

    def rest(self, room: str, user_id: str, client: str, resting: bool) -> None:
        """See `Presence.rest`."""
        self._presence.rest(room, user_id, client, resting)

    async def states(self, room: str, user_ids: Sequence[str]) -> Mapping[str, State]:
        """See `Presence.states`."""
        return self._presence.states(room, user_ids)

    async def online(self, room: str, *, limit: int) -> list[User]:
        """See `Presence.online`."""
        return self._presence.online(room, limit)

    async def counts(self, room: str) -> Counts:
        """See `Presence.counts`."""
        return self._counts(room, await self._rooms.need(room))

    async def sweep(self, now: float) -> None:
        """See `Presence.sweep`. Also writes cursors down and tidies the store now and then."""
        until = self._loop.time() + SLICE
        for room in self._presence.changed(now):
            if self._loop.time() > until:
                await asyncio.sleep(0)
                until = self._loop.time() + SLICE
            state = self._rooms.get(room)
            if state is None:
                continue  # still being fetched for the first to enter; next time
            joined, left = self._presence.take(room, now)
            away, back = self._presence.take_moved(room)
            if self.webhooks is not None:
                self.webhooks.people(room, joined, left)
            for user in left:
                self._gone(room, user, now)
            if room not in self._presence:
                self._rooms.review(room)
            if (joined or left or away or back) and room in self._watched:
                diff = PresenceDiff(self._counts(room, state), joined, left, away, back)
                try:
                    self._listener.on_presence(room, diff)
                except Exception:
                    log.exception("presence could not be announced")
        if self.webhooks is not None:
            self.webhooks.write(now)
        self._write_cursors()
        self.seen.write()
        self._tidy(now)

    def _gone(self, room: str, user: User, due: float) -> None:
        """Nobody has seen a user in a room since the grace time before the leave was due."""
        if not user.guest and self._tells(room):
            self.seen.note(user.id, due - self._grace)

    def _counts(self, room: str, state: Room) -> Counts:
        online, guests = self._presence.counts(room)
        return Counts(online, state.members + guests)

    # -- tokens -----------------------------------------------------------------------------------

    async def secret(self, name: str) -> bytes:
        """See `Tokens.secret`."""
        value = self._secrets.get(name)
        if value is None:
            value = await self._journal.read(lambda tables: token_rows.find_secret(tables, name))
            if value is None:
                value = await self._journal.write(
                    lambda tables: token_rows.make_secret(tables, name)
                )
            self._secrets[name] = value
        return value

    async def revoke(self, rule: Revocation) -> Revocation:
        """See `Tokens.revoke`."""
        self._revocations.check_space(rule)
        return await self._journal.write(
            lambda tables: token_rows.revoke(tables, rule), self._revoked
        )

    async def lift(self, kind: str, id: str) -> bool:
        """See `Tokens.lift`."""
        return await self._journal.write(
            lambda tables: token_rows.lift(tables, kind, id),
            lambda _: self._revocations.drop(kind, id),
        )

    async def revoked(self, token: Credentials, now: float) -> bool:
        """See `Tokens.revoked`."""
        return self._revocations.refuses(token, now)

    async def revocations(
        self, now: float, *, after: tuple[str, str] | None = None, limit: int
    ) -> list[Revocation]:
        """See `Tokens.revocations`."""
        return self._revocations.page(now, after, limit)

    def _revoked(self, rule: Revocation) -> None:
        if self._revocations.put(rule):
            try:
                self._listener.on_revoked(rule)
            except Exception:
                log.exception("a revocation could not be announced")

    # -- other nodes: none ------------------------------------------------------------------------

    def tell(self, room: str, event: Event) -> None:
        """See `Nodes.tell`."""

    def listen(self, room: str) -> None:
        """See `Nodes.listen`."""

    def unlisten(self, room: str) -> None:
        """See `Nodes.unlisten`."""

    async def peer(self, node: str) -> Peer | None:
        """See `Nodes.peer`."""
        return None

    def peers(self) -> Mapping[str, Peer]:
        """See `Nodes.peers`."""
        return {}

    # -- the store --------------------------------------------------------------------------------

    def _tidy(self, now: float) -> None:
        """Keep the store small, and see whether it has recovered. Waits for nothing."""
        if not self._running:
            return
        self._apply_rules(now)
        if self._journal.trouble is not None:
            if not 0 <= now - self._probed < RETRY_AFTER:
                self._probed = now
                self._journal.probe()
            return
        round_is_due = not 0 <= now - self._tidied < _TIDY_EVERY
        try:
            if round_is_due:
                self._tidied = now
                self._journal.post(lambda tables: tables.trim(now))
                self.moderation.tidy(now)
                self.seen.tidy(now)
                if self._revocations.forget(now):
                    self._journal.post(lambda tables: token_rows.forget(tables, now))
            if round_is_due or self._pruning:
                self._pruning = False
                self._journal.post(lambda tables: tables.prune(now), done=self._pruned)
        except Refusal:
            return  # the store is being closed

    def _apply_rules(self, now: float) -> None:
        """Trim the rooms here that nobody may be posting in. What is too old is hidden even while
        it cannot be deleted."""
        if 0 <= now - self._reviewed < _TIDY_EVERY:
            return
        self._reviewed = now
        at = round(now * 1000)
        hide: list[tuple[Rule, int]] = []
        delete: list[Rule] = []
        for rule in list(self._rules.values()):
            state = self._rooms.get(rule.room)
            if state is None:
                if rule.room not in self._watched:
                    del self._rules[rule.room]
                continue
            is_due = state.is_due(rule.length, rule.age, at)
            if is_due:
                hide.append((rule, state.first))
            if is_due or state.stored < state.first:
                delete.append(rule)
        if delete and self._journal.trouble is None:
            self._journal.post(lambda tables: tables.apply(delete, now))
        if hide:
            self._journal.post(
                lambda tables: {
                    rule.room: tables.horizon(rule, least, now) for rule, least in hide
                },
                done=self._hide,
                writes=False,
            )

    def _pruned(self, more: bool) -> None:
        self._pruning = more

    def _fetch_room(
        self, name: str, done: Callable[[Loaded], None], failed: Callable[[Refusal], None]
    ) -> None:
        # Installed in the order of the journal's results, so no message falls in between.
        newest = self._cached_messages
        self._journal.post(
            lambda tables: pages.load(tables, name, newest, TAIL_BYTES),
            done=done,
            failed=failed,
            writes=False,
        )

    def _is_needed(self, room: str) -> bool:
        return room in self._watched or room in self._presence


def _message_of(entry: Entry) -> Message:
    """The entry, as it is announced."""
    if isinstance(entry, Append):
        draft = entry.draft
        return Message(
            draft.id,
            entry.offset,
            draft.user.id,
            draft.user.name,
            draft.body,
            entry.at,
            entry.number,
            "message",
            draft.reply_to,
            draft.mentions,
        )
    assert isinstance(entry, Operate)
    operation = entry.operation
    return Message(
        entry.id,
        entry.offset,
        operation.user.id,
        operation.user.name,
        operation.body if operation.kind == "edit" else None,
        entry.at,
        entry.number,
        operation.kind,
        target=entry.target,
        emoji=operation.emoji,
        on=operation.on,
        count=entry.count,
    )


_PROBLEMS: Final[Mapping[str, Callable[[], Refusal]]] = {
    operations.NOT_FOUND: not_found,
    operations.AMBIGUOUS: ambiguous,
    operations.NOT_THEIRS: not_theirs,
    operations.TOO_MANY: too_many_reactions,
}


def _refusal_of(entry: Entry) -> Refusal:
    assert entry.problem is not None
    if entry.problem == "rate_limited":
        assert isinstance(entry, Append)
        return too_soon(entry.wait)
    if (told := _PROBLEMS.get(entry.problem)) is not None:
        return told()
    return refusal(entry.problem)
