"""The embedded engine's marks and notes of webhooks. See `base_webhooks`.

The functions run in the store's thread, inside its transactions, like `embedded_members`; the class
is their end on the event loop. Claims are in memory: there is one node.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, Final

import msgspec

from sioserver.engine.base_webhooks import Note
from sioserver.engine.embedded_bulk import insert
from sioserver.engine.embedded_store import Journal
from sioserver.engine.embedded_tables import Head, Tables
from sioserver.errors import Refusal
from sioserver.model import Position, User
from sioserver.subscriptions import Lane, Subscriptions

log = logging.getLogger(__name__)

MARKED: Final = 100_000
"""Rooms that are known to have their marks; more are looked up again."""

_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(dict[str, Any]).decode

People = Sequence[tuple[str, str, User]]
"""(room, "join" or "leave", who), in the order in which it happened."""


class Marking:
    """Gives a room its marks of the log before anything is stored there; in the store's thread."""

    def __init__(self, subscriptions: Subscriptions) -> None:
        self._subscriptions = subscriptions
        self._marked: set[str] = set()
        self._new: set[str] = set()
        """Marked in the open transaction."""

    def touched(self, tables: Tables, room: str, head: Head) -> None:
        """The room is about to be changed for the first time in this transaction."""
        if room in self._marked:
            return
        lanes = self._subscriptions.from_(room, "log")
        insert(
            tables.connection,
            "INSERT OR IGNORE INTO hook_mark (lane, room, offset) VALUES {}",
            [(str(lane), room, head.top) for lane in lanes],
        )
        self._new.add(room)

    def committed(self) -> None:
        """The transaction lasts."""
        if self._new:
            if len(self._marked) > MARKED:
                self._marked.clear()
            self._marked |= self._new
            self._new = set()

    def rolled_back(self) -> None:
        """It does not."""
        self._new = set()


def begin(tables: Tables, subscriptions: Subscriptions, now: float) -> list[str]:
    """Nobody is here any more: who was before a crash, or a stop, has left. Returns the rooms."""
    rows = tables.connection.execute(
        "SELECT room, user, name, guest FROM hook_online ORDER BY room, user"
    ).fetchall()
    gone = [(room, "leave", User(id, name, bool(guest))) for room, id, name, guest in rows]
    write_people(tables, subscriptions, gone, now)
    tables.connection.execute("DELETE FROM hook_online")
    return list({room: None for room, _, _ in gone})


def write_people(tables: Tables, subscriptions: Subscriptions, people: People, now: float) -> int:
    """Note who came and who left, and remember who is here. How many notes were dropped."""
    dropped = 0
    for room, kind, user in people:
        if kind == "join":
            tables.connection.execute(
                "INSERT OR REPLACE INTO hook_online (room, user, name, guest) VALUES (?, ?, ?, ?)",
                (room, user.id, user.name, user.guest),
            )
        else:
            tables.connection.execute(
                "DELETE FROM hook_online WHERE room = ? AND user = ?", (room, user.id)
            )
        if subscriptions.notes(room, kind):
            dropped += write_note(tables, subscriptions, room, kind, _encode(person(user)), now)
    return dropped


def person(user: User) -> dict[str, Any]:
    """What is noted of somebody."""
    return {"user": user.id, "name": user.name, "guest": user.guest}


def write_note(
    tables: Tables,
    subscriptions: Subscriptions,
    room: str,
    kind: str,
    data: bytes,
    now: float,
) -> int:
    """Note an event; `data`: what is noted, packed. How many older ones were dropped for it."""
    execute = tables.connection.execute
    last = execute("SELECT value FROM meta WHERE name = 'note'").fetchone()
    number = max(round(now * 1_000_000), 0 if last is None else last[0] + 1)
    execute("INSERT OR REPLACE INTO meta (name, value) VALUES ('note', ?)", (number,))
    insert(
        tables.connection,
        "INSERT OR IGNORE INTO hook_mark (lane, room, offset) VALUES {}",
        [(str(lane), room, number - 1) for lane in subscriptions.from_(room, "notes")],
    )
    ends = "SELECT place FROM hook_note WHERE room = ? ORDER BY number {} LIMIT 1"
    oldest = execute(ends.format("ASC"), (room,)).fetchone()
    newest = execute(ends.format("DESC"), (room,)).fetchone()
    place = 1 if newest is None else newest[0] + 1
    execute(
        "INSERT INTO hook_note (room, number, place, kind, data, at) VALUES (?, ?, ?, ?, ?, ?)",
        (room, number, place, kind, data, round(now * 1000)),
    )
    over = 0 if oldest is None else place - oldest[0] + 1 - subscriptions.queue
    if over > 0:
        execute(
            "DELETE FROM hook_note WHERE room = ?1 AND number <= "
            "(SELECT number FROM hook_note WHERE room = ?1 ORDER BY number LIMIT 1 OFFSET ?2)",
            (room, over - 1),
        )
    return max(0, over)


def due(tables: Tables, lane: Lane, limit: int) -> list[str]:
    """See `Webhooks.due`."""
    if lane.source == "log":
        statement = (
            "SELECT room FROM hook_mark JOIN room ON room.name = hook_mark.room "
            "WHERE lane = ? AND room.top > offset LIMIT ?"
        )
    else:
        statement = (
            "SELECT room FROM hook_mark WHERE lane = ? AND EXISTS (SELECT 1 FROM hook_note "
            "WHERE hook_note.room = hook_mark.room AND number > offset) LIMIT ?"
        )
    rows = tables.connection.execute(statement, (str(lane), limit)).fetchall()
    return [room for (room,) in rows]


def mark_of(tables: Tables, lane: Lane, room: str) -> tuple[int, int] | None:
    """(the lane's mark, the end of its source); None when it has none."""
    row = tables.connection.execute(
        "SELECT offset FROM hook_mark WHERE lane = ? AND room = ?", (str(lane), room)
    ).fetchone()
    if row is None:
        return None
    if lane.source == "log":
        head = tables.head(room)
        return row[0], 0 if head is None else head.top
    end = tables.connection.execute(
        "SELECT max(number) FROM hook_note WHERE room = ?", (room,)
    ).fetchone()[0]
    return row[0], end or 0


def set_mark(
    tables: Tables, subscriptions: Subscriptions, lane: Lane, room: str, offset: int
) -> None:
    """See `Webhooks.advance`."""
    execute = tables.connection.execute
    execute(
        "UPDATE hook_mark SET offset = ? WHERE lane = ? AND room = ?", (offset, str(lane), room)
    )
    if lane.source == "notes":
        marks = [mark_of(tables, one, room) for one in subscriptions.from_(room, "notes")]
        least = min((mark[0] for mark in marks if mark is not None), default=0)
        execute("DELETE FROM hook_note WHERE room = ? AND number <= ?", (room, least))


def notes(tables: Tables, room: str, after: int, limit: int) -> list[Note]:
    """See `Webhooks.notes`."""
    rows = tables.connection.execute(
        "SELECT number, kind, data, at FROM hook_note WHERE room = ? AND number > ? "
        "ORDER BY number LIMIT ?",
        (room, after, limit),
    ).fetchall()
    return [Note(number, kind, _decode(data), at) for number, kind, data, at in rows]


class EmbeddedWebhooks:
    """See `base_webhooks.Webhooks`."""

    def __init__(
        self, journal: Journal, subscriptions: Subscriptions, clock: Callable[[], float]
    ) -> None:
        """`clock`: seconds since 1970."""
        self._journal = journal
        self._clock = clock
        self._subscriptions = subscriptions
        self._claims: set[tuple[Lane, str]] = set()
        self._people: list[tuple[str, str, User]] = []
        """Comings and goings that are still to be written down."""
        self._writing = False
        self._now = 0.0
        self.touched: Callable[[str], None] | None = None
        self._dropped = 0

    async def start(self) -> None:
        """To be called when the journal has been opened, before anybody comes."""
        now = self._clock()
        await self._journal.write(lambda tables: begin(tables, self._subscriptions, now))

    async def due(self, lane: Lane, *, limit: int) -> list[str]:
        """See `Webhooks.due`."""
        limit += len(self._claims)
        found = await self._journal.read(lambda tables: due(tables, lane, limit))
        return [room for room in found if (lane, room) not in self._claims]

    async def claim(self, lane: Lane, room: str) -> Position | None:
        """See `Webhooks.claim`."""
        if (lane, room) in self._claims:
            return None
        self._claims.add((lane, room))
        try:
            found = await self._journal.read(lambda tables: mark_of(tables, lane, room))
        except BaseException:
            self._claims.discard((lane, room))
            raise
        if found is None:
            self._claims.discard((lane, room))
            return None
        return Position(self._journal.epoch, found[0])

    async def advance(self, lane: Lane, room: str, mark: Position) -> bool:
        """See `Webhooks.advance`."""
        if (lane, room) not in self._claims:
            return False
        await self._journal.write(
            lambda tables: set_mark(tables, self._subscriptions, lane, room, mark.offset)
        )
        return True

    async def release(self, lane: Lane, room: str) -> bool:
        """See `Webhooks.release`."""
        found = await self._journal.read(lambda tables: mark_of(tables, lane, room))
        if found is not None and found[1] > found[0]:
            return False
        self._claims.discard((lane, room))
        return True

    async def give_back(self, lane: Lane, room: str, wait: float) -> None:
        """See `Webhooks.give_back`."""
        self._claims.discard((lane, room))

    async def notes(self, room: str, *, after: int, limit: int) -> list[Note]:
        """See `Webhooks.notes`."""
        return await self._journal.read(lambda tables: notes(tables, room, after, limit))

    def stats(self) -> dict[str, float]:
        """See `Webhooks.stats`."""
        return {"webhook_notes_dropped_total": self._dropped}

    # -- for the engine -----------------------------------------------------------------------

    def touch(self, room: str) -> None:
        """Something was stored or noted in the room."""
        if self.touched is not None and self._subscriptions.lanes(room):
            self.touched(room)

    def noting(
        self, room: str, kind: str, data: bytes, now: float
    ) -> Callable[[Tables], int] | None:
        """What notes such an event, for the transaction in which it happens, and answers how many
        notes were dropped; None where nobody wants it. To be told by `noted` when it lasts."""
        if not self._subscriptions.notes(room, kind):
            return None
        return lambda tables: write_note(tables, self._subscriptions, room, kind, data, now)

    def noted(self, room: str, dropped: int) -> None:
        """See `noting`."""
        self._drop(dropped)
        self.touch(room)

    def people(self, room: str, joined: Iterable[User], left: Iterable[User]) -> None:
        """People came to a room and left it; written down by `write`."""
        if self._subscriptions.from_(room, "notes"):
            self._people += [(room, "leave", user) for user in left]
            self._people += [(room, "join", user) for user in joined]

    def write(self, now: float) -> None:
        """Write down who came and left since the last time, one lot at a time. What could not be
        written is with the next; it is bounded by those who can come and go meanwhile."""
        self._now = now
        if self._writing or not self._people:
            return
        lot, self._people = self._people, []
        try:
            self._journal.post(
                lambda tables: write_people(tables, self._subscriptions, lot, now),
                done=partial(self._written, lot),
                failed=partial(self._not_written, lot),
            )
        except Refusal:
            self._people = lot + self._people  # the store is being closed
        else:
            self._writing = True

    def _written(self, lot: People, dropped: int) -> None:
        self._writing = False
        self._drop(dropped)
        self.write(self._now)
        for room in {room: None for room, _, _ in lot}:
            self.touch(room)

    def _not_written(self, lot: People, _: Refusal) -> None:
        self._writing = False
        queue = self._subscriptions.queue
        people = [*lot, *self._people]
        self._drop(max(0, len(people) - queue))
        self._people = people[-queue:]

    def _drop(self, dropped: int) -> None:
        if dropped:
            self._dropped += dropped
            log.warning("webhooks: notes were dropped: too many wait")
