"""The embedded engine's table of members, in SQL: who belongs to a room and how far each has got.

Like `embedded_tables`, on which it stands: called in the store's thread, inside its transactions.
It does not know who is online, nor of cursors that are still on their way here.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain
from typing import NamedTuple

import msgspec

from sioserver.engine.base import UNLIMITED, Quota
from sioserver.engine.embedded_bulk import marks, parts
from sioserver.engine.embedded_pages import number_at
from sioserver.engine.embedded_tables import Tables
from sioserver.model import Membership, Standing, User


class Known(NamedTuple):
    """A member as stored."""

    name: str
    standing: Standing
    is_new: bool


def find(tables: Tables, room: str, user_id: str) -> Known | None:
    """What is stored of a member."""
    head = tables.head(room)
    if head is None:
        return None
    row = tables.connection.execute(
        "SELECT name, joined, cursor, read, number FROM member WHERE room = ? AND user = ?",
        (head.id, user_id),
    ).fetchone()
    if row is None:
        return None
    return Known(row[0], Standing(Membership(*row[1:]), head.top, head.number), is_new=False)


def join(tables: Tables, room: str, user: User, quota: Quota = UNLIMITED) -> Known | str:
    """See `Members.join`; the name of the limit that lets nobody in any more. How many members a
    room has is counted elsewhere."""
    known = find(tables, room, user.id)
    if known is None and (limit := _full(tables, room, user.id, quota)) is not None:
        return limit
    head = tables.touch(room)
    if known is None:
        top, number = head.top, head.number
        tables.connection.execute(
            "INSERT INTO member (room, user, name, joined, cursor, read, number) "
            "VALUES (?, ?, ?, ?, ?, ?, ?)",
            (head.id, user.id, user.name, top, top, top, number),
        )
        standing = Standing(Membership(top, top, top, number), top, number)
        return Known(user.name, standing, is_new=True)
    tables.connection.execute(
        "UPDATE member SET name = ? WHERE room = ? AND user = ?", (user.name, head.id, user.id)
    )
    return known._replace(name=user.name)


def _full(tables: Tables, room: str, user_id: str, quota: Quota) -> str | None:
    if no_more_rooms(tables, room, quota):
        return "rooms"
    if quota.rooms_per_user:
        joined: int = tables.connection.execute(
            "SELECT count(*) FROM (SELECT 1 FROM member WHERE user = ? LIMIT ?)",
            (user_id, quota.rooms_per_user),
        ).fetchone()[0]
        if joined >= quota.rooms_per_user:
            return "rooms_per_user"
    return None


def no_more_rooms(tables: Tables, room: str, quota: Quota) -> bool:
    """Is it a room that there is not, and must not be?"""
    return bool(quota.rooms) and tables.rooms >= quota.rooms and tables.head(room) is None


def leave(tables: Tables, room: str, user_id: str) -> bool:
    """See `Members.leave`. False: was not a member."""
    head = tables.head(room)
    if head is None:
        return False
    gone = tables.connection.execute(
        "DELETE FROM member WHERE room = ? AND user = ?", (head.id, user_id)
    )
    return gone.rowcount > 0


def advance(tables: Tables, cursors: Mapping[tuple[str, str], int]) -> None:
    """See `Members.advance`; by (room, user id)."""
    rows = []
    for (room, user_id), offset in cursors.items():
        head = tables.head(room)
        if head is not None:
            rows.append((head.id, user_id, min(offset, head.top)))
    for part in parts(rows):
        tables.connection.execute(
            f"WITH proven (r, u, c) AS (VALUES {marks(part)}) "  # noqa: S608 (only marks)
            "UPDATE member SET cursor = c FROM proven WHERE room = r AND user = u AND cursor < c",
            tuple(chain.from_iterable(part)),
        )


def read(tables: Tables, room: str, user_id: str, offset: int) -> Known | None:
    """See `Members.read`. None: not a member."""
    head = tables.head(room)
    if head is None:
        return None
    known = find(tables, room, user_id)
    if known is None:
        return None
    offset = min(offset, head.top)
    joined, cursor, read, number = msgspec.structs.astuple(known.standing.membership)
    if offset <= min(cursor, read):
        return known
    if offset > read:
        read, number = offset, max(number, number_at(tables, head, offset))
    membership = Membership(joined, max(cursor, offset), read, number)
    tables.connection.execute(
        "UPDATE member SET cursor = ?, read = ?, number = ? WHERE room = ? AND user = ?",
        (membership.cursor, read, number, head.id, user_id),
    )
    return known._replace(standing=Standing(membership, head.top, head.number))


def by_name(tables: Tables, room: str, limit: int) -> list[User]:
    """See `Members.members`."""
    head = tables.head(room)
    if head is None:
        return []
    rows = tables.connection.execute(
        "SELECT user, name FROM member WHERE room = ? ORDER BY name, user LIMIT ?",
        (head.id, max(0, limit)),
    ).fetchall()
    return [User(user, name) for user, name in rows]


def names(tables: Tables, wanted: Mapping[str, str]) -> dict[str, str]:
    """See `Members.names`."""
    found: dict[str, str] = {}
    for part in parts(list(wanted.items())):
        rows = tables.connection.execute(
            f"WITH wanted (r, u) AS (VALUES {marks(part)}) "  # noqa: S608 (only marks)
            "SELECT r, member.name FROM wanted CROSS JOIN room ON room.name = r "
            "CROSS JOIN member ON member.room = room.id AND user = u",
            tuple(chain.from_iterable(part)),
        )
        found.update(rows)
    return found


def rooms_of(tables: Tables, user_id: str, limit: int) -> dict[str, Standing]:
    """See `Members.rooms_of`; in the order of the rooms' names."""
    rows = tables.connection.execute(
        "SELECT room.name, joined, cursor, read, number, top, top - ops FROM member "
        "JOIN room ON room.id = member.room WHERE user = ? ORDER BY room.name LIMIT ?",
        (user_id, max(0, limit)),
    ).fetchall()
    return {
        name: Standing(Membership(*membership), top, number)
        for name, *membership, top, number in rows
    }
