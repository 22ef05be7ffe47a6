"""What the people of a room know of each other: who is here, who types, how far somebody has read.

Part of `RoomService`. It knows no log but to count what is unread, and all that is told here is
ephemeral. Who is online, the engine knows; which devices rest, `Activity`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from sioserver import wire
from sioserver.actors import Actor
from sioserver.auth import Policy
from sioserver.config.schema import Rooms
from sioserver.engine.base import Engine
from sioserver.errors import Refusal
from sioserver.hub import Client, Hub
from sioserver.model import Counts, State, User


class People:
    """See the module. Methods raise `Refusal`."""

    def __init__(
        self,
        config: Rooms,
        engine: Engine,
        hub: Hub,
        policy: Policy,
        clock: Callable[[], float],
        *,
        check: Callable[[Actor], float],
        check_post: Callable[[Actor], float],
        says: Callable[[Client, State, float], None],
        has_read: Callable[[str, str, int], None],
    ) -> None:
        """`check`: may the client ask for something at all? `check_post`: may it make itself heard?
        Both return the time. `says` and `has_read`: see `Activity.say` and `Sessions.has_read`."""
        self._config = config
        self._engine = engine
        self._hub = hub
        self._policy = policy
        self._clock = clock
        self._check = check
        self._check_post = check_post
        self._says = says
        self._has_read = has_read

    def sweep(self, now: float) -> None:
        """End the typing of those who have not said again that they type."""
        for room, user, (here, elsewhere) in self._hub.typists.sweep(now):
            event = wire.typing_event(user, on=False)
            if here:
                self._hub.tell(room, event)
            if elsewhere:
                self._engine.tell(room, event)

    async def counts(self, actor: Actor) -> Counts:
        """How many are in the room."""
        self._check(actor)
        if not self._policy.rule(actor.room).presence:
            raise _untold()
        return await self._engine.counts(actor.room)

    async def members(
        self, client: Actor, *, everybody: bool
    ) -> tuple[list[User], Counts, list[User] | None, Mapping[str, State], Mapping[str, int]]:
        """Users online or away, the counts, (when `everybody`) the members; what those of both are
        who are in the room, and when the others were seen last, if that is known."""
        self._check(client)
        room, limit = client.room, self._config.members_page
        if not self._policy.rule(room).presence:
            raise _untold()
        counts = await self._engine.counts(room)
        online = await self._engine.online(room, limit=limit)
        members = await self._engine.members(room, limit=limit) if everybody else None
        asked = dict.fromkeys(user.id for user in (*online, *(members or ())))
        states = await self._engine.states(room, list(asked))
        gone = [user.id for user in members or () if user.id not in states]
        return online, counts, members, states, await self._engine.seen.of(gone)

    async def read(self, client: Client, offset: int) -> int:
        """Move the user's read position; returns how many messages are unread now."""
        self._check(client)
        room, user = client.room, client.user
        standing = await self._engine.read(room, user.id, offset)
        # of a guest nothing is kept, and the answer is that everything was read
        read, unread = standing.membership.read, standing.unread
        if user.guest and offset < read:
            read, unread = offset, await self._behind(room, offset)
        if read > client.told_read:
            client.told_read = read
            if not user.guest:
                self._has_read(user.id, room, standing.membership.number)
            if self._policy.rule(room).presence:
                counts = await self._engine.counts(room)
                # members, not only those who are online: it shall not change by the hour
                if counts.total <= self._config.receipts_max_members:
                    event = wire.read_event(user, read)
                    self._hub.tell(room, event, client)
                    self._engine.tell(room, event)
        return unread

    async def _behind(self, room: str, offset: int) -> int:
        """How many messages there are behind an offset."""
        # with operations: a message may have thousands of them between itself and the offset
        page = await self._engine.history(room, after=offset, limit=1, ops=True)
        if not page.messages:
            return 0
        following = page.messages[0]
        return page.number - following.number + (following.kind == "message")

    def typing(self, client: Client, on: bool) -> None:
        """Tell the others, unless they know: see `Typists`."""
        if on:
            self._check_post(client)
        else:
            self._check(client)
        self.types(client, on=on)

    def types(self, client: Client, *, on: bool) -> None:
        """The same of a client whatever it may: one that leaves types no more."""
        room, user = client.room, client.user
        here, elsewhere = self._hub.typists.says(room, user, client.id, on, self._clock())
        if here:
            self._hub.tell(room, wire.typing_event(user, on), client)
        if elsewhere:
            self._engine.tell(room, wire.typing_event(user, on))

    def status(self, client: Client, state: State) -> None:
        """The user says that this device, in all its rooms, is used or not: see `Activity`."""
        self._says(client, state, self._check(client))


def _untold() -> Refusal:
    return Refusal("forbidden", "this room does not tell who is in it")
