"""The embedded engine: rooms in the memory of one process, journalled to one SQLite file.

See `base` for the contract. Numbers are given and kept by the journal (`embedded_store`); this
module joins drafts that are still under way, keeps what was committed in the rooms that are in
memory (`embedded_rooms`), and announces in the order in which the journal hands its results out.
What waits for its time has modules of its own: proven cursors (`embedded_cursors`), what is kept
for too long (`embedded_retention`, `embedded_upkeep`), joins and leaves (`embedded_presence`). It
knows no SQL and no thread.
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

from sioserver.config.schema import Store
from sioserver.config.schema import Webhooks as Endpoints
from sioserver.engine import embedded_members as member_rows
from sioserver.engine import embedded_pages as pages
from sioserver.engine.base import UNLIMITED, EngineListener, Quota, Retention, too_many
from sioserver.engine.embedded_cursors import Cursors
from sioserver.engine.embedded_directory import EmbeddedDirectory
from sioserver.engine.embedded_entries import Append, Entry, Operate
from sioserver.engine.embedded_members import Known
from sioserver.engine.embedded_mentions import EmbeddedMentions
from sioserver.engine.embedded_moderation import EmbeddedModeration
from sioserver.engine.embedded_pages import Loaded
from sioserver.engine.embedded_presence import Presence
from sioserver.engine.embedded_retention import RetentionRules
from sioserver.engine.embedded_rooms import Room, RoomCache
from sioserver.engine.embedded_search import EmbeddedSearch
from sioserver.engine.embedded_seen import EmbeddedSeen
from sioserver.engine.embedded_store import Journal
from sioserver.engine.embedded_tokens import EmbeddedTokens, find_secret, make_secret
from sioserver.engine.embedded_upkeep import Upkeep
from sioserver.engine.embedded_webhooks import EmbeddedWebhooks, Marking
from sioserver.engine.scan import Scan
from sioserver.engine.tail import TAIL_BYTES
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

SLICE: Final = 0.005
"""Seconds for which one sweep keeps the event loop at a time: crowds leave at once."""


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
        self._encode = msgspec.msgpack.Encoder().encode
        # Rooms.
        self._cached_messages = store.cached_messages
        self._watched: set[str] = set()
        self._rooms = RoomCache(self._fetch_room, self._is_needed, idle=store.cached_rooms)
        self._journal = Journal(
            path,
            full=store.durability == "full",
            dedup_window=store.dedup_window,
            queue=store.queue,
            on_entry=self._entered,
            on_first=self._rooms.trimmed,
            watcher=Marking(subscriptions) if subscriptions else None,
        )
        self.webhooks = (
            EmbeddedWebhooks(self._journal, subscriptions, clock) if subscriptions else None
        )
        self._retention = RetentionRules(self._journal, self._rooms, self._watched)
        # People.
        self._presence = Presence(grace)
        self._grace = grace
        self._tells = tells
        self.seen = EmbeddedSeen(self._journal)
        self._cursors = Cursors(self._journal)
        # Drafts that may be sent again before their fate is known, by (room, user id, id).
        self._under_way: dict[tuple[str, str, str], Append] = {}
        self._secrets: dict[str, bytes] = {}
        self.tokens = EmbeddedTokens(self._journal)
        # Decisions about people and rooms.
        self.moderation = EmbeddedModeration(self._journal, self.webhooks)
        self.mentions = EmbeddedMentions(self._journal)
        self.search = EmbeddedSearch(
            self._journal, Scan(self.history, search_scan), self._first, search_scan
        )
        self.directory = EmbeddedDirectory(
            self._journal, lambda room: self._presence.counts(room)[0]
        )
        self._upkeep = Upkeep(
            self._journal, self._retention, (self.moderation, self.seen, self.tokens)
        )
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
        await self.tokens.start(listener)
        await self.moderation.start(listener)
        if self.webhooks is not None:
            await self.webhooks.start()
        self._running = True

    async def stop(self) -> None:
        """See `Engine.stop`."""
        if self._running:
            self._running = False
            self._cursors.write()
            for room, user, due in self._presence.leaving():
                self._gone(room, user, due)
            self.seen.write()
        await self._journal.stop()

    async def secret(self, name: str) -> bytes:
        """See `Engine.secret`."""
        value = self._secrets.get(name)
        if value is None:
            value = await self._journal.read(lambda tables: find_secret(tables, name))
            if value is None:
                value = await self._journal.write(lambda tables: make_secret(tables, name))
            self._secrets[name] = value
        return value

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
            **self.tokens.stats(),
            **self.moderation.stats(),
            **self.seen.stats(),
            "rooms_cached": len(self._rooms),
            "rooms_watched": len(self._watched),
            "rooms_with_people": len(self._presence),
            "tail_bytes": self._rooms.tail_bytes,
            "cursors_waiting": len(self._cursors),
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
            if self._cursors.waiting or self._retention.rules:
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
        self._retention.posted(room, keep)
        self._cursors.write()

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
        await self._retention.trim(room, keep, now)

    def _entered(self, entry: Entry) -> None:
        """The fate of a draft or an operation is known: keep it, announce it, tell who waits."""
        if isinstance(entry, Append) and entry.draft.resendable:
            del self._under_way[entry.room, entry.draft.user.id, entry.id]
        waiters = entry.waiters
        if entry.problem is not None:
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_exception(entry.refusal())
            return
        if not entry.duplicate:
            try:
                self._announce(entry)
            except Exception:  # it is stored, which is what those are told who wait
                log.exception("a message could not be announced")
        position = Position(self._journal.epoch, entry.offset)
        published = Published(entry.id, position, entry.at, entry.duplicate, entry.target)
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(published)
            if not published.duplicate:
                published = Published(entry.id, position, entry.at, duplicate=True)

    def _announce(self, entry: Entry) -> None:
        message = entry.announced()
        state = self._rooms.get(entry.room)
        if state is not None:
            state.append(message, entry.size, self._cached_messages)
        if self.webhooks is not None:
            self.webhooks.touch(entry.room)
        if entry.room in self._watched:
            self._listener.on_message(entry.room, self._journal.epoch, message)

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
            return self._cursors.as_proven(room, user.id, stored.standing).membership
        if stored is None and quota.members_per_room:
            state = await self._rooms.need(room)
            if state.members >= quota.members_per_room:
                raise too_many("members_per_room")
        known = await self._journal.write(
            lambda tables: member_rows.join(tables, room, user, quota), partial(self._joined, room)
        )
        if isinstance(known, str):
            raise too_many(known)
        return self._cursors.as_proven(room, user.id, known.standing).membership

    async def leave(self, room: str, user_id: str) -> None:
        """See `Members.leave`."""
        await self._journal.write(
            lambda tables: member_rows.leave(tables, room, user_id), partial(self._left, room)
        )

    def advance(self, room: str, user_id: str, offset: int) -> None:
        """See `Members.advance`."""
        self._cursors.advance(room, user_id, offset)

    async def read(self, room: str, user_id: str, offset: int) -> Standing:
        """See `Members.read`."""
        known = await self._journal.write(
            lambda tables: member_rows.read(tables, room, user_id, offset)
        )
        if known is None:
            state = await self._rooms.need(room)
            top, number = state.top, state.number
            return Standing(Membership(top, top, top, number), top, number)
        return self._cursors.as_proven(room, user_id, known.standing)

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
        return {
            room: self._cursors.as_proven(room, user_id, standing)
            for room, standing in rooms.items()
        }

    def _joined(self, room: str, known: Known | str) -> None:
        state = self._rooms.get(room)
        if state is not None and isinstance(known, Known) and known.is_new:
            state.members += 1

    def _left(self, room: str, was_member: bool) -> None:
        state = self._rooms.get(room)
        if state is not None and was_member:
            state.members -= 1

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
                except Exception:  # the other rooms are still told
                    log.exception("presence could not be announced")
        if self.webhooks is not None:
            self.webhooks.write(now)
        self._cursors.write()
        self.seen.write()
        if self._running:
            self._upkeep.tidy(now)

    def _gone(self, room: str, user: User, due: float) -> None:
        """Nobody has seen a user in a room since the grace time before the leave was due."""
        if not user.guest and self._tells(room):
            self.seen.note(user.id, due - self._grace)

    def _counts(self, room: str, state: Room) -> Counts:
        online, guests = self._presence.counts(room)
        return Counts(online, state.members + guests)

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
