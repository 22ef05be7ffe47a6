"""The events that a client may send, and where each leads: the families of requests in one table.

Raises `Refusal` for an event that is in no family. What is asked and answered is theirs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sioserver import private
from sioserver.auth import Identity
from sioserver.connections.clients import ConnectedClient
from sioserver.errors import Refusal
from sioserver.requests.handler import Answer, Handlers, Pages
from sioserver.requests.messages import Messages
from sioserver.requests.moderation import Moderation
from sioserver.requests.people import People
from sioserver.requests.session import Session
from sioserver.rooms import RoomService


class Requests:
    """What clients may ask for."""

    def __init__(
        self,
        rooms: RoomService,
        clock: Callable[[], float],
        pages: Pages,
        refreshed: Callable[[ConnectedClient], None],
    ) -> None:
        """`refreshed` is called when a client has shown a fresh token."""
        self._rooms = rooms
        self._clock = clock
        messages, session = Messages(rooms, pages), Session(rooms, refreshed)
        self._people = people = People(rooms)
        self._in_room: Handlers = {
            **messages.in_room,
            **people.in_room,
            **session.in_room,
            **Moderation(rooms).in_room,
        }
        self._in_session: Handlers = {**session.in_session, **people.in_session}

    async def answer(self, client: ConnectedClient, name: object, args: list[Any]) -> Answer:
        """Do what the event asks for. Raises `Refusal`."""
        if name != "auth":  # which libraries send by themselves
            self._rooms.activity.used(client, self._clock())
        if private.is_session(client.room):
            if not isinstance(name, str) or (handler := self._in_session.get(name)) is None:
                known = ", ".join(self._in_session)
                raise Refusal("unknown_event", f"the session knows only the events {known}")
            self._check_expiry(client.identity)
            return await handler(client, args)
        if isinstance(name, str):
            if (handler := self._in_room.get(name)) is not None:
                return await handler(client, args)
            if self._rooms.relays(client.room, name):
                return self._people.relay(client, name, args)
        raise Refusal("unknown_event", f"there is no event {str(name)[:64]!r} in this room")

    def _check_expiry(self, identity: Identity) -> None:
        if identity.expires_at is not None and self._clock() >= identity.expires_at:
            raise Refusal("token_expired")
