"""Requests that are about messages: posting and changing them, reading them back."""

from __future__ import annotations

from typing import Any

from sioserver import wire
from sioserver.connections.clients import ConnectedClient
from sioserver.requests.handler import Answer, Handlers, Pages
from sioserver.rooms import RoomService


class Messages:
    """`message`, `edit`, `delete`, `react`, `history` and `search`."""

    def __init__(self, rooms: RoomService, pages: Pages) -> None:
        self._rooms = rooms
        self._pages = pages
        self.in_room: Handlers = {
            "message": self._message,
            "edit": self._edit,
            "delete": self._delete,
            "react": self._react,
            "history": self._history,
            "search": self._search,
        }

    async def _message(self, client: ConnectedClient, args: list[Any]) -> Answer:
        request = wire.parse_send(args, self._rooms.max_body(client.room))
        return wire.published_answer(await self._rooms.send(client, request))

    async def _edit(self, client: ConnectedClient, args: list[Any]) -> Answer:
        request = wire.parse_edit(args, self._rooms.max_body(client.room))
        return wire.operated_answer(await self._rooms.operations.edit(client, request))

    async def _delete(self, client: ConnectedClient, args: list[Any]) -> Answer:
        target = wire.parse_delete(args)
        return wire.operated_answer(await self._rooms.operations.delete(client, target))

    async def _react(self, client: ConnectedClient, args: list[Any]) -> Answer:
        request = wire.parse_react(args)
        return wire.operated_answer(await self._rooms.operations.react(client, request))

    async def _history(self, client: ConnectedClient, args: list[Any]) -> Answer:
        pages = self._pages
        request = wire.parse_history(args, pages.messages)
        page = await self._rooms.history(client, request)
        page = wire.cut_page(page, request, pages.binaries, pages.bytes)
        return wire.history_answer(page, request, client.user.id)

    async def _search(self, client: ConnectedClient, args: list[Any]) -> Answer:
        pages = self._pages
        request = wire.parse_search(args, pages.messages)
        found = await self._rooms.search.find(client, request)
        kept = wire.fitting(found.messages, pages.binaries, pages.bytes)
        return wire.search_answer(
            found.messages, kept, found.end, found.next, client.user.id, complete=found.complete
        )
