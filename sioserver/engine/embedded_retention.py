"""How much the embedded engine keeps of the rooms that it has in memory, as time goes by.

A log is trimmed with what is posted in it, but nobody may be posting. What is kept too long is
hidden here at once, also while it cannot be deleted, and deleted when it can be. It knows neither
what a room's rule should be nor how anything is deleted.
"""

from __future__ import annotations

import logging
from collections.abc import Container, Mapping
from typing import Final

from sioserver.engine.base import Retention
from sioserver.engine.embedded_rooms import RoomCache
from sioserver.engine.embedded_store import Journal
from sioserver.engine.embedded_tables import Rule
from sioserver.errors import Refusal

log = logging.getLogger(__name__)

REVIEW_EVERY: Final = 60.0
"""Seconds between two looks at all rooms."""


class RetentionRules:
    """The rules of the rooms here."""

    def __init__(self, journal: Journal, rooms: RoomCache, watched: Container[str]) -> None:
        self._journal = journal
        self._rooms = rooms
        self._watched = watched
        self.rules: dict[str, Rule] = {}
        """Of the rooms that were trimmed here, by name, while they are watched or cached."""
        self._reviewed = float("-inf")

    def posted(self, room: str, keep: Retention) -> None:
        """Something is on its way into the room's log, under this rule."""
        if room in self.rules:
            self.rules[room] = Rule(room, keep.history_length, keep.history_age)

    async def trim(self, room: str, keep: Retention, now: float) -> None:
        """See `Log.trim`."""
        rule = self.rules[room] = Rule(room, keep.history_length, keep.history_age)
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

    def tidy(self, now: float) -> None:
        """Trim the rooms here that nobody may be posting in. What is too old is hidden even while
        it cannot be deleted. Raises `Refusal` when the store is closed."""
        if 0 <= now - self._reviewed < REVIEW_EVERY:
            return
        self._reviewed = now
        at = round(now * 1000)
        hide: list[tuple[Rule, int]] = []
        delete: list[Rule] = []
        for rule in list(self.rules.values()):
            state = self._rooms.get(rule.room)
            if state is None:
                if rule.room not in self._watched:
                    del self.rules[rule.room]
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

    def _hide(self, horizons: Mapping[str, tuple[int, int]]) -> None:
        """Show nothing of these rooms that lies before an offset."""
        for room, (first, oldest) in horizons.items():
            state = self._rooms.get(room)
            if state is not None and first >= state.first:
                state.drop_before(first)
                if first <= state.top:
                    state.oldest = oldest
