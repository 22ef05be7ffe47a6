"""When users were seen last, in the embedded engine: its table, in SQL, and what waits for it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from sioserver.engine.base_seen import KEPT
from sioserver.engine.embedded_store import Journal
from sioserver.engine.embedded_tables import Tables
from sioserver.engine.sightings import Sightings
from sioserver.errors import Refusal

ROWS: Final = 10_000
"""Rows that are written at once, or that one tidy round forgets."""

_NAMES: Final = 500
"""Users that one query asks for: SQLite takes some more parameters."""


class EmbeddedSeen:
    """See `base_seen.Seen`."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._sightings = Sightings()
        self._under_way: dict[str, int] = {}

    def note(self, user_id: str, at: float) -> None:
        """A user was here until then, in seconds since 1970."""
        self._sightings.note(user_id, round(at * 1000))

    def write(self) -> None:
        """Write down what waits, one lot at a time. Does not wait, never fails."""
        if self._under_way or not self._sightings or self._journal.trouble is not None:
            return
        lot = self._under_way = self._sightings.take(ROWS)
        try:
            self._journal.post(
                lambda tables: _write(tables, lot), done=self._written, failed=self._not_written
            )
        except Refusal as refusal:
            self._not_written(refusal)

    def tidy(self, now: float) -> None:
        """Forget who was not here for long. Raises `Refusal` when the store is closed."""
        self._journal.post(lambda tables: _forget(tables, round((now - KEPT) * 1000)))

    async def of(self, user_ids: Sequence[str]) -> Mapping[str, int]:
        """See `Seen.of`."""
        if not user_ids:
            return {}
        written = await self._journal.read(lambda tables: dict(_find(tables, user_ids)))
        return self._sightings.newest(user_ids, written)

    def stats(self) -> Mapping[str, float]:
        """For `Engine.stats`."""
        return {
            "seen_waiting": len(self._sightings) + len(self._under_way),
            "seen_given_up_total": self._sightings.given_up,
        }

    def _written(self, _: None) -> None:
        self._under_way = {}

    def _not_written(self, _: Refusal) -> None:
        lot, self._under_way = self._under_way, {}
        self._sightings.put_back(lot)


def _write(tables: Tables, lot: Mapping[str, int]) -> None:
    tables.connection.executemany(
        "INSERT INTO seen (user, at) VALUES (?, ?) "
        "ON CONFLICT (user) DO UPDATE SET at = max(at, excluded.at)",
        lot.items(),
    )


def _find(tables: Tables, user_ids: Sequence[str]) -> Iterator[tuple[str, int]]:
    for start in range(0, len(user_ids), _NAMES):
        some = user_ids[start : start + _NAMES]
        marks = ", ".join("?" * len(some))
        yield from tables.connection.execute(
            f"SELECT user, at FROM seen WHERE user IN ({marks})",  # noqa: S608
            some,
        )


def _forget(tables: Tables, before: int) -> None:
    tables.connection.execute(
        "DELETE FROM seen WHERE user IN (SELECT user FROM seen WHERE at < ? LIMIT ?)",
        (before, ROWS),
    )
