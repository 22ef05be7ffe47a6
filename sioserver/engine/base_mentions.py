"""The contract of an engine, the part of mentions: which messages name a user.

See `base` for what holds of all parts. What the message says is not kept here, so that nothing is
left of it when it is edited or deleted; nor is it known who is told.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Protocol

from sioserver.model import Mention, Position

KEPT: Final = 200
"""Mentions of a user that are kept, the newest."""


class Mentions(Protocol):
    """Each user's newest mentions. Durable."""

    async def add(
        self, room: str, position: Position, mention: Mention, users: Sequence[str]
    ) -> Mapping[str, int]:
        """Note that the message at `position`, which `mention` describes but for its number, names
        these users. Of those who are members of the room, returns the number of the mention in each
        one's list: they rise, and are `mention.at` or a little more. When this returns, it is
        stored; a message that was noted before keeps its number."""

    async def of(self, user_id: str, *, after: int = 0) -> list[Mention]:
        """A user's mentions with a number above `after`, ascending."""

    async def forget(self, user_id: str, room: str) -> None:
        """Drop a user's mentions in a room."""
