"""The part of the contract that webhooks need: marks of how far each has got, and notes.

What a room's log holds is sent from there: it is the queue, as durable and as long as it is. What
is in no log (who came, who left, what moderators did) is noted, by the parts of the engine that
know it, in the atomic step in which it happens. A lane's mark in a room is set forward when an
endpoint has taken what lies before it, so what was stored and not taken is found again after any
crash.

Who may work on a lane in a room holds its claim, for a while; it ends by itself when the node dies.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Protocol

import msgspec

from sioserver.model import Position
from sioserver.subscriptions import Lane

LOOK: Final = 60.0
"""Seconds after which a room in which nothing waits is due again, where nodes share a store: within
them is found what one that died had yet to send, if that is not found with its people (whose rooms
are `touched` when they are taken away)."""


class Note(msgspec.Struct, frozen=True):
    """An event that is in no log."""

    number: int
    """It rises within the room, also over crashes, and over the loss of all data (it is made of the
    time): of two notes about the same user, the higher is the newer."""
    kind: str
    data: dict[str, Any]
    """Of `join` and `leave`: user, name, guest; of `moderation`: the fields of the `Act`."""
    at: int
    """Milliseconds since 1970."""


class Webhooks(Protocol):
    """See above. Without webhooks in the configuration nothing is noted, marked or due.

    A lane gets its first mark in a room before the first message is stored there, or the first note
    made, after the endpoint was configured: what was before is not sent. Presence notes `join` and
    `leave` in the same step in which it announces them (`Presence.sweep`); people whom a crash has
    ended have left by the time their rooms are looked after again. Moderation notes `moderation` in
    the step that decides: after a crash both are there, or neither. At most `webhooks.queue` notes
    of a room are kept, the newest, and none that all lanes have passed.
    """

    touched: Callable[[str], None] | None
    """Set by who sends; called on the event loop with a room when something was stored or noted
    through this node. May be called for nothing."""

    async def due(self, lane: Lane, *, limit: int) -> list[str]:
        """Rooms where something waits for the lane, and that nobody has claimed (it may turn out
        that somebody has, or that nothing waits)."""

    async def claim(self, lane: Lane, room: str) -> Position | None:
        """Begin to work: the lane's mark (of notes: any epoch, and a number). None: somebody else
        does, or the room is not known to the lane."""

    async def advance(self, lane: Lane, room: str, mark: Position) -> bool:
        """The endpoint has taken everything up to `mark`; also a sign of life. False, and nothing
        is done, when the claim is no longer held."""

    async def release(self, lane: Lane, room: str) -> bool:
        """End the work because nothing waits. False: something does, and the claim stays."""

    async def give_back(self, lane: Lane, room: str, wait: float) -> None:
        """End the work though something waits; it is due again in `wait` seconds, or sooner."""

    async def notes(self, room: str, *, after: int, limit: int) -> list[Note]:
        """The oldest notes with a number beyond `after`."""

    def stats(self) -> dict[str, float]:
        """Gauges and counters for `/metrics`."""
