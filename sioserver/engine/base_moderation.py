"""The contract of an engine, the part of moderation: what was decided about people and rooms.

See `base` for what holds of all parts. Whether somebody may decide anything, and what becomes of
those whom it concerns, is not the engine's business: it keeps, tells and remembers.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Protocol

from sioserver.engine.moderated import Rules
from sioserver.model import Act, RoomSettings, Sanction, SanctionKind

log = logging.getLogger(__name__)


class ModerationListener(Protocol):
    """What an engine calls, as in `EngineListener`. Each comes on every node that watches the room
    within a second, or if the node could not be told, when it can be told again; and may come more
    than once. What there was before the room was watched is not announced: who comes into a room
    is compared with the rules once it is watched (`Moderation.look`)."""

    def on_sanction(self, room: str, sanction: Sanction) -> None:
        """Something was decided about a user, or an earlier decision was changed."""

    def on_lifted(self, room: str, sanction: Sanction) -> None:
        """A decision was lifted before its time."""

    def on_settings(self, room: str, settings: RoomSettings) -> None:
        """The room has other settings now: these."""


def announce(
    listener: ModerationListener, room: str, change: Sanction | RoomSettings, *, lifted: bool
) -> None:
    """Tell what has changed, in the way of both engines; `lifted`: the sanction has ended. Never
    fails: whoever decided it has nothing to do with those who are told."""
    try:
        if isinstance(change, RoomSettings):
            listener.on_settings(room, change)
        elif lifted:
            listener.on_lifted(room, change)
        else:
            listener.on_sanction(room, change)
    except Exception:  # see above
        log.exception("what was decided could not be announced")


class Moderation(Protocol):
    """What moderators decided. Durable. `room` is a room or `EVERYWHERE`, which every node watches
    as long as it runs. At most `MOST` sanctions in each.

    An `Act` is recorded in the atomic step that does it, and noted in it where a webhook wants to
    know (see `base_webhooks`); what is refused, or finds nothing to do, is neither."""

    @property
    def rules(self) -> Mapping[str, Rules]:
        """What this node knows of the rooms that it watches, as of now, without waiting: only
        rooms in which there is anything. Always the same mapping, which changes."""

    async def look(self, room: str) -> Rules:
        """The rules of the room. Asks the store only for a room that is not watched here, or when
        this node may not have heard of everything. Not to be changed."""

    async def impose(self, room: str, sanction: Sanction, act: Act) -> None:
        """Keep, announce and record a decision in one atomic step, in the place of an earlier one
        of the same kind about the same user. Raises `Refusal("too_many")` when there are too many.
        """

    async def lift(self, room: str, kind: SanctionKind, user_id: str, act: Act) -> bool:
        """End a decision, announce and record that. False, and nothing is done: there is none."""

    def learn(self, room: str, user_id: str, addresses: tuple[str, ...]) -> None:
        """Somebody who is banned by address was here from these: the ban is for them, too (for
        `ADDRESSES` of them at most), which is announced. Stored soon, not at once; never fails."""

    async def configure(self, room: str, changes: Mapping[str, Any], act: Act) -> RoomSettings:
        """Change settings by their names in `RoomSettings`; None unsets one. Keeps, announces and
        records in one step; returns what is in force then."""

    async def acts(self, room: str, *, before: int | None = None, limit: int) -> list[Act]:
        """The record of the room, newest first: at most `limit` with a smaller `Act.number` than
        `before`. At least the newest `ACTS` are kept, for at least `ACTS_AGE`."""
