"""When users were seen last, as long as that is not written down. Knows no store."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Final

MOST: Final = 100_000
"""Users whose time waits to be written; of those who wait longest it is given up."""


class Sightings:
    """The newest time of each user."""

    def __init__(self) -> None:
        self._waiting: dict[str, int] = {}
        self.given_up = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def note(self, user_id: str, at: int) -> None:
        """A user was here until then, in milliseconds since 1970."""
        known = self._waiting.get(user_id)
        if known is None and len(self._waiting) >= MOST:
            del self._waiting[next(iter(self._waiting))]
            self.given_up += 1
        if known is None or at > known:
            self._waiting[user_id] = at

    def take(self, most: int) -> dict[str, int]:
        """Those who wait longest, to be written."""
        lot = dict(islice(self._waiting.items(), most))
        for user_id in lot:
            del self._waiting[user_id]
        return lot

    def put_back(self, lot: Mapping[str, int]) -> None:
        """It could not be written."""
        for user_id, at in lot.items():
            self.note(user_id, at)

    def newest(self, user_ids: Iterable[str], written: Mapping[str, int]) -> dict[str, int]:
        """What is known of these users, together with what is `written`."""
        found = {}
        for user_id in user_ids:
            at = max(written.get(user_id, 0), self._waiting.get(user_id, 0))
            if at:
                found[user_id] = at
        return found
