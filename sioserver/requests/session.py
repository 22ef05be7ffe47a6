"""Requests that are about the client itself: its token, its rooms, leaving for good."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sioserver import private, wire
from sioserver.connections.clients import ConnectedClient
from sioserver.errors import Refusal
from sioserver.requests.handler import Answer, Handlers
from sioserver.rooms import RoomService


class Session:
    """`auth` and `leave` in a room; `rooms`, `mentions`, `directory` and `auth` in the session
    room."""

    def __init__(self, rooms: RoomService, refreshed: Callable[[ConnectedClient], None]) -> None:
        """`refreshed` is called when a client has shown a fresh token."""
        self._rooms = rooms
        self._identities = rooms.identities
        self._refreshed = refreshed
        self.in_room: Handlers = {"auth": self._auth, "leave": self._leave}
        self.in_session: Handlers = {
            "rooms": self._list_rooms,
            "mentions": self._list_mentions,
            "directory": self._directory,
            "auth": self._auth_session,
        }

    async def _auth(self, client: ConnectedClient, args: list[Any]) -> Answer:
        identity = await self._identities.refresh(client, wire.parse_auth(args))
        self._refreshed(client)
        return {"ok": True, "expires_at": identity.expires_at}

    async def _leave(self, client: ConnectedClient, args: list[Any]) -> Answer:
        wire.parse_nothing(args, "leave")
        await self._rooms.leave_for_good(client)
        return {"ok": True}

    # ------------------------------------------------------------ in the session room

    async def _list_rooms(self, client: ConnectedClient, args: list[Any]) -> Answer:
        wire.parse_nothing(args, "rooms")
        return {"ok": True, "rooms": await self._rooms.sessions.rooms(client)}

    async def _list_mentions(self, client: ConnectedClient, args: list[Any]) -> Answer:
        after = wire.parse_mentions(args)
        return wire.mentions_answer(await self._rooms.mentions.of(client.user.id, after))

    async def _directory(self, client: ConnectedClient, args: list[Any]) -> Answer:
        wanted = wire.parse_directory(args)
        found = await self._rooms.directory.find(
            client.identity, wanted.query, wanted.after, wanted.limit
        )
        return wire.directory_answer(
            ((one.room, one.topic, counts) for one, counts in found.rooms), found.next
        )

    async def _auth_session(self, client: ConnectedClient, args: list[Any]) -> Answer:
        token = wire.parse_auth(args)
        identity = await self._identities.identify(wire.Hello(token=token), made_up="")
        if identity.user.id != client.user.id:
            raise Refusal("forbidden", "the token is another user's; open a new connection")
        if not client.here:
            raise Refusal("not_member")
        self._identities.adopt(client, identity)
        self._refreshed(client)
        for other in list(client.beside):
            if not private.is_session(other.room) and other.identity.authenticated:
                await self._refresh_too(other, token)
        return {"ok": True, "expires_at": identity.expires_at}

    async def _refresh_too(self, client: ConnectedClient, token: str) -> None:
        try:
            await self._identities.refresh(client, token)
        except Refusal:
            return  # the token is not for this room: here the old one counts until its end
        self._refreshed(client)
