"""The embedded engine's tables of rooms and messages: numbering, dedup, trimming, in SQL.

Everything here runs in the store's one thread, inside the transactions of `embedded_writer`;
it knows neither threads nor the event loop nor what becomes of a failure. Rooms are numbered on
copies of their heads that count only after the commit: a rolled-back batch leaves no hole.
Reading is in `embedded_pages`, what is done to messages in `embedded_operations`.
"""

from __future__ import annotations

import sqlite3
from collections import OrderedDict
from collections.abc import Sequence
from itertools import chain
from typing import Any, Final, NamedTuple, Protocol

from sioserver.engine.embedded_bulk import insert, marks, parts
from sioserver.engine.embedded_entries import TOO_SOON, Append, Entry
from sioserver.engine.embedded_file import has_trigrams

TRIM_EVERY: Final = 64
"""Publishes of a room from one trim to the next: its log is at most that much too long."""
TRIM_ROWS: Final = 1000
"""Most rows that one trim of a room deletes, so that a shortened retention stalls nobody."""
PRUNE_ROWS: Final = 10_000
"""Most rows that one prune deletes."""
PAUSES: Final = 100_000
"""Users in rooms with slow mode whose last message is remembered; past that, those are forgotten
whose last message is the oldest."""
SHIFT: Final = 38
"""The number of a row in the index of what messages say is the room's, so far to the left, and the
offset: rows of a room are neighbours, in their order. It has 63 bits: there is space for 33 million
rooms, and in each for 1000 messages a second over 8 years."""
_HEADS: Final = 10_000
"""Rooms whose head is kept in memory here."""

_PLAIN: Final = "INSERT INTO message (room, offset, id, user, name, at, body) VALUES {}"
_SPECIAL: Final = (
    "INSERT INTO message (room, offset, id, user, name, at, body, ops, more) VALUES {}"
)


class Damaged(Exception):
    """The tables contradict themselves."""


class Head:
    """Where a room's log begins and ends."""

    __slots__ = ("first", "id", "keep_age", "keep_length", "oldest", "ops", "since_trim", "top")

    def __init__(self, id: int, top: int, first: int, oldest: int, ops: int) -> None:
        self.id = id
        self.top = top
        self.first = first
        self.ops = ops
        """How many of the entries up to `top` were operations."""
        self.oldest = oldest
        """Milliseconds since 1970 of the message at `first`; 0 when there is none."""
        # As the last draft said; nothing is known of a room until there is one.
        self.keep_length: int | None = None
        self.keep_age = 0.0
        self.since_trim = TRIM_EVERY - 1

    def copy(self) -> Head:
        head = Head(self.id, self.top, self.first, self.oldest, self.ops)
        head.keep_length = self.keep_length
        head.keep_age = self.keep_age
        head.since_trim = self.since_trim
        return head

    @property
    def number(self) -> int:
        """How many of the entries up to `top` were messages."""
        return self.top - self.ops

    def trim_due(self, now: int) -> bool:
        if self.keep_length is None or self.first > self.top:
            return False
        too_long = self.top - self.first + 1 > self.keep_length
        return too_long or bool(self.keep_age and self.oldest < now - self.keep_age * 1000)


class Rule(NamedTuple):
    """What a room keeps, see `Retention`."""

    room: str
    length: int
    age: float


class Watcher(Protocol):
    """Who writes something beside whatever is written in a room."""

    def touched(self, tables: Tables, room: str, head: Head) -> None:
        """The room is about to be changed, for the first time in this transaction."""

    def committed(self) -> None:
        """The transaction lasts."""

    def rolled_back(self) -> None:
        """It does not."""


class Tables:
    """The tables, through the one connection there is."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        *,
        dedup_window: float,
        watcher: Watcher | None = None,
    ) -> None:
        """`dedup_window`: seconds."""
        self.connection = connection
        self._watcher = watcher
        self._dedup_window = round(dedup_window * 1000)
        self._heads: OrderedDict[str, Head] = OrderedDict()
        self.epoch: str = connection.execute(
            "SELECT value FROM meta WHERE name = 'epoch'"
        ).fetchone()[0]
        row = connection.execute("SELECT max(id) FROM room").fetchone()
        self._last_room: int = row[0] or 0
        self.searchable = (
            has_trigrams()
            and connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'said'").fetchone()
            is not None
        )
        """Is there an index of what messages say? See `embedded_search`."""
        # Of the open transaction.
        self._touched: dict[str, Head] = {}
        self._new_rooms = 0
        self._said: dict[tuple[int, str], int] = {}
        # When a user's last message in a room was, of those with a pause: milliseconds.
        self._last_said: OrderedDict[tuple[int, str], int] = OrderedDict()

    # -- transactions -----------------------------------------------------------------------------

    def begin(self) -> None:
        if self.connection.in_transaction:  # a roll-back that failed
            self.connection.execute("ROLLBACK")
        self.connection.execute("BEGIN IMMEDIATE")

    def commit(self) -> dict[str, int]:
        """Make it last. Returns the first offset of every room whose log was changed."""
        rows = [
            (head.id, name, head.top, head.first, head.ops) for name, head in self._touched.items()
        ]
        insert(
            self.connection,
            "INSERT INTO room (id, name, top, first, ops) VALUES {} ON CONFLICT (id) DO UPDATE "
            "SET top = excluded.top, first = excluded.first, ops = excluded.ops",
            rows,
        )
        self.connection.execute("COMMIT")
        self._last_room += self._new_rooms
        firsts = {name: head.first for name, head in self._touched.items()}
        for name, head in self._touched.items():
            self._remember(name, head)
        for who, at in self._said.items():
            self._last_said[who] = at
            self._last_said.move_to_end(who)
        while len(self._last_said) > PAUSES:
            self._last_said.popitem(last=False)
        self._forget_transaction()
        if self._watcher is not None:
            self._watcher.committed()
        return firsts

    def rollback(self) -> None:
        """Undo what was done since `begin`, whether or not SQLite has done so already."""
        self._forget_transaction()
        if self._watcher is not None:
            self._watcher.rolled_back()
        if self.connection.in_transaction:
            self.connection.execute("ROLLBACK")

    def checkpoint(self) -> None:
        """Write the log back into the file and begin it anew."""
        self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def _forget_transaction(self) -> None:
        self._touched = {}
        self._new_rooms = 0
        self._said = {}

    # -- the log ----------------------------------------------------------------------------------

    def append(self, appends: Sequence[Append]) -> None:
        """Number and store drafts in their order; what was published before becomes a duplicate,
        and what comes too soon has the problem `TOO_SOON`."""
        if not appends:
            return
        heads = [self.touch(append.room) for append in appends]
        earlier = self._earlier(appends, heads)
        messages: list[tuple[Any, ...]] = []
        special: list[tuple[Any, ...]] = []  # those with something in the other columns
        dedup: list[tuple[Any, ...]] = []
        trim: dict[int, tuple[Head, int]] = {}
        for append, head in zip(appends, heads, strict=True):
            draft = append.draft
            append.at = draft.at
            append.duplicate, append.problem = False, None  # it may be tried for a second time
            if draft.resendable:
                before = earlier.get((head.id, draft.user.id, draft.id))
                if before is not None and before[1] > draft.at - self._dedup_window:
                    append.offset, append.at = before
                    append.duplicate = True
                    continue
            if draft.pause and self._too_soon(append, head):
                continue
            head.top = append.offset = head.top + 1
            head.keep_length = append.keep_length
            head.keep_age = append.keep_age
            if draft.resendable:
                dedup.append((head.id, draft.user.id, draft.id, append.offset, append.at))
                earlier[head.id, draft.user.id, draft.id] = append.offset, append.at
            append.number = append.offset - head.ops
            row = (
                head.id,
                append.offset,
                draft.id,
                draft.user.id,
                draft.user.name,
                append.at,
                append.body,
            )
            if head.ops or append.more is not None:
                special.append((*row, head.ops, append.more))
            else:
                messages.append(row)
            if head.first == append.offset:
                head.oldest = append.at
            head.since_trim += 1
            if head.since_trim >= TRIM_EVERY or not head.keep_length:
                trim[head.id] = head, append.at
        for statement, rows in ((_PLAIN, messages), (_SPECIAL, special)):
            insert(
                self.connection,
                statement,
                # A room without a history has a top and nothing else, not even for a moment.
                [row for row in rows if row[0] not in trim or trim[row[0]][0].keep_length],
            )
        insert(
            self.connection,
            "INSERT OR REPLACE INTO dedup (room, user, id, offset, at) VALUES {}",
            dedup,
        )
        for head, now in trim.values():
            self._trim(head, now)

    def grown(self, head: Head, entry: Entry) -> None:
        """An entry that is no message has been put at the head's top: keep what it says."""
        head.keep_length = entry.keep_length
        head.keep_age = entry.keep_age
        head.since_trim += 1
        if head.since_trim >= TRIM_EVERY or not head.keep_length:
            self._trim(head, entry.at)

    def _too_soon(self, append: Append, head: Head) -> bool:
        who = head.id, append.draft.user.id
        last = self._said.get(who) or self._last_said.get(who)
        if last is not None:
            left = last + append.draft.pause * 1000 - append.at
            if left > 0:
                append.problem = TOO_SOON
                # a clock that was set back makes nobody wait for longer
                append.wait = min(append.draft.pause, left / 1000)
                return True
        self._said[who] = append.at
        return False

    def _earlier(
        self, appends: Sequence[Append], heads: Sequence[Head]
    ) -> dict[tuple[int, str, str], tuple[int, int]]:
        """(offset, at) of those drafts that the dedup table knows, by (room, user, id)."""
        wanted = [
            (head.id, append.draft.user.id, append.draft.id)
            for append, head in zip(appends, heads, strict=True)
            if append.draft.resendable and head.top
        ]
        found = {}
        for part in parts(wanted):
            rows = self.connection.execute(
                f"WITH wanted (r, u, i) AS (VALUES {marks(part)}) "  # noqa: S608 (only marks)
                "SELECT room, user, id, offset, at FROM wanted CROSS JOIN dedup "
                "ON room = r AND user = u AND id = i",
                tuple(chain.from_iterable(part)),
            )
            for room, user, draft_id, offset, at in rows:
                found[room, user, draft_id] = offset, at
        return found

    def trim(self, now: float) -> None:
        """Trim the rooms that are known here and due. `now`: seconds since 1970."""
        at = round(now * 1000)
        for name in [name for name, head in self._heads.items() if head.trim_due(at)]:
            self._trim(self.touch(name), at)

    def apply(self, rules: Sequence[Rule], now: float) -> None:
        """Trim these rooms by these rules, as far as they are due. `now`: seconds since 1970."""
        at = round(now * 1000)
        for rule in rules:
            head = self.head(rule.room)
            if head is None:
                continue
            head = head.copy()
            head.keep_length, head.keep_age = rule.length, rule.age
            if head.trim_due(at):
                self._touched[rule.room] = head
                self._trim(head, at)

    def horizon(self, rule: Rule, least: int, now: float) -> tuple[int, int]:
        """The first offset, not before `least`, that the rule wants kept, and its time (0: there is
        none). Only reads."""
        head = self.head(rule.room)
        if head is None:
            return least, 0
        first = max(least, head.first, head.top - rule.length + 1)
        if rule.age and first <= head.top:
            kept = self.connection.execute(
                "SELECT offset FROM message WHERE room = ? AND offset >= ? AND at >= ? "
                "ORDER BY offset LIMIT 1",
                (head.id, first, round(now * 1000 - rule.age * 1000)),
            ).fetchone()
            first = head.top + 1 if kept is None else kept[0]
        return first, self._at(head.id, first)

    def _trim(self, head: Head, now: int) -> None:
        """Drop what the room need not keep, from the old end. `now`: milliseconds."""
        head.since_trim = 0
        if not head.keep_length:
            for table in ("message", "fold"):
                self.connection.execute(f"DELETE FROM {table} WHERE room = ?", (head.id,))  # noqa: S608
            self.unindex(head.id, 0, head.top + 1)
            head.first = head.top + 1
            return
        if not head.trim_due(now):
            return
        end = min(head.top + 1, head.first + TRIM_ROWS)
        first = min(end, max(head.first, head.top - head.keep_length + 1))
        if head.keep_age:
            kept = self.connection.execute(
                "SELECT offset FROM message WHERE room = ? AND offset >= ? AND offset < ? "
                "AND at >= ? ORDER BY offset LIMIT 1",
                (head.id, first, end, round(now - head.keep_age * 1000)),
            ).fetchone()
            first = end if kept is None else kept[0]
        self.connection.execute(
            "DELETE FROM message WHERE room = ? AND offset < ?", (head.id, first)
        )
        self.unindex(head.id, 0, first)
        if head.ops:
            self.connection.execute(
                "DELETE FROM fold WHERE room = ? AND last < ?", (head.id, first)
            )
        head.first = first
        head.oldest = self._at(head.id, first)

    def unindex(self, room: int, start: int, end: int) -> None:
        """Nothing is found any more that messages [start, end) of a room (its number) say, until
        they are indexed again."""
        if self.searchable:
            base = room << SHIFT
            self.connection.execute(
                "DELETE FROM said WHERE rowid >= ? AND rowid < ?", (base + start, base + end)
            )

    def prune(self, now: float) -> bool:
        """Forget drafts that are older than the dedup window. True when there may be more."""
        last = self.connection.execute(
            "SELECT max(number) FROM (SELECT number, at FROM dedup ORDER BY number LIMIT ?) "
            "WHERE at <= ?",
            (PRUNE_ROWS, round(now * 1000) - self._dedup_window),
        ).fetchone()[0]
        if last is None:
            return False
        gone = self.connection.execute(
            "DELETE FROM dedup WHERE number <= ? AND at <= ?",
            (last, round(now * 1000) - self._dedup_window),
        ).rowcount
        return gone >= PRUNE_ROWS

    # -- rooms ------------------------------------------------------------------------------------

    def head(self, name: str) -> Head | None:
        """A room's head for reading; None when nothing was ever written in the room."""
        head = self._touched.get(name)
        if head is not None:
            return head
        head = self._heads.get(name)
        if head is not None:
            self._heads.move_to_end(name)
            return head
        row = self.connection.execute(
            "SELECT id, top, first, ops FROM room WHERE name = ?", (name,)
        ).fetchone()
        if row is None:
            return None
        number, top, first, ops = row
        head = Head(number, top, first, self._at(number, first), ops)
        self._remember(name, head)
        return head

    def touch(self, name: str) -> Head:
        """A room's head for changing, in this transaction."""
        head = self._touched.get(name)
        if head is None:
            head = self.head(name)
            if head is None:
                self._new_rooms += 1
                head = Head(self._last_room + self._new_rooms, top=0, first=1, oldest=0, ops=0)
            else:
                head = head.copy()
            self._touched[name] = head
            if self._watcher is not None:
                self._watcher.touched(self, name, head)
        return head

    @property
    def rooms(self) -> int:
        """How many there are; none is ever deleted."""
        return self._last_room + self._new_rooms

    def _remember(self, name: str, head: Head) -> None:
        self._heads[name] = head
        self._heads.move_to_end(name)
        while len(self._heads) > _HEADS:
            self._heads.popitem(last=False)

    def _at(self, room: int, offset: int) -> int:
        row = self.connection.execute(
            "SELECT at FROM message WHERE room = ? AND offset = ?", (room, offset)
        ).fetchone()
        return row[0] if row else 0
