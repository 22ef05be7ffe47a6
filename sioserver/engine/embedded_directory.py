"""The directory in the embedded engine: a table, in SQL. How many are online is in memory."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

from sioserver.engine.base_directory import Listed
from sioserver.engine.embedded_bulk import insert
from sioserver.engine.embedded_store import Journal
from sioserver.engine.embedded_tables import Tables
from sioserver.errors import Refusal

log = logging.getLogger(__name__)

CHUNK: Final = 1000
"""Rooms that are looked at in one turn of the event loop."""


class EmbeddedDirectory:
    """See `base_directory.Directory`."""

    def __init__(self, journal: Journal, online: Callable[[str], int]) -> None:
        """`online`: users in a room."""
        self._journal = journal
        self._online = online

    def note(self, rooms: Mapping[str, str | None], now: float, most: int) -> None:
        """See `Directory.note`."""
        try:
            self._journal.post(
                partial(_note, rooms=dict(rooms), now=now, most=most),
                failed=lambda reason: log.debug("rooms were not listed: %s", reason),
            )
        except Refusal as reason:
            log.debug("rooms were not listed: %s", reason)

    async def rooms(self, *, limit: int) -> list[Listed]:
        """See `Directory.rooms`."""
        rows = await self._journal.read(partial(_rooms, limit=limit))
        found: list[Listed] = []
        for start in range(0, len(rows), CHUNK):
            if start:
                await asyncio.sleep(0)
            some = rows[start : start + CHUNK]
            found += [Listed(room, topic, self._online(room)) for room, topic in some]
        return found


# ---------------------------------------------------------------------------- in the store's thread


def _note(tables: Tables, rooms: Mapping[str, str | None], now: float, most: int) -> None:
    insert(
        tables.connection,
        "INSERT OR REPLACE INTO listed (room, seen, topic) VALUES {}",
        [(room, now, topic) for room, topic in rooms.items()],
    )
    run = tables.connection.execute
    if run("SELECT count(*) FROM listed").fetchone()[0] <= most:
        return
    run(
        "DELETE FROM listed WHERE room IN "
        "(SELECT room FROM listed ORDER BY seen DESC, room LIMIT -1 OFFSET ?)",
        (most,),
    )


def _rooms(tables: Tables, limit: int) -> list[tuple[str, str | None]]:
    return tables.connection.execute(
        "SELECT room, topic FROM listed ORDER BY seen DESC, room LIMIT ?", (max(0, limit),)
    ).fetchall()
