"""Bans and mutes in all rooms by HTTP, for operators. (In one room: `rooms_moderation`.)

What is decided here binds moderators, too. What that means is for `sioserver.moderation`.
"""

from __future__ import annotations

from typing import Any, Final

from aiohttp import web

from sioserver import wire
from sioserver.api.admin import MAX_BODY, WHO
from sioserver.api.answers import answer
from sioserver.api.bodies import read_object
from sioserver.api.callers import Guard
from sioserver.api.table import Route
from sioserver.api.visits import number, query
from sioserver.config.api_keys import ADMIN
from sioserver.errors import Refusal
from sioserver.model import EVERYWHERE, SanctionKind
from sioserver.moderation import Lift, Moderation
from sioserver.protocol import answers, requests, shapes

LOG: Final = "/api/moderation_log"


def routes(moderation: Moderation, let_in: Guard) -> list[Route]:
    """`/api/bans`, `/api/mutes` and `/api/moderation_log`."""

    async def log(request: web.Request) -> web.Response:
        await let_in(request, ADMIN)
        wanted = wire.parse_log([_asked(request, "before", "limit")])
        return answer(wire.log_answer(*await moderation.log_in(EVERYWHERE, wanted)))

    return [
        *_about(moderation, let_in, "ban", "unban"),
        *_about(moderation, let_in, "mute", "unmute"),
        Route(
            "moderation_log_everywhere",
            "GET",
            LOG,
            "What was decided about all rooms, newest first",
            log,
            answers.ModerationLog,
            query=("before_act", "limit"),
            needs=WHO,
        ),
    ]


def _about(moderation: Moderation, let_in: Guard, kind: SanctionKind, end: Lift) -> list[Route]:
    async def impose(request: web.Request) -> web.Response:
        by = await let_in(request, ADMIN)
        _asked(request)
        order = wire.order(await read_object(request, MAX_BODY), kind)
        sanction = await moderation.impose_in(EVERYWHERE, kind, order, by)
        return answer({"ok": True, **wire.sanction_payload(sanction)})

    async def listed(request: web.Request) -> web.Response:
        await let_in(request, ADMIN)
        wanted = wire.parse_bans([{"kind": kind, **_asked(request, "after", "limit")}])
        found = await moderation.bans_in(EVERYWHERE, wanted)
        return answer(wire.bans_answer(*found))

    async def lift(request: web.Request) -> web.Response:
        by = await let_in(request, ADMIN)
        _asked(request)
        if not await moderation.lift_in(EVERYWHERE, end, request.match_info["user"], by):
            raise Refusal("not_found", f"there is no {kind} of this user in all rooms")
        return answer({"ok": True})

    path = f"/api/{kind}s"
    return [
        Route(
            f"{kind}_everywhere",
            "POST",
            path,
            f"{kind.capitalize()} a user in all rooms",
            impose,
            answers.Decided,
            body=requests.BanOptions if kind == "ban" else requests.MuteOptions,
            needs=WHO,
        ),
        Route(
            f"list_{kind}s_everywhere",
            "GET",
            path,
            f"The {kind}s in all rooms, by user",
            listed,
            answers.Bans,
            query=("limit", "after_user"),
            needs=WHO,
        ),
        Route(
            f"{end}_everywhere",
            "DELETE",
            path + "/{user:.+}",
            f"End a {kind} before its time",
            lift,
            shapes.Done,
            needs=WHO,
        ),
    ]


def _asked(request: web.Request, *names: str) -> dict[str, Any]:
    asked = query(request, *names)
    return {name: text if name == "after" else number(text) for name, text in asked.items()}
