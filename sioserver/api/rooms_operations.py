"""What may be done to one message by HTTP: reading, editing, deleting, reacting.

A message is named by its offset; whose it has to be is decided below.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

from aiohttp import web

from sioserver import wire
from sioserver.actors import Visitor
from sioserver.api.answers import answer
from sioserver.api.bodies import read_object
from sioserver.api.shapes import EditedMessage, OneMessage
from sioserver.api.table import Route
from sioserver.api.visits import Visits, number, query, room_route, user_of
from sioserver.errors import Refusal
from sioserver.protocol.answers import Operated
from sioserver.rooms import RoomService

MESSAGE: Final = "/messages/{offset}"
REACTION: Final = f"{MESSAGE}/reactions/{{emoji}}"


class RoomOperations:
    """What can be asked for."""

    def __init__(self, rooms: RoomService, visits: Visits, most: int) -> None:
        """`most`: bytes that the body of a request may have."""
        self._rooms = rooms
        self._visits = visits
        self._most = most

    def routes(self) -> list[Route]:
        """All of it, as lines of the table."""
        return [
            room_route("get_message", "GET", MESSAGE, "One message", self._get, OneMessage),
            room_route(
                "edit_message",
                "PATCH",
                MESSAGE,
                "Change what a message says",
                self._edit,
                Operated,
                body=EditedMessage,
            ),
            room_route(
                "delete_message", "DELETE", MESSAGE, "Take a message away", self._delete, Operated
            ),
            room_route(
                "react", "PUT", REACTION, "React to a message", self._react(on=True), Operated
            ),
            room_route(
                "unreact",
                "DELETE",
                REACTION,
                "Take a reaction back",
                self._react(on=False),
                Operated,
            ),
        ]

    async def _get(self, request: web.Request) -> web.Response:
        visitor = await self._visits.of(request, "history")
        offset = wire.parse_delete([_named(request)]).offset
        assert offset is not None
        wanted = wire.HistoryRequest(before=offset + 1, after=offset - 1, limit=1)
        page = await self._rooms.history(visitor, wanted)
        found = [one for one in page.messages if one.kind == "message"]
        if not found:
            raise Refusal("not_found", "there is no message at this offset")
        return answer({"ok": True, "message": wire.message_payload(found[0], visitor.user.id)})

    async def _edit(self, request: web.Request) -> web.Response:
        caller = await self._visits.caller(request, "edit")
        asked = query(request, "as")
        given = await read_object(request, self._most)
        if given.keys() != {"body"}:
            raise Refusal("bad_request", "{body} is what the message says from now on")
        visitor = await self._visits.visit(request, caller, user_of(asked.get("as")))
        most = self._rooms.max_body(visitor.room)
        wanted = wire.parse_edit([{**given, **_named(request)}], most)
        return answer(wire.operated_answer(await self._rooms.operations.edit(visitor, wanted)))

    async def _delete(self, request: web.Request) -> web.Response:
        visitor = await self._visits.of(request, "delete")
        target = wire.parse_delete([_named(request)])
        return answer(wire.operated_answer(await self._rooms.operations.delete(visitor, target)))

    def _react(self, *, on: bool) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def handle(request: web.Request) -> web.Response:
            visitor = await self._reacting(request)
            emoji = request.match_info["emoji"]
            wanted = wire.parse_react([{**_named(request), "emoji": emoji, "on": on}])
            return answer(wire.operated_answer(await self._rooms.operations.react(visitor, wanted)))

        return handle

    async def _reacting(self, request: web.Request) -> Visitor:
        caller = await self._visits.caller(request, "react")
        user = user_of(query(request, "as").get("as"))
        if caller.identity is None and user is None:
            raise Refusal("bad_request", "an API key is nobody: say as whom it reacts (as)")
        return await self._visits.visit(request, caller, user)


def _named(request: web.Request) -> dict[str, Any]:
    return {"offset": number(request.match_info["offset"])}
