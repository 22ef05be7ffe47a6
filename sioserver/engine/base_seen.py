"""The contract of an engine about when people were seen last. See `base`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Protocol

KEPT: Final = 400 * 86_400
"""Seconds for which it is known at the least; who was not here for so long was not seen."""


class Seen(Protocol):
    """When users were here last, in whatever room that tells who is in it. Durable.

    The engine notes it by itself: with the leave that is announced when a user's last device has
    left a room, be it that its node died; and when it is stopped, of those whose leave is not
    announced yet. Nothing is kept of guests, nor is anything written while somebody is here. A time
    is right to within the time between two sweeps; where somebody's node died, to within a lease.
    What could not be written is written later, if the node lives.
    """

    async def of(self, user_ids: Sequence[str]) -> Mapping[str, int]:
        """When those of these users who are known went last: milliseconds since 1970."""
