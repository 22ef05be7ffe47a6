"""Requests about a room: who asks, at what price, about which room, in whose name.

The parts that all of them have, in the table and in an HTTP request; what is asked for is for
others.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from aiohttp import web

from sioserver.actors import Visitor
from sioserver.api.callers import Caller, Callers
from sioserver.api.table import Handler, Route
from sioserver.auth.names import check_user_id, clean_name
from sioserver.config.api_keys import ROOMS
from sioserver.errors import Refusal
from sioserver.limits import COSTS, Budget
from sioserver.model import User
from sioserver.visitors import Visitors

ROOM: Final = "/api/rooms/{room}"
WHO: Final = "user"
"""What callers have to show; see `openapi.SECURITY`."""


class Visits:
    """Makes visitors of requests. Methods raise `Refusal`."""

    def __init__(
        self,
        visitors: Visitors,
        callers: Callers,
        budget: Budget,
        clock: Callable[[], float],
    ) -> None:
        self._visitors = visitors
        self._callers = callers
        self._budget = budget
        self._clock = clock

    async def caller(self, request: web.Request, event: str) -> Caller:
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

    async def visit(
        self, request: web.Request, caller: Caller, user: User | None = None
    ) -> Visitor:
        address = self.address(request, caller)
        return await self._visitors.visit(caller.acting(user), request.match_info["room"], address)

    def address(self, request: web.Request, caller: Caller) -> str | None:
        """The user's. An operator's is that of a back end, and has nothing to do with the user."""
        return None if caller.operator else self._callers.address(request)

    async def of(self, request: web.Request, event: str, *names: str) -> Visitor:
        """The visitor of a request that has nothing but an address, with these fields in its query,
        and `as`."""
        caller = await self.caller(request, event)
        asked = query(request, *names, "as")
        return await self.visit(request, caller, user_of(asked.get("as")))


def room_route(
    name: str,
    method: str,
    path: str,
    summary: str,
    handler: Handler,
    answered: Any,
    *,
    status: int = 200,
    body: Any = None,
    binary: bool = False,
    query: tuple[str, ...] = (),
) -> Route:
    """A line of the table about one room, for whoever shows who they are; an operator says as whom.
    `path`: behind the room's."""
    return Route(
        name,
        method,
        ROOM + path,
        summary,
        handler,
        answered,
        status,
        body,
        binary,
        (*query, "as"),
        WHO,
        shared=True,
    )


def query(request: web.Request, *names: str) -> dict[str, Any]:
    found = request.query
    if unknown := set(found) - {*names}:
        known = ", ".join(names) or "none"
        raise Refusal("bad_request", f"{min(unknown)[:64]!r} is not in the address: {known}")
    if len(found) != len(set(found)):
        raise Refusal("bad_request", "each field of the address once")
    return dict(found)


def number(text: str) -> int | str:
    """For `wire`, which says what is wrong with a text."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 17 else text


def user_of(value: Any) -> User | None:
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
