"""The sessions of the users, `@me`: who is there, what they are told wherever they are.

All sessions of a user, on all nodes, are in one room (`private.session_room`) that has no log: what
is told there is told now or never. It knows no wire but the events.
"""

from __future__ import annotations

from sioserver import private
from sioserver.config import Config
from sioserver.engine.base import Engine
from sioserver.errors import Refusal
from sioserver.hub import Client, Hub
from sioserver.model import Event


class Sessions:
    """See the module. Methods raise `Refusal`."""

    def __init__(self, config: Config, engine: Engine, hub: Hub) -> None:
        self._config = config
        self._engine = engine
        self._hub = hub

    async def enter(self, client: Client) -> dict[str, dict[str, int]]:
        """Bring a client into its user's session room; returns the user's rooms. The edge tells it
        so and calls `go_live`, before it waits for anything."""
        if self._hub.begin(client, presence=False):
            self._engine.listen(client.room)
        try:
            rooms = await self.rooms_of(client.user.id)
            if not self._hub.knows(client):
                raise Refusal("not_member", "the client left before it had joined")
        except BaseException:
            self.leave(client)  # again, if it left meanwhile
            raise
        return rooms

    def go_live(self, client: Client) -> None:
        """The client has been welcomed: from now on it is told what its user is told."""
        self._hub.live(client)

    def leave(self, client: Client) -> None:
        """The client has gone. Never refused; more than once without harm."""
        if self._hub.remove(client):
            self._engine.unlisten(client.room)

    def tell(self, user_id: str, event: Event) -> None:
        """Tell all sessions of a user, here at once, on the other nodes soon, if there are any.
        Ephemeral: who cannot be told now is not told. Does not wait, never fails."""
        room = private.session_room(user_id)
        self._hub.tell(room, event)
        self._engine.tell(room, event)

    async def rooms_of(self, user_id: str) -> dict[str, dict[str, int]]:
        """The user's rooms: room -> {unread, last}, at most `rooms.members_page`."""
        found = await self._engine.rooms_of(user_id, limit=self._config.rooms.members_page)
        return {
            room: {"unread": max(0, top - membership.read), "last": top}
            for room, (membership, top) in found.items()
        }
