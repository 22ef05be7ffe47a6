"""Requests that are about the people of a room: who is there, what they do just now."""

from __future__ import annotations

from typing import Any

from sioserver import wire
from sioserver.connections.clients import ConnectedClient
from sioserver.requests.handler import Answer, Handlers
from sioserver.rooms import RoomService


class People:
    """`members`, `read`, `typing`, `status`, and what a room passes on."""

    def __init__(self, rooms: RoomService) -> None:
        self._rooms = rooms
        self._people = rooms.people
        self.in_room: Handlers = {
            "members": self._members,
            "read": self._read,
            "typing": self._typing,
            "status": self._status,
        }
        self.in_session: Handlers = {"status": self._status}

    async def _members(self, client: ConnectedClient, args: list[Any]) -> Answer:
        everybody = wire.parse_members(args)
        return wire.members_answer(*await self._people.members(client, everybody=everybody))

    async def _read(self, client: ConnectedClient, args: list[Any]) -> Answer:
        return {"ok": True, "unread": await self._people.read(client, wire.parse_read(args))}

    async def _typing(self, client: ConnectedClient, args: list[Any]) -> Answer:
        self._people.typing(client, wire.parse_typing(args))
        return {"ok": True}

    async def _status(self, client: ConnectedClient, args: list[Any]) -> Answer:
        state = wire.parse_status(args)
        self._people.status(client, state)
        return {"ok": True, "state": state}

    def relay(self, client: ConnectedClient, name: str, args: list[Any]) -> Answer:
        """An event that the room passes on. Raises `Refusal`."""
        args = wire.parse_relayed(args, self._rooms.max_body(client.room))
        self._rooms.relay(client, name, args)
        return {"ok": True}
