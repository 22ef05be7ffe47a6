"""The contract of an engine, the part of searching: which messages of a room say something.

See `base` for what holds of all parts. What a query means is `matching`'s business, the same for
every engine; who may ask is not known here. A message is found by what it says now: by no text
that was edited away or deleted, and not when the log has dropped it.
"""

from __future__ import annotations

from typing import Protocol

import msgspec

from sioserver.matching import Query
from sioserver.model import Message


class Found(msgspec.Struct, frozen=True):
    """Messages that were found."""

    messages: list[Message]
    """Newest first."""
    end: int
    """All that there are from this offset on are among them (but for those before which the search
    was to begin)."""
    next: int | None
    """Before which offset the search goes on; None: the log begins at `end`."""
    complete: bool
    """False: it ended because so much was looked at, and not because that many were found."""


class Search(Protocol):
    """Searching the log of a room."""

    async def find(self, room: str, query: Query, *, before: int | None, limit: int) -> Found:
        """The newest `limit` messages (at least one is asked for) with `offset < before` that say
        what is looked for. Looks at a bounded number of messages, a few in each turn of the event
        loop or of the store's thread; what was published before the call is found.

        Raises `Refusal("unavailable")` also where the room has still to be made ready for it; that
        goes on when it is asked again."""
