"""The rooms by HTTP, `/api/rooms/...`: for back ends, and for users who need no connection.

Requests are read here, and done by `RoomService` for a `Visitor`: the same permissions, limits and
hooks as over a connection. An operator asks in anybody's name (`as`).
"""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import urlencode

import msgspec
from aiohttp import web

from sioserver import wire
from sioserver.api.answers import answer
from sioserver.api.bodies import JSON, kind_of, read, read_object
from sioserver.api.shapes import NewMessage, RoomView
from sioserver.api.table import Route
from sioserver.api.visits import WHO, Visits, number, query, room_route, user_of
from sioserver.errors import Refusal
from sioserver.protocol import answers
from sioserver.rooms import RoomService

BYTES: Final = "application/octet-stream"


class Bounds(msgspec.Struct, frozen=True):
    """How much one request or answer may carry."""

    body: int
    """Bytes of a request."""
    messages: int
    """Messages in a page of history."""
    page: int
    """Bytes of their bodies."""


class Rooms:
    """What can be asked for."""

    def __init__(self, rooms: RoomService, visits: Visits, bounds: Bounds) -> None:
        self._rooms = rooms
        self._visits = visits
        self._bounds = bounds

    def routes(self) -> list[Route]:
        """All of it, as lines of the table."""
        return [
            room_route(
                "get_room",
                "GET",
                "",
                "How many are there, and what you may do",
                self._get_room,
                RoomView,
            ),
            Route(
                "list_rooms",
                "GET",
                "/api/directory",
                "The public rooms that you may join",
                self._list_rooms,
                answers.Directory,
                query=("query", "after_room", "limit"),
                needs=WHO,
                shared=True,
            ),
            room_route(
                "list_members",
                "GET",
                "/members",
                "Who is online, and who are the members",
                self._list_members,
                answers.Members,
                query=("all",),
            ),
            room_route(
                "list_messages",
                "GET",
                "/messages",
                "A page of the room's messages, ascending",
                self._list_messages,
                answers.HistoryPage,
                query=("before", "after", "limit"),
            ),
            room_route(
                "search_messages",
                "GET",
                "/search",
                "The newest messages that say something",
                self._search,
                answers.SearchPage,
                query=("query", "before", "limit"),
            ),
            room_route(
                "post_message",
                "POST",
                "/messages",
                "Post a message; when it is answered, it is stored and reaches everybody",
                self._post_message,
                answers.Published,
                status=201,
                body=NewMessage,
                binary=True,
                query=("id",),
            ),
        ]

    # ------------------------------------------------------------ rooms

    async def _list_rooms(self, request: web.Request) -> web.Response:
        caller = await self._visits.caller(request, "directory")
        asked = query(request, "query", "after", "limit")
        wanted = dict(asked)
        if "limit" in wanted:
            wanted["limit"] = number(wanted["limit"])
        page = wire.parse_directory([wanted])
        address = self._visits.address(request, caller)
        found = await self._rooms.visitors.list_rooms(caller.acting(None), page, address)
        listed = [(one.room, one.topic, counts) for one, counts in found.rooms]
        told = wire.directory_answer(listed, found.next)
        following = urlencode({**asked, "after": told.get("next", "")})
        return answer(told, headers=_next(following) if "next" in told else {})

    # ------------------------------------------------------------ people

    async def _get_room(self, request: web.Request) -> web.Response:
        visitor = await self._visits.of(request, "")
        counts = await self._rooms.people.counts(visitor)
        permissions = self._rooms.moderation.permissions(visitor)
        return answer(
            {
                "ok": True,
                "room": request.match_info["room"],
                "online": counts.online,
                "total": counts.total,
                "permissions": permissions,
            }
        )

    async def _list_members(self, request: web.Request) -> web.Response:
        caller = await self._visits.caller(request, "members")
        asked = query(request, "all", "as")
        everybody = {"true": True, "false": False}.get(asked.get("all", "false"))
        if everybody is None:
            raise Refusal("bad_request", "all is true or false")
        visitor = await self._visits.visit(request, caller, user_of(asked.get("as")))
        return answer(
            wire.members_answer(*await self._rooms.people.members(visitor, everybody=everybody))
        )

    # ------------------------------------------------------------ messages

    async def _list_messages(self, request: web.Request) -> web.Response:
        caller = await self._visits.caller(request, "history")
        asked = query(request, "before", "after", "limit", "as")
        numbers = {name: number(asked[name]) for name in asked if name != "as"}
        wanted = wire.parse_history([numbers], self._bounds.messages)
        visitor = await self._visits.visit(request, caller, user_of(asked.get("as")))
        page = await self._rooms.history(visitor, wanted)
        page = wire.cut_page(page, wanted, MANY, self._bounds.page)
        found = wire.history_answer(page, wanted, visitor.user.id)
        return answer(found, headers=_link(found, asked))

    async def _search(self, request: web.Request) -> web.Response:
        caller = await self._visits.caller(request, "search")
        asked = query(request, "query", "before", "limit", "as")
        given = {name: asked[name] for name in asked if name != "as"}
        given |= {name: number(given[name]) for name in ("before", "limit") if name in given}
        wanted = wire.parse_search([given], self._bounds.messages)
        visitor = await self._visits.visit(request, caller, user_of(asked.get("as")))
        found = await self._rooms.search.find(visitor, wanted)
        kept = wire.fitting(found.messages, MANY, self._bounds.page)
        told = wire.search_answer(
            found.messages, kept, found.end, found.next, visitor.user.id, complete=found.complete
        )
        following = urlencode({**asked, "before": told.get("next", "")})
        return answer(told, headers=_next(following) if "next" in told else {})

    async def _post_message(self, request: web.Request) -> web.Response:
        caller = await self._visits.caller(request, "message")
        if kind_of(request) == BYTES:
            options = query(request, "id", "as")
            body: Any = bytes(await read(request, self._bounds.body, BYTES))
        else:
            query(request)
            options = await read_object(request, self._bounds.body, JSON, BYTES)
            if "body" not in options:
                raise Refusal("bad_request", "body is what the message says")
            body = options.pop("body")
        user = user_of(options.pop("as", None))
        if caller.identity is None and user is None:
            raise Refusal("bad_request", "an API key is nobody: say as whom it posts (as)")
        visitor = await self._visits.visit(request, caller, user)
        wanted = wire.parse_send([body, options], self._rooms.max_body(visitor.room))
        published = await self._rooms.visitors.post(visitor, wanted)
        # the first time's answer is that of a message that is there already
        status = 200 if published.duplicate else 201
        where = {"Location": f"messages/{published.position.offset}"}
        return answer(wire.published_answer(published), status, where)


MANY: Final = 2**53
"""Of binaries in a page: they are told as text, and count as bytes."""


def _link(found: dict[str, Any], asked: dict[str, Any]) -> dict[str, str]:
    """Where reading goes on in its direction (RFC 8288); relative, for we may be mounted."""
    if not found["more"]:
        return {}
    kept = {**asked, "after" if "after" in asked else "before": found["next"]}
    return _next(urlencode(kept))


def _next(asked: str) -> dict[str, str]:
    return {"Link": f'<?{asked}>; rel="next"'}
