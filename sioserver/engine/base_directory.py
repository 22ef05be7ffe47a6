"""The contract of an engine, the part of the directory: which rooms are listed.

See `base` for what holds of all parts. Which rooms these are, who may see them and what is told of
them is not the engine's business: it keeps names, with a topic and when somebody was there last.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import msgspec


class Listed(msgspec.Struct, frozen=True):
    """A room in the directory."""

    room: str
    topic: str | None
    """What its moderators have set, as far as it was told; None: nothing."""
    online: int
    """Users who are there."""


class Directory(Protocol):
    """The rooms that are listed. Durable."""

    def note(self, rooms: Mapping[str, str | None], now: float, most: int) -> None:
        """Each of these rooms is listed from now on, with its topic, and somebody was there `now`.
        Of more than `most` rooms those are forgotten where nobody was for the longest time. Stored
        soon, not at once; never fails: what was lost is told again with the next visit."""

    async def rooms(self, *, limit: int) -> list[Listed]:
        """The rooms, those first where somebody was last, at most `limit`. Costs something for each
        of them, spread over many turns of the event loop: whoever asks keeps the answer."""
