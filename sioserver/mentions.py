"""Mentions: a message that names users reaches their sessions, wherever they are, and is kept.

What it says is not kept beside it, so nothing is left of a message that was deleted. Whether the
message may be posted is decided before.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence

from msgspec.structs import replace

from sioserver import private, wire
from sioserver.engine.base import Engine
from sioserver.errors import Refusal
from sioserver.model import Event, Mention, Position, Published, User

log = logging.getLogger(__name__)


class Mentions:
    """See the module. Methods raise `Refusal`."""

    def __init__(self, engine: Engine, tell: Callable[[str, Event], None]) -> None:
        """`tell` tells all sessions of a user something."""
        self._engine = engine
        self._tell = tell

    async def note(
        self,
        room: str,
        user: User,
        published: Published,
        users: Sequence[str],
        *,
        resendable: bool,
    ) -> None:
        """A message of `user` names these users: those of them who are members are told, and it is
        stored for them when this returns.

        It is refused where it cannot be stored, if the message will be sent again then; else it has
        been posted, and that counts for more.
        """
        others = [other for other in users if other != user.id]
        if others and published.duplicate:
            stored = await self._stored(room, published.position)
            others = others if stored is None else [other for other in others if other in stored]
        if not others:
            return
        offset, at = published.position.offset, published.at
        mention = Mention(0, room, published.id, offset, user.id, user.name, at)
        try:
            added = await self._engine.mentions.add(room, published.position, mention, others)
        except Refusal as refusal:
            if resendable:
                raise
            log.warning("whom a message in %r mentions was not stored: %s", room, refusal)
            return
        for other, number in added.items():
            self._tell(other, wire.mention_event(shown(replace(mention, number=number), other)))

    async def _stored(self, room: str, at: Position) -> Collection[str] | None:
        """Whom the message there names, which was sent before: this time it may be sent with other
        names, and it may have been deleted since. None: the log does not have it."""
        offset = at.offset
        page = await self._engine.history(room, after=offset - 1, before=offset + 1, limit=1)
        if page.top.epoch != at.epoch or not page.messages:
            return None
        return page.messages[0].mentions

    async def of(self, user_id: str, after: int) -> list[Mention]:
        """A user's mentions with numbers above `after`; the rooms are called as they call them."""
        found = await self._engine.mentions.of(user_id, after=after)
        return [shown(mention, user_id) for mention in found]


def shown(mention: Mention, user_id: str) -> Mention:
    """The mention, with the room as this user calls it."""
    return replace(mention, room=private.shown(mention.room, user_id))


def counted(mentions: Sequence[Mention], room: str, read: int) -> int:
    """How many of the mentions are in the room, behind what was read."""
    return sum(mention.room == room and mention.offset > read for mention in mentions)
