"""Where clients are in their rooms' logs: what they missed, what is lost to them, what has arrived.

Part of `RoomService`. A client is given the log, then what was announced meanwhile, and is live
from then on; what has provably arrived moves its user's cursor. It knows no wire but the events,
and whether somebody may be in the room was asked before.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

import msgspec

from sioserver import private, wire
from sioserver.auth import Policy
from sioserver.engine.base import Engine
from sioserver.errors import Refusal
from sioserver.hub import Client, Hub
from sioserver.model import Counts, Event, Membership, Page, Position, RoomSettings, User

AT_ONCE: Final = 262_144
"""Bytes of bodies that a join brings along. More is not held for the client: it is behind, and
catches up from the log."""


class Joined(msgspec.Struct, frozen=True):
    """What a client is told when it has joined, in this order: the welcome, the gap, the missed."""

    counts: Counts
    membership: Membership
    top: Position
    number: int
    """How many messages there were up to `top`."""
    begins: Position
    """Where delivery goes on: the position before the gap or before the first missed message."""
    gap: Event | None
    after: Position
    """The position behind the gap, before the first missed message."""
    missed: list[Event] | None
    """None: it is too much to be told at once."""
    recovered: bool
    """Nothing since the client's own position is lost."""
    set_up: Callable[[], tuple[list[str], RoomSettings]]
    """What the client may do, and the room's settings: as they are when it is told, because it is
    told of changes from then on."""
    peer: User | None = None
    """With whom the user shares a room of two."""

    def welcome(self, client: Client, *, recovered: bool, begins: Position) -> Event:
        """The welcome event; `recovered` is the edge's verdict on the whole connection."""
        permissions, settings = self.set_up()
        return wire.welcome_event(
            private.shown(client.room, client.user.id),
            client.user,
            self.counts,
            max(0, self.number - self.membership.number),
            self.membership.read,
            self.top,
            begins,
            recovered=recovered,
            permissions=permissions,
            settings=settings,
            peer=self.peer,
            state="away" if client.device.rests else "online",
        )


class Missed(msgspec.Struct, frozen=True):
    """A stretch of what a client that is behind was not told yet."""

    events: list[Event]
    """In order; a gap comes first, where the log has lost something."""
    top: Position
    """Of the log, when it was read."""


class Replay:
    """See the module. Methods raise `Refusal`."""

    def __init__(self, engine: Engine, hub: Hub, policy: Policy, limit: int) -> None:
        """`limit`: entries of the log that a client which joins is given, at most."""
        self._engine = engine
        self._hub = hub
        self._policy = policy
        self._limit = limit

    async def look_back(
        self, client: Client, since: Position | None, membership: Membership
    ) -> tuple[Page, Position]:
        """What the client missed, up to the top of the log (the newest of it, if it is much), and
        the position behind which it was looked for."""
        room, limit = client.room, self._limit
        known, least = membership.cursor, 0
        if since is not None:
            known = since.offset
            # it is only the client's word, and opens nothing to who may not see what was before
            if not self._policy.may(client.identity, "history", room):
                least = membership.joined
        look = partial(self._engine.history, room, limit=limit, ops=True)
        page = await look(after=max(known, least))
        at = since or Position(page.top.epoch, known)
        if at.epoch != page.top.epoch:
            page = await look(after=least)
        if page.messages and page.messages[-1].offset < page.top.offset:
            page = await look()
        client.epoch, client.offset = page.top.epoch, page.top.offset
        return page, at

    def go_live(self, client: Client) -> list[Event] | None:
        """The client has been handed everything up to the top of the log, as it was read last: from
        now on it gets events as they come.

        Returns what was announced meanwhile; the edge hands it out before it waits for anything.
        None when that has a hole: the client has to read on (`lag`, `catch_up`).
        """
        if not self._hub.knows(client):
            raise left_meanwhile()
        missed = self._hub.live(client)
        if missed is None:
            return None
        return [wire.message_event(message, client.epoch) for message in missed]

    def states(self, client: Client) -> list[tuple[int, Event]]:
        """What changed while the client was behind, of what only the newest counts: see
        `Hub.states`. It is told that before it goes live."""
        if not self._hub.knows(client):
            raise left_meanwhile()
        return self._hub.states(client)

    def lag(self, client: Client, offset: int) -> None:
        """The client was handed the log up to `offset`, and has no space for more now: nothing more
        is told or kept for it, until `catch_up`."""
        if not self._hub.knows(client):
            raise left_meanwhile()
        self._hub.lag(client, offset)

    async def catch_up(self, client: Client, limit: int) -> Missed:
        """The next of what a client that is behind has to be told: at most `limit` entries
        of the log.

        The edge hands out of it what there is space for, and notes that with `handed`. Then, before
        it waits for anything, it calls `go_live` if that was all and reached the top, else `lag`.
        """
        if not self._hub.is_in(client):
            raise left_meanwhile()
        self._hub.begin(client)
        at = Position(client.epoch, client.offset)
        try:
            look = partial(self._engine.history, client.room, limit=limit, ops=True)
            page = await look(after=at.offset)
            if page.top.epoch != at.epoch:
                allowed = self._policy.may(client.identity, "history", client.room)
                # who may not see what was before its time gets what comes
                page = await look(after=0 if allowed else page.top.offset)
        except BaseException:
            if self._hub.knows(client):
                self._hub.lag(client, at.offset)
            raise
        if not self._hub.knows(client):
            raise left_meanwhile()
        _, begin, lost = verdict(page, at)
        gap = [] if lost is None else [wire.gap_event(*lost, Position(page.top.epoch, begin))]
        return Missed([*gap, *_events(page, client.user)], page.top)

    def handed(self, client: Client, position: Position) -> None:
        """A client that is behind was handed everything up to there."""
        self._hub.handed(client, position)

    def delivered(self, client: Client, offset: int) -> None:
        """It is proven that the client has everything up to `offset`."""
        offset = min(offset, self._hub.written(client))
        if offset > client.proven:
            self.proved(client, offset)

    def proved(self, client: Client, offset: int) -> None:
        """The same, where that is more than was proven before."""
        client.proven = offset
        self._engine.advance(client.room, client.user.id, offset)


def _events(page: Page, reader: User) -> list[Event]:
    return [wire.message_event(entry, page.top.epoch, reader.id) for entry in page.messages]


def few(page: Page, reader: User) -> list[Event] | None:
    """The entries of the page, unless they are too much to be told at once."""
    size = sum(wire.entry_size(entry) for entry in page.messages)
    return _events(page, reader) if size <= AT_ONCE else None


def verdict(page: Page, at: Position) -> tuple[int, int, tuple[int, int] | None]:
    """Is everything behind a client's position on the page?

    Returns the offset that the client is at, the offset behind which the page begins, and the first
    and last offset of what is lost to the client in between.
    """
    top = page.top.offset
    begin = page.messages[0].offset - 1 if page.messages else top
    if at.epoch != page.top.epoch:
        # another life of the log: offsets mean nothing any more, so begin where it begins
        return 0, begin, (0, begin)
    if at.offset > top:
        # the log lost its end: what comes next under these offsets is something else
        return top, begin, (top + 1, at.offset)
    return at.offset, begin, (at.offset + 1, begin) if at.offset < begin else None


def left_meanwhile() -> Refusal:
    """It left while something was waited for: whatever was asked for it is told to nobody."""
    return Refusal("not_member", "the client left before it had joined")
