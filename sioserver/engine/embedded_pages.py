"""Reading the embedded engine's log, in SQL: pages, a room's newest entries, where a number stands.

Like `embedded_tables`, on which it stands: called in the store's thread. Messages are read as they
are now, with what was done to them; nothing here writes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any, Final, NamedTuple

import msgspec

from sioserver.engine.embedded_bulk import marks, parts
from sioserver.engine.embedded_tables import Damaged, Head, Tables
from sioserver.engine.tail import Stretch, bounds, span
from sioserver.model import NO_REACTIONS, Message, Page, Position

KINDS: Final = ("message", "edit", "delete", "reaction")
"""By their number in the table."""
MESSAGE: Final = 0
EDIT: Final = 1

SCAN: Final = 10_000
"""Entries that are looked at for a page of messages; with more operations than that among them, a
page ends early."""

decode: Final = msgspec.msgpack.Decoder().decode
_decode_more: Final = msgspec.msgpack.Decoder(tuple[int | str | None, tuple[str, ...]]).decode
_decode_reaction: Final = msgspec.msgpack.Decoder(tuple[str, bool, int]).decode
_decode_reactions: Final = msgspec.msgpack.Decoder(dict[str, tuple[str, ...]]).decode


class Fold(NamedTuple):
    """What was done to a message."""

    last: int
    """The offset of the newest entry about it."""
    edited: int = 0
    deleted: int = 0
    body: bytes | None = None
    """Encoded, when it was edited."""
    reactions: Mapping[str, tuple[str, ...]] = NO_REACTIONS


class Loaded(NamedTuple):
    """What the engine keeps in memory of a room."""

    top: int
    first: int
    oldest: int
    """Milliseconds since 1970 of the message at `first`; 0 when there is none."""
    tail: list[Message]
    sizes: list[int]
    """Bytes of the tail's bodies, encoded."""
    members: int
    number: int = 0
    """How many of the entries up to `top` were messages."""


def page(
    tables: Tables,
    room: str,
    after: int | None,
    before: int | None,
    limit: int,
    *,
    ops: bool = False,
    least: int = 1,
) -> Page:
    """See `Log.history`. Entries before `least` are as good as deleted."""
    head = tables.head(room)
    if head is None:
        return Page([], 1, Position(tables.epoch, 0), 0, 1, 1)
    first = max(head.first, least)
    if ops or not head.ops:
        start, end = span(first, head.top, after, before, limit)
        found = Stretch(_entries(tables, head, start, end), start, end)
    else:
        found = _messages_only(tables, head, first, after, before, limit)
    top = Position(tables.epoch, head.top)
    return Page(found.messages, first, top, head.number, found.start, found.end)


def load(tables: Tables, room: str, newest: int, most_bytes: int) -> Loaded:
    """A room as the engine keeps it, with its newest entries, as many as have at most so many
    bytes."""
    head = tables.head(room)
    if head is None:
        return Loaded(0, 1, 0, [], [], 0)
    members: int = tables.connection.execute(
        "SELECT count(*) FROM member WHERE room = ?", (head.id,)
    ).fetchone()[0]
    start, end = span(head.first, head.top, None, None, newest)
    # The sizes first: bodies that are too big are not even read.
    rows = tables.connection.execute(
        "SELECT length(message.body) + coalesce(length(more), 0) + coalesce(length(fold.body), 0) "
        "+ CASE kind WHEN 0 THEN coalesce(length(reactions), 0) ELSE 0 END FROM message "
        "LEFT JOIN fold ON fold.room = message.room AND fold.offset = message.target AND kind <= ? "
        "WHERE message.room = ? AND message.offset >= ? AND message.offset < ? "
        "ORDER BY message.offset DESC",
        (EDIT, head.id, start, end),
    ).fetchall()
    sizes: list[int] = []
    for (size,) in rows:
        most_bytes -= size
        if most_bytes < 0:
            start = end - len(sizes)
            break
        sizes.append(size)
    sizes.reverse()
    tail = _entries(tables, head, start, end)
    return Loaded(head.top, head.first, head.oldest, tail, sizes, members, head.number)


def some(tables: Tables, head: Head, offsets: Sequence[int]) -> list[Message]:
    """The messages at these offsets, ascending, as far as there are such."""
    rows: list[tuple[Any, ...]] = []
    for part in parts([(offset,) for offset in sorted(offsets)]):
        rows += tables.connection.execute(
            f"WITH wanted (o) AS (VALUES {marks(part)}) "  # noqa: S608 (only marks)
            "SELECT id, offset, user, name, body, at, ops, kind, target, more "
            "FROM wanted CROSS JOIN message ON room = ? AND offset = o AND kind = ?",
            (*chain.from_iterable(part), head.id, MESSAGE),
        )
    rows.sort(key=lambda row: row[1])
    return _read(tables, head, rows)


def number_at(tables: Tables, head: Head, offset: int) -> int:
    """How many messages there were up to this offset; up to the beginning of the log, where it
    lies before that."""
    if offset >= head.top or head.first > head.top:
        return head.number
    known = max(offset, head.first)
    ops, kind = tables.connection.execute(
        "SELECT ops, kind FROM message WHERE room = ? AND offset = ?", (head.id, known)
    ).fetchone() or (0, -1)
    if kind < 0:
        raise Damaged(f"the message {known} is missing")
    number: int = known - ops
    return number if known == offset or kind != MESSAGE else number - 1


def folds(tables: Tables, room: int, offsets: Sequence[int]) -> dict[int, Fold]:
    """What was done to these messages of the room (its number), by offset."""
    found: dict[int, Fold] = {}
    for part in parts([(offset,) for offset in offsets]):
        rows = tables.connection.execute(
            f"WITH wanted (o) AS (VALUES {marks(part)}) "  # noqa: S608 (only marks)
            "SELECT offset, last, edited, deleted, body, reactions "
            "FROM wanted CROSS JOIN fold ON room = ? AND offset = o",
            (*chain.from_iterable(part), room),
        )
        for offset, last, edited, deleted, body, reactions in rows:
            users = NO_REACTIONS if reactions is None else _decode_reactions(reactions)
            found[offset] = Fold(last, edited, deleted, body, users)
    if len(found) < len(offsets):
        raise Damaged("what was done to some messages is missing")
    return found


def _messages_only(
    tables: Tables, head: Head, first: int, after: int | None, before: int | None, limit: int
) -> Stretch:
    low, high = bounds(first, head.top, after, before)
    if limit <= 0:
        end = low if after is not None else high
        return Stretch([], end, end)
    if after is not None:
        high = min(high, low + SCAN)
        rows = _rows(tables, head, low, high, limit, only="AND kind = 0")
    else:
        low = max(low, high - SCAN)
        rows = _rows(tables, head, low, high, limit, only="AND kind = 0", order="DESC")
        rows.reverse()
    messages = _read(tables, head, rows)
    if messages:
        newest = messages[-1].number
        if [one.number for one in messages] != list(range(newest - len(messages) + 1, newest + 1)):
            raise Damaged(f"messages are missing between {low} and {high - 1}")
    if len(messages) == limit:
        if after is not None:
            high = messages[-1].offset + 1
        else:
            low = messages[0].offset
    return Stretch(messages, low, high)


def _entries(tables: Tables, head: Head, start: int, end: int) -> list[Message]:
    """Every entry [start, end)."""
    if start >= end:
        return []
    messages = _read(tables, head, _rows(tables, head, start, end, end - start))
    if [message.offset for message in messages] != list(range(start, end)):
        raise Damaged(f"messages are missing between {start} and {end - 1}")
    return messages


def _rows(
    tables: Tables,
    head: Head,
    start: int,
    end: int,
    limit: int,
    *,
    only: str = "",
    order: str = "ASC",
) -> list[tuple[Any, ...]]:
    return tables.connection.execute(
        "SELECT id, offset, user, name, body, at, ops, kind, target, more "  # noqa: S608
        f"FROM message WHERE room = ? AND offset >= ? AND offset < ? {only} "
        f"ORDER BY offset {order} LIMIT ?",
        (head.id, start, end, limit),
    ).fetchall()


def _read(tables: Tables, head: Head, rows: Sequence[tuple[Any, ...]]) -> list[Message]:
    wanted = {row[8] for row in rows if row[8] is not None and row[7] <= EDIT} if head.ops else ()
    known = folds(tables, head.id, sorted(wanted)) if wanted else {}
    return [
        Message(id, offset, user, name, decode(body), at, offset - ops)
        if target is None and more is None
        else _special(row, known)
        for row in rows
        for id, offset, user, name, body, at, ops, _, target, more in (row,)
    ]


def _special(row: tuple[Any, ...], known: Mapping[int, Fold]) -> Message:
    """An operation, or a message to which something was done, or with more to it than most."""
    id, offset, user, name, body, at, ops, kind, target, more = row
    number = offset - ops
    if kind == MESSAGE:
        reply_to, mentions = (None, ()) if more is None else _decode_more(more)
        fold = _UNTOUCHED if target is None else known[target]
        if fold.deleted:
            body = None
        elif fold.body is not None:
            body = decode(fold.body)
        else:
            body = decode(body)
        return Message(
            id, offset, user, name, body, at, number, "message",
            reply_to, mentions, fold.edited, fold.deleted, fold.reactions,
        )  # fmt: skip
    if kind == EDIT:
        now = known[target].body
        body = None if now is None else decode(now)
        return Message(id, offset, user, name, body, at, number, "edit", target=target)
    if more is None:
        return Message(id, offset, user, name, None, at, number, "delete", target=target)
    emoji, on, count = _decode_reaction(more)
    return Message(
        id, offset, user, name, None, at, number, "reaction",
        target=target, emoji=emoji, on=on, count=count,
    )  # fmt: skip


_UNTOUCHED: Final = Fold(0)
