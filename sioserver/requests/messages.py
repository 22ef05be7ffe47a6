"""Requests that are about messages: posting them, reading them back."""

from __future__ import annotations

from typing import Any

from sioserver import wire
from sioserver.connections.clients import ConnectedClient
from sioserver.requests.handler import Answer, Handlers, Pages
from sioserver.rooms import RoomService


class Messages:
    """`message` and `history`."""

    def __init__(self, rooms: RoomService, pages: Pages) -> None:
        self._rooms = rooms
        self._pages = pages
        self.in_room: Handlers = {"message": self._message, "history": self._history}

    async def _message(self, client: ConnectedClient, args: list[Any]) -> Answer:
        request = wire.parse_send(args, self._rooms.max_body(client.room))
        return wire.published_answer(await self._rooms.send(client, request))

    async def _history(self, client: ConnectedClient, args: list[Any]) -> Answer:
        pages = self._pages
        request = wire.parse_history(args, pages.messages)
        page = await self._rooms.history(client, request)
        page = wire.cut_page(page, request, pages.binaries, pages.bytes)
        return wire.history_answer(page, request)
