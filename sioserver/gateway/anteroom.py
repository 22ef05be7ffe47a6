"""The anteroom of the door for plain WebSockets: who stands there has not said who they are.

What one of them says, all others hear, on every node; nothing of it is kept. It knows no wire.
"""

from __future__ import annotations

from typing import Final

from sioserver.engine.base import Engine
from sioserver.hub import Client, Hub
from sioserver.model import Event

ROOM: Final = "@anteroom"
"""A name that no client can ask for."""

SAID: Final = "said"
"""The event: {text}."""


class Anteroom:
    """Who is in it, and what they hear."""

    def __init__(self, engine: Engine, hub: Hub) -> None:
        self._engine = engine
        self._hub = hub

    def enter(self, client: Client) -> None:
        """From now on the client, whose room is `ROOM`, hears what is said."""
        if self._hub.begin(client, presence=False):
            self._engine.listen(ROOM)
        self._hub.live(client)

    def leave(self, client: Client) -> None:
        """The client hears no more. More than once without harm."""
        if self._hub.remove(client):
            self._engine.unlisten(ROOM)

    def say(self, client: Client, text: str) -> None:
        """All others hear it: here at once, elsewhere soon, or never. Does not wait."""
        event = Event(SAID, {"text": text})
        self._hub.tell(ROOM, event, client)
        self._engine.tell(ROOM, event)
