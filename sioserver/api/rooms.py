"""The rooms by HTTP, `/api/rooms/...`: for back ends, and for users who need no connection.

Requests are read here, and done by `RoomService` for a `Visitor`: the same permissions, limits and
hooks as over a connection. An operator asks in anybody's name (`as`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final
from urllib.parse import urlencode

import msgspec
from aiohttp import web

from sioserver import wire
from sioserver.actors import Visitor
from sioserver.api.answers import answer
from sioserver.api.bodies import JSON, kind_of, read, read_object
from sioserver.api.callers import Caller, Callers
from sioserver.api.table import Route
from sioserver.auth.names import check_user_id, clean_name
from sioserver.config.api_keys import ROOMS
from sioserver.errors import Refusal
from sioserver.limits import COSTS, Budget
from sioserver.model import User
from sioserver.rooms import RoomService

BYTES: Final = "application/octet-stream"
ROOM: Final = "/api/rooms/{room}"
WHO: Final = "user"
"""What callers have to show; see `openapi.SECURITY`."""


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

    def __init__(
        self,
        rooms: RoomService,
        callers: Callers,
        budget: Budget,
        clock: Callable[[], float],
        bounds: Bounds,
    ) -> None:
        self._rooms = rooms
        self._callers = callers
        self._budget = budget
        self._clock = clock
        self._bounds = bounds

    def routes(self) -> list[Route]:
        """All of it, as lines of the table."""
        return [
            Route(
                "get_room",
                "GET",
                ROOM,
                "How many are there, and what you may do",
                self._get_room,
                "Room",
                query=("as",),
                needs=WHO,
                shared=True,
            ),
            Route(
                "list_members",
                "GET",
                f"{ROOM}/members",
                "Who is online, and who are the members",
                self._list_members,
                "Members",
                query=("all", "as"),
                needs=WHO,
                shared=True,
            ),
            Route(
                "list_messages",
                "GET",
                f"{ROOM}/messages",
                "A page of the room's messages, ascending",
                self._list_messages,
                "Messages",
                query=("before", "after", "limit", "as"),
                needs=WHO,
                shared=True,
            ),
            Route(
                "post_message",
                "POST",
                f"{ROOM}/messages",
                "Post a message; when it is answered, it is stored and reaches everybody",
                self._post_message,
                "Posted",
                status=201,
                body="NewMessage",
                binary=True,
                query=("id", "as"),
                needs=WHO,
                shared=True,
            ),
        ]

    # ------------------------------------------------------------ who asks

    async def _caller(self, request: web.Request, event: str) -> Caller:
        """Who asks for what the event asks for over a connection. Takes its price."""
        caller = await self._callers.caller(request, ROOMS)
        now = self._clock()
        if caller.identity is None:
            bucket = self._budget.key(caller.name, now)
        else:
            bucket = self._budget.user(caller.identity.user, now)
        if wait := bucket.take(now, COSTS.get(event, 1.0)):
            raise Refusal("rate_limited", retry_after=wait, limit="user_event_rate")
        return caller

    async def _visit(self, request: web.Request, caller: Caller, user: User | None) -> Visitor:
        # an operator's address is that of a back end, and has nothing to do with the user
        address = None if caller.operator else self._callers.address(request)
        return await self._rooms.visit(caller.acting(user), request.match_info["room"], address)

    # ------------------------------------------------------------ people

    async def _get_room(self, request: web.Request) -> web.Response:
        caller = await self._caller(request, "")
        query = _query(request, "as")
        visitor = await self._visit(request, caller, _user(query.get("as")))
        counts, permissions = await self._rooms.counts(visitor)
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
        caller = await self._caller(request, "members")
        query = _query(request, "all", "as")
        everybody = {"true": True, "false": False}.get(query.get("all", "false"))
        if everybody is None:
            raise Refusal("bad_request", "all is true or false")
        visitor = await self._visit(request, caller, _user(query.get("as")))
        return answer(wire.members_answer(*await self._rooms.members(visitor, everybody=everybody)))

    # ------------------------------------------------------------ messages

    async def _list_messages(self, request: web.Request) -> web.Response:
        caller = await self._caller(request, "history")
        query = _query(request, "before", "after", "limit", "as")
        numbers = {name: _number(query[name]) for name in query if name != "as"}
        wanted = wire.parse_history([numbers], self._bounds.messages)
        visitor = await self._visit(request, caller, _user(query.get("as")))
        page = await self._rooms.history(visitor, wanted)
        page = wire.cut_page(page, wanted, MANY, self._bounds.page)
        found = wire.history_answer(page, wanted)
        return answer(found, headers=_link(found, query))

    async def _post_message(self, request: web.Request) -> web.Response:
        caller = await self._caller(request, "message")
        if kind_of(request) == BYTES:
            options = _query(request, "id", "as")
            body: Any = bytes(await read(request, self._bounds.body, BYTES))
        else:
            _query(request)
            options = await read_object(request, self._bounds.body, JSON, BYTES)
            if "body" not in options:
                raise Refusal("bad_request", "body is what the message says")
            body = options.pop("body")
        user = _user(options.pop("as", None))
        if caller.identity is None and user is None:
            raise Refusal("bad_request", "an API key is nobody: say as whom it posts (as)")
        visitor = await self._visit(request, caller, user)
        wanted = wire.parse_send([body, options], self._rooms.max_body(visitor.room))
        published = await self._rooms.post(visitor, wanted)
        # the first time's answer is that of a message that is there already
        return answer(wire.published_answer(published), 200 if published.duplicate else 201)


MANY: Final = 2**53
"""Of binaries in a page: they are told as text, and count as bytes."""


def _query(request: web.Request, *names: str) -> dict[str, Any]:
    query = request.query
    if unknown := set(query) - {*names}:
        known = ", ".join(names) or "none"
        raise Refusal("bad_request", f"{min(unknown)[:64]!r} is not in the address: {known}")
    if len(query) != len(set(query)):
        raise Refusal("bad_request", "each field of the address once")
    return dict(query)


def _number(text: str) -> int | str:
    """For `wire`, which says what is wrong with a text."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 17 else text


def _user(value: Any) -> User | None:
    """Whoever it is in whose name an operator asks: an id, or {user, name}."""
    if value is None:
        return None
    if isinstance(value, str):
        value = {"user": value}
    if not isinstance(value, dict) or not {"user"} <= value.keys() <= {"user", "name"}:
        raise Refusal("bad_request", "as is a user's id, or {user, name}")
    user, name = value["user"], value.get("name", "")
    if not (isinstance(user, str) and isinstance(name, str)):
        raise Refusal("bad_request", "as is a user's id, or {user, name}")
    try:
        check_user_id(user)
    except ValueError as error:
        raise Refusal("bad_request", f"as: {error}") from None
    return User(user, clean_name(name) or user)


def _link(found: dict[str, Any], query: dict[str, Any]) -> dict[str, str]:
    """Where reading goes on in its direction (RFC 8288); relative, for we may be mounted."""
    if not found["more"]:
        return {}
    items = found["items"]
    kept: dict[str, object] = dict(query)
    if "after" in query:
        kept["after"] = items[-1]["offset"]
    else:
        kept["before"] = items[0]["offset"]
    return {"Link": f'<?{urlencode(kept)}>; rel="next"'}
