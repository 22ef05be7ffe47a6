"""The operator's HTTP API, `/api/...`: JSON in, JSON out, refusals in the shape of all others.

Who asks shows an API key or a token in a header. There are no cookies and no CORS headers, and the
pages of other sites are refused besides, so that none can ask in somebody's name. What is done is
decided below.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec
import orjson
from aiohttp import web

from sioserver import admission
from sioserver.admin import NEEDED, Admin
from sioserver.admission import Admission
from sioserver.api.bodies import read
from sioserver.api.headers import ANSWER
from sioserver.auth.bearer import bearer
from sioserver.config.api_keys import ADMIN
from sioserver.errors import Refusal
from sioserver.metrics import Metrics
from sioserver.model import Revocation

MAX_BODY: Final = 16_384
PAGE: Final = 100
MAX_PAGE: Final = 1000

KINDS: Final = {"tokens": "token", "users": "user", "all": "all"}
"""What rules are called in an address -> elsewhere."""

Guard = Callable[[web.Request, str], Awaitable[str]]
"""Lets those in who may do what the word says, and answers with a name for the log. Raises
`Refusal`, and `web.HTTPNotFound` where nobody may."""


class _Wanted(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The body of a POST."""

    user: str | None = None
    token: str | None = None
    before: float | None = None
    until: float | None = None


def guard(
    admin: Admin,
    admit: Admission,
    metrics: Metrics,
    clock: Callable[[], float],
    address: Callable[[web.Request], str],
    welcome: Callable[[web.Request], bool] = lambda request: True,
) -> Guard:
    """Who may ask? A name for the log. Wrong keys and tokens are paced by address, as those of
    clients are: then none is looked at, but a good key is always good. `welcome`: may the page ask
    that a browser sends this request for? What it shows is not looked at otherwise."""

    async def let_in(request: web.Request, perm: str) -> str:
        if not admin.reachable:
            raise web.HTTPNotFound
        if not welcome(request):
            metrics.count_admin_refusal("forbidden")
            raise Refusal("forbidden", "pages of this origin may not ask")
        shown, token = _shown(request)
        name = None if shown is None else admin.by_key(shown, perm)
        if name is not None:
            return name
        whose = admission.whose(address(request))
        wait = admit.try_token(whose, clock()) if shown is not None else 0.0
        if wait:
            metrics.count_admin_refusal("rate_limited")
            raise Refusal("rate_limited", "too many bad keys; try later", retry_after=wait)
        try:
            if token is None:
                raise Refusal("unauthorized", NEEDED)
            return await admin.by_token(token)
        except Refusal as error:
            if error.code == "unauthorized" and shown is not None:
                admit.token_was_bad(whose, clock())
            metrics.count_admin_refusal(error.code)
            raise

    return let_in


def _shown(request: web.Request) -> tuple[str | None, str | None]:
    """What may be a key, and what may be a token."""
    token = bearer(request.headers.get("Authorization"))
    return request.headers.get("X-API-Key", "").strip() or token, token


def routes(admin: Admin, let_in: Guard) -> list[web.RouteDef]:
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
        return _answer({"ok": True, "revocation": _shape(rule)})

    async def listed(request: web.Request) -> web.Response:
        await let_in(request, ADMIN)
        limit, after = _page(request)
        rules, more = await admin.revocations(after, limit)
        answer: dict[str, Any] = {"ok": True, "items": [_shape(rule) for rule in rules]}
        if more:
            answer["next"] = f"{rules[-1].kind}:{rules[-1].id}"
        return _answer(answer)

    async def lift(request: web.Request) -> web.Response:
        by = await let_in(request, ADMIN)
        kind = KINDS[request.match_info["kind"]]
        if not await admin.lift(kind, request.match_info.get("id", ""), by):
            raise web.HTTPNotFound
        return _answer({"ok": True})

    return [
        web.post("/api/revocations", revoke),
        web.get("/api/revocations", listed),
        web.delete("/api/revocations/{kind:tokens|users}/{id:.+}", lift),
        web.delete("/api/revocations/{kind:all}", lift),
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


def _answer(answer: dict[str, Any]) -> web.Response:
    headers = {**ANSWER, "Content-Type": "application/json; charset=utf-8"}
    return web.Response(body=orjson.dumps(answer), headers=headers)
