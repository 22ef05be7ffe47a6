"""The anteroom of the door for plain WebSockets: who stands there has not said who they are.

What one of them says, all others hear, on every node; nothing of it is kept. It is in front of the
default room, whose rules and bans hold here too, so a node with somebody in it watches that one. It
knows no wire.
"""

from __future__ import annotations

from typing import Final

from sioserver.auth import Identity
from sioserver.engine.base import Engine
from sioserver.errors import Refusal
from sioserver.hub import Client, Hub
from sioserver.model import Event
from sioserver.rooms import RoomService

ROOM: Final = "@anteroom"
"""A name that no client can ask for."""

SAID: Final = "said"
"""The event: {text}."""


class Anteroom:
    """Who is in it, and what they hear. Methods raise `Refusal`."""

    def __init__(self, engine: Engine, hub: Hub, rooms: RoomService, room: str) -> None:
        """`room`: what it is in front of."""
        self._engine = engine
        self._hub = hub
        self._rooms = rooms
        self._room = room
        hub.put_before(ROOM, room)

    async def enter(self, client: Client) -> None:
        """From now on the client, whose room is `ROOM`, hears what is said. Who may not ask for
        anything in the room behind is refused. It is here before it is asked: what is decided about
        it, or its token, from now on ends it (`Outbox.close`)."""
        if self._hub.begin(client, presence=False):
            self._engine.listen(ROOM)
            self._engine.watch(self._room)
        try:
            await self._rooms.overhear(client, self._room)
        except BaseException:
            self.leave(client)
            raise
        self._hub.live(client)

    def leave(self, client: Client) -> None:
        """The client hears no more. More than once without harm."""
        self._rooms.forget(client)
        if self._hub.remove(client):
            self._engine.unlisten(ROOM)
            if not self._hub.needs(self._room):
                self._engine.unwatch(self._room)

    async def check(self, identity: Identity, address: str | None, text: str) -> str:
        """May they say this, by the rules for whoever posts in the room behind? Returns what is to
        be said, for a hook may change it."""
        most = self._rooms.max_body(self._room)
        if (size := len(text.encode())) > most:
            raise Refusal(
                "too_large",
                f"the message has {size} bytes, at most {most} are allowed",
                limit="max_body",
            )
        visitor = await self._rooms.visitors.visit(identity, self._room, address)
        return await self._rooms.visitors.pass_text(visitor, text)

    def say(self, client: Client | None, text: str) -> None:
        """All but the client hear it: here at once, elsewhere soon, or never. Does not wait."""
        event = Event(SAID, {"text": text})
        self._hub.tell(ROOM, event, client)
        self._engine.tell(ROOM, event)
