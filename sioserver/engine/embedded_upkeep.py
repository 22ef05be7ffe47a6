"""What keeps the embedded engine's store small, and finds out whether it has recovered.

It knows when, not what: each part forgets what is its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

from sioserver.engine.embedded_entries import RETRY_AFTER
from sioserver.engine.embedded_retention import RetentionRules
from sioserver.engine.embedded_store import Journal
from sioserver.errors import Refusal

TIDY_EVERY: Final = 60.0
"""Seconds between two rounds of trimming, pruning and forgetting."""


class Part(Protocol):
    """What has something to forget."""

    def tidy(self, now: float) -> None:
        """Forget what is over; `now`: seconds since 1970. Does not wait. Raises `Refusal` when the
        store is closed."""


class Upkeep:
    """Told the time with every sweep."""

    def __init__(self, journal: Journal, retention: RetentionRules, parts: Sequence[Part]) -> None:
        self._journal = journal
        self._retention = retention
        self._parts = parts
        self._tidied = float("-inf")
        self._probed = float("-inf")
        self._pruning = False

    def tidy(self, now: float) -> None:
        """Do what is due. Waits for nothing, never fails."""
        try:
            self._retention.tidy(now)
            if self._journal.trouble is not None:
                self._probe(now)
            else:
                self._go_round(now)
        except Refusal:
            return  # the store is being closed

    def _probe(self, now: float) -> None:
        if not 0 <= now - self._probed < RETRY_AFTER:
            self._probed = now
            self._journal.probe()

    def _go_round(self, now: float) -> None:
        is_due = not 0 <= now - self._tidied < TIDY_EVERY
        if is_due:
            self._tidied = now
            self._journal.post(lambda tables: tables.trim(now))
            for part in self._parts:
                part.tidy(now)
        if is_due or self._pruning:
            self._pruning = False
            self._journal.post(lambda tables: tables.prune(now), done=self._pruned)

    def _pruned(self, more: bool) -> None:
        self._pruning = more
