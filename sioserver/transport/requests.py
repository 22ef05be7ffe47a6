"""The events that a client may send, and what each answers: arguments in, the ack's object out.

A table from names to methods; each reads its arguments with `wire`, calls `RoomService` and builds
the answer. Raises `Refusal`; knows no packet and no session.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from sioserver import wire
from sioserver.auth import Identity
from sioserver.errors import Refusal
from sioserver.rooms import RoomService
from sioserver.transport.clients import RoomClient

Answer = dict[str, Any]
Handler = Callable[[RoomClient, list[Any]], Awaitable[Answer]]


class Requests:
    """What clients may ask for."""

    def __init__(
        self,
        rooms: RoomService,
        clock: Callable[[], float],
        *,
        history_page: int,
        page_binaries: int,
        page_bytes: int,
        refreshed: Callable[[RoomClient], None],
    ) -> None:
        """`history_page`, `page_binaries`, `page_bytes`: messages in a page of history, and what
        their bodies may be together. `refreshed` is called when a client has shown a fresh token.
        """
        self._rooms = rooms
        self._clock = clock
        self._history_page = history_page
        self._page_binaries = page_binaries
        self._page_bytes = page_bytes
        self._refreshed = refreshed
        self._in_room: Mapping[str, Handler] = {
            "message": self._message,
            "history": self._history,
            "members": self._members,
            "read": self._read,
            "typing": self._typing,
            "auth": self._auth,
            "leave": self._leave,
        }
        self._in_session: Mapping[str, Handler] = {
            "rooms": self._list_rooms,
            "auth": self._auth_session,
        }

    async def answer(self, client: RoomClient, name: object, args: list[Any]) -> Answer:
        """Do what the event asks for. Raises `Refusal`."""
        if client.room == wire.SESSION_ROOM:
            if not isinstance(name, str) or (handler := self._in_session.get(name)) is None:
                known = " and ".join(self._in_session)
                raise Refusal("unknown_event", f"the session knows the events {known} only")
            self._check_expiry(client.identity)
            return await handler(client, args)
        if isinstance(name, str):
            if (handler := self._in_room.get(name)) is not None:
                return await handler(client, args)
            if self._rooms.relays(client.room, name):
                return self._relay(client, name, args)
        raise Refusal("unknown_event", f"there is no event {str(name)[:64]!r} in this room")

    # ------------------------------------------------------------ in a room

    async def _message(self, client: RoomClient, args: list[Any]) -> Answer:
        request = wire.parse_send(args, self._rooms.max_body(client.room))
        return wire.published_answer(await self._rooms.send(client, request))

    async def _history(self, client: RoomClient, args: list[Any]) -> Answer:
        request = wire.parse_history(args, self._history_page)
        page = await self._rooms.history(client, request)
        page = wire.cut_page(page, request, self._page_binaries, self._page_bytes)
        return wire.history_answer(page, request)

    async def _members(self, client: RoomClient, args: list[Any]) -> Answer:
        everybody = wire.parse_members(args)
        return wire.members_answer(*await self._rooms.members(client, everybody=everybody))

    async def _read(self, client: RoomClient, args: list[Any]) -> Answer:
        return {"ok": True, "unread": await self._rooms.read(client, wire.parse_read(args))}

    async def _typing(self, client: RoomClient, args: list[Any]) -> Answer:
        self._rooms.typing(client, wire.parse_typing(args))
        return {"ok": True}

    async def _auth(self, client: RoomClient, args: list[Any]) -> Answer:
        identity = await self._rooms.refresh(client, wire.parse_auth(args))
        self._refreshed(client)
        return {"ok": True, "expires_at": identity.expires_at}

    async def _leave(self, client: RoomClient, args: list[Any]) -> Answer:
        wire.parse_nothing(args, "leave")
        await self._rooms.leave_for_good(client)
        return {"ok": True}

    def _relay(self, client: RoomClient, name: str, args: list[Any]) -> Answer:
        args = wire.parse_relayed(args, self._rooms.max_body(client.room))
        self._rooms.relay(client, name, args)
        return {"ok": True}

    # ------------------------------------------------------------ in the session room

    async def _list_rooms(self, client: RoomClient, args: list[Any]) -> Answer:
        wire.parse_nothing(args, "rooms")
        return {"ok": True, "rooms": wire.rooms_list(await self._rooms.rooms_of(client.identity))}

    async def _auth_session(self, client: RoomClient, args: list[Any]) -> Answer:
        token = wire.parse_auth(args)
        identity = await self._rooms.identify(wire.Hello(token=token), made_up="")
        if identity.user.id != client.user.id:
            raise Refusal("forbidden", "the token is another user's; open a new connection")
        if not client.here:
            raise Refusal("not_member")
        self._rooms.adopt(client, identity)
        self._refreshed(client)
        for other in list(client.connection.clients.values()):
            if other.room != wire.SESSION_ROOM and other.identity.authenticated:
                await self._refresh_too(other, token)
        return {"ok": True, "expires_at": identity.expires_at}

    async def _refresh_too(self, client: RoomClient, token: str) -> None:
        try:
            await self._rooms.refresh(client, token)
        except Refusal:
            return  # the token is not for this room: here the old one counts until its end
        self._refreshed(client)

    def _check_expiry(self, identity: Identity) -> None:
        if identity.expires_at is not None and self._clock() >= identity.expires_at:
            raise Refusal("token_expired")
