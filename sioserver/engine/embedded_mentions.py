"""Mentions in the embedded engine: a table, in SQL. What is asked runs in the store's thread."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from sioserver.engine.base_mentions import KEPT
from sioserver.engine.embedded_store import Journal
from sioserver.engine.embedded_tables import Tables
from sioserver.model import Mention, Position


class EmbeddedMentions:
    """See `base_mentions.Mentions`. The epoch of a position is the store's, and so of no use."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    async def add(
        self, room: str, position: Position, mention: Mention, users: Sequence[str]
    ) -> Mapping[str, int]:
        """See `Mentions.add`."""
        return await self._journal.write(partial(_add, room=room, mention=mention, users=users))

    async def of(self, user_id: str, *, after: int = 0) -> list[Mention]:
        """See `Mentions.of`."""
        return await self._journal.read(partial(_of, user_id=user_id, after=after))

    async def forget(self, user_id: str, room: str) -> None:
        """See `Mentions.forget`."""
        await self._journal.write(partial(_forget, user_id=user_id, room=room))


def _add(tables: Tables, room: str, mention: Mention, users: Sequence[str]) -> dict[str, int]:
    head = tables.head(room)
    if head is None:
        return {}
    found = {}
    for user in users:
        member = tables.connection.execute(
            "SELECT 1 FROM member WHERE room = ? AND user = ?", (head.id, user)
        ).fetchone()
        if member is not None:
            found[user] = _add_one(tables, head.id, mention, user)
    return found


def _add_one(tables: Tables, room: int, mention: Mention, user: str) -> int:
    execute = tables.connection.execute
    known: tuple[int] | None = execute(
        "SELECT number FROM mention WHERE user = ? AND room = ? AND offset = ?",
        (user, room, mention.offset),
    ).fetchone()
    if known is not None:
        return known[0]
    last: int = (
        execute("SELECT max(number) FROM mention WHERE user = ?", (user,)).fetchone()[0] or 0
    )
    number = max(last + 1, mention.at)
    execute(
        "INSERT INTO mention (user, number, room, offset, id, author, name, at) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (user, number, room, mention.offset, mention.id, mention.user, mention.name, mention.at),
    )
    execute(
        "DELETE FROM mention WHERE user = ? AND number <= (SELECT number FROM mention "
        "WHERE user = ? ORDER BY number DESC LIMIT 1 OFFSET ?)",
        (user, user, KEPT),
    )
    return number


def _of(tables: Tables, user_id: str, after: int) -> list[Mention]:
    rows = tables.connection.execute(
        "SELECT number, room.name, mention.id, offset, author, mention.name, at FROM mention "
        "JOIN room ON room.id = mention.room WHERE user = ? AND number > ? ORDER BY number",
        (user_id, after),
    ).fetchall()
    return [Mention(*row) for row in rows]


def _forget(tables: Tables, user_id: str, room: str) -> None:
    head = tables.head(room)
    if head is not None:
        tables.connection.execute(
            "DELETE FROM mention WHERE user = ? AND room = ?", (user_id, head.id)
        )
