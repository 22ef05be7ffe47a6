"""Revocations by HTTP, for operators: JSON in, JSON out, refusals in the shape of all others.

No answer has CORS headers, so that no page of another site can ask in somebody's name. What is done
is decided below.
"""

from __future__ import annotations

import math
from typing import Any, Final

import msgspec
from aiohttp import web

from sioserver.admin import Admin
from sioserver.api.answers import answer
from sioserver.api.bodies import read
from sioserver.api.callers import Guard
from sioserver.api.shapes import Revocations, Revoke, Revoked
from sioserver.api.table import Route
from sioserver.config.api_keys import ADMIN
from sioserver.errors import Refusal
from sioserver.model import Revocation
from sioserver.protocol.shapes import Done

RULES: Final = "/api/revocations"
WHO: Final = "admin"
"""What callers have to show; see `openapi.SECURITY`."""

MAX_BODY: Final = 16_384
PAGE: Final = 100
MAX_PAGE: Final = 1000

KINDS: Final = {"tokens": "token", "users": "user", "all": "all"}
"""What rules are called in an address -> elsewhere."""


class _Wanted(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The body of a POST."""

    user: str | None = None
    token: str | None = None
    before: float | None = None
    until: float | None = None


def routes(admin: Admin, let_in: Guard) -> list[Route]:
    """`/api/revocations`."""

    async def revoke(request: web.Request) -> web.Response:
        by = await let_in(request, ADMIN)
        wanted = await _read(request)
        if wanted.token is not None:
            if wanted.user is not None or wanted.before is not None:
                raise Refusal("bad_request", "a token is revoked by itself: no user, no before")
            rule = await admin.revoke_token(wanted.token, wanted.until, by)
        elif wanted.user is not None:
            rule = await admin.revoke_user(wanted.user, wanted.before, wanted.until, by)
        elif wanted.before is not None:
            rule = await admin.revoke_all(wanted.before, wanted.until, by)
        else:
            raise Refusal("bad_request", "name what is revoked: user, token or before")
        return answer({"ok": True, "revocation": _shape(rule)})

    async def listed(request: web.Request) -> web.Response:
        await let_in(request, ADMIN)
        limit, after = _page(request)
        rules, more = await admin.revocations(after, limit)
        found: dict[str, Any] = {"ok": True, "items": [_shape(rule) for rule in rules]}
        if more:
            found["next"] = f"{rules[-1].kind}:{rules[-1].id}"
        return answer(found)

    async def lift(request: web.Request) -> web.Response:
        by = await let_in(request, ADMIN)
        kind = KINDS[request.match_info["kind"]]
        if not await admin.lift(kind, request.match_info.get("id", ""), by):
            raise Refusal("not_found", "there is no such rule")
        return answer({"ok": True})

    return [
        Route(
            "revoke",
            "POST",
            RULES,
            "Refuse tokens before they expire",
            revoke,
            Revoked,
            body=Revoke,
            needs=WHO,
        ),
        Route(
            "list_revocations",
            "GET",
            RULES,
            "The rules in force, by kind and id",
            listed,
            Revocations,
            query=("limit", "after_rule"),
            needs=WHO,
        ),
        Route(
            "lift_revocation",
            "DELETE",
            RULES + "/{kind:tokens|users}/{id:.+}",
            "End a rule before its time",
            lift,
            Done,
            needs=WHO,
        ),
        Route(
            "lift_revocation_of_all",
            "DELETE",
            RULES + "/{kind:all}",
            "End the rule about everybody's tokens",
            lift,
            Done,
            needs=WHO,
        ),
    ]


async def _read(request: web.Request) -> _Wanted:
    body = await read(request, MAX_BODY)
    try:
        wanted = msgspec.json.decode(body, type=_Wanted)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Refusal("bad_request", f"the body is not understood: {error}") from None
    if not all(math.isfinite(time) for time in (wanted.before, wanted.until) if time is not None):
        raise Refusal("bad_request", "a time is a number of seconds since 1970")
    return wanted


def _page(request: web.Request) -> tuple[int, tuple[str, str] | None]:
    text = request.query.get("limit", str(PAGE))
    limit = int(text) if text.isascii() and text.isdigit() and len(text) < 6 else 0
    if not 0 < limit <= MAX_PAGE:
        raise Refusal("bad_request", f"limit is a number from 1 to {MAX_PAGE}")
    after = request.query.get("after")
    if after is None:
        return limit, None
    kind, colon, id = after.partition(":")
    if not colon:
        raise Refusal("bad_request", "after is what the page before called next")
    return limit, (kind, id)


def _shape(rule: Revocation) -> dict[str, Any]:
    """A rule as it is told."""
    what: dict[str, Any] = {"until": rule.until}
    if rule.kind != "token":
        what["before"] = rule.before
    if rule.kind != "all":
        what[rule.kind] = rule.id
    return what
