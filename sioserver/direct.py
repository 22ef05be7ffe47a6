"""The rooms of two users, `@dm/<user>`: finding them, and fetching the other one.

Who opens such a room is a member of it, as in any other; the other one becomes a member with the
first message, so that it waits for them. What is told to whom is decided elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from sioserver import private
from sioserver.auth import check_user_id
from sioserver.config.schema import Limits
from sioserver.engine.base import Engine
from sioserver.errors import Refusal
from sioserver.limits import Budget
from sioserver.model import User

KNOWN: Final = 60.0
"""Seconds for which it is believed that somebody is a member: who leaves a room of two is brought
back by a message, but not at once."""
ROOMS: Final = 10_000
"""Rooms of which that is remembered."""


class Direct:
    """See the module. Methods raise `Refusal`."""

    def __init__(
        self, limits: Limits, engine: Engine, budget: Budget, joined: Callable[[str, str], None]
    ) -> None:
        """`joined` is called with a user and a room that they have become a member of."""
        self._limits = limits
        self._engine = engine
        self._budget = budget
        self._joined = joined
        self._known: dict[tuple[str, str], float] = {}

    @staticmethod
    def find(name: str, user: User) -> str:
        """The room that a user means by `@dm/<somebody, percent-encoded>`."""
        try:
            return private.direct_room(user.id, check_user_id(private.named(name)))
        except ValueError as error:
            raise Refusal("bad_room", str(error)) from None

    async def peer(self, room: str, user: User) -> User:
        """With whom a user shares the room: with the name they were here with, if they were."""
        other = private.other_of(room, user.id)
        for member in await self._engine.members(room, limit=2):
            if member.id == other:
                return member
        return User(other, other)

    async def invite(self, room: str, user: User, now: float) -> None:
        """Before a message of `user`: the other one is a member, or becomes one.

        `too_many`: they are in as many rooms as they may be. `rate_limited`: the user has begun
        too many conversations.
        """
        other = private.other_of(room, user.id)
        if other == user.id or 0 <= now - self._known.get((room, other), now + 1) < KNOWN:
            return
        members = await self._engine.members(room, limit=2)
        if all(member.id != other for member in members):
            self._budget.check_conversation(user.id, now)
            try:
                await self._engine.join(room, User(other, other), self._limits)
            except Refusal as refusal:
                if refusal.limit != "rooms_per_user":
                    raise
                raise Refusal(
                    "too_many", "they are in too many rooms to be told", limit=refusal.limit
                ) from None
            self._joined(other, room)
        if len(self._known) >= ROOMS:
            del self._known[next(iter(self._known))]
        self._known[room, other] = now
