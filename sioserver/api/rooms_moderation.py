"""Moderation of a room by HTTP: for its moderators, by their own tokens, and for operators.

Who may, and what it does, is decided by `sioserver.moderation`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from sioserver import wire
from sioserver.actors import Visitor
from sioserver.api.answers import answer
from sioserver.api.bodies import read_object
from sioserver.api.table import Route
from sioserver.api.visits import Visits, number, query, room_route, user_of
from sioserver.model import Sanction
from sioserver.moderation import Lift, Moderation
from sioserver.protocol import answers, requests, shapes

MAX_BODY = 16_384


class RoomModeration:
    """What can be asked for."""

    def __init__(self, moderation: Moderation, visits: Visits) -> None:
        self._moderation = moderation
        self._visits = visits

    def routes(self) -> list[Route]:
        """All of it, as lines of the table."""
        moderation = self._moderation
        return [
            room_route(
                "get_settings",
                "GET",
                "/settings",
                "How the room is set",
                self._get,
                answers.Settings,
            ),
            room_route(
                "change_settings",
                "PATCH",
                "/settings",
                "Set the room",
                self._change,
                answers.Settings,
                body=requests.SettingsOptions,
            ),
            room_route(
                "kick",
                "POST",
                "/kicks",
                "End a user's connections to the room",
                self._decide("kick", moderation.kick, wire.parse_kick),
                answers.Decided,
                body=requests.KickOptions,
            ),
            room_route(
                "mute",
                "POST",
                "/mutes",
                "Keep a user quiet",
                self._decide("mute", moderation.mute, wire.parse_mute),
                answers.Decided,
                body=requests.MuteOptions,
            ),
            room_route(
                "ban",
                "POST",
                "/bans",
                "Put a user out, and keep them out",
                self._decide("ban", moderation.ban, wire.parse_ban),
                answers.Decided,
                body=requests.BanOptions,
            ),
            room_route(
                "list_mutes",
                "GET",
                "/mutes",
                "Who is kept quiet, by user",
                self._list("mute"),
                answers.Bans,
                query=("after_user", "limit"),
            ),
            room_route(
                "list_bans",
                "GET",
                "/bans",
                "Who is kept out, by user",
                self._list("ban"),
                answers.Bans,
                query=("after_user", "limit"),
            ),
            room_route(
                "unmute",
                "DELETE",
                "/mutes/{user:.+}",
                "Let a user speak again",
                self._lift("unmute"),
                shapes.Done,
            ),
            room_route(
                "unban",
                "DELETE",
                "/bans/{user:.+}",
                "Let a user come again",
                self._lift("unban"),
                shapes.Done,
            ),
            room_route(
                "moderation_log",
                "GET",
                "/moderation_log",
                "What moderators did, newest first",
                self._log,
                answers.ModerationLog,
                query=("before_act", "limit"),
            ),
        ]

    # ------------------------------------------------------------ people

    def _decide(
        self,
        event: str,
        decide: Callable[[Visitor, wire.Order], Awaitable[Sanction]],
        parse: Callable[[list[Any]], wire.Order],
    ) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def handle(request: web.Request) -> web.Response:
            visitor, wanted = await self._wanted(request, event)
            sanction = await decide(visitor, parse([wanted]))
            return answer({"ok": True, **wire.sanction_payload(sanction)})

        return handle

    def _lift(self, what: Lift) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def handle(request: web.Request) -> web.Response:
            visitor = await self._visits.of(request, what)
            user = wire.parse_lift([{"user": request.match_info["user"]}], what)
            await self._moderation.lift(visitor, what, user)
            return answer({"ok": True})

        return handle

    def _list(self, kind: str) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def handle(request: web.Request) -> web.Response:
            visitor = await self._visits.of(request, "bans", "after", "limit")
            asked = _asked(request, "after", "limit")
            found = await self._moderation.bans(visitor, wire.parse_bans([{"kind": kind, **asked}]))
            return answer(wire.bans_answer(*found))

        return handle

    async def _log(self, request: web.Request) -> web.Response:
        visitor = await self._visits.of(request, "moderation_log", "before", "limit")
        wanted = wire.parse_log([_asked(request, "before", "limit")])
        return answer(wire.log_answer(*await self._moderation.log(visitor, wanted)))

    # ------------------------------------------------------------ the room

    async def _get(self, request: web.Request) -> web.Response:
        visitor = await self._visits.of(request, "")
        settings = self._moderation.settings(visitor)
        return answer({"ok": True, **wire.settings_payload(settings)})

    async def _change(self, request: web.Request) -> web.Response:
        visitor, wanted = await self._wanted(request, "settings")
        settings = await self._moderation.configure(visitor, wire.parse_settings([wanted]))
        return answer({"ok": True, **wire.settings_payload(settings)})

    async def _wanted(self, request: web.Request, event: str) -> tuple[Visitor, dict[str, Any]]:
        caller = await self._visits.caller(request, event)
        asked = query(request, "as")
        wanted = await read_object(request, MAX_BODY)
        return await self._visits.visit(request, caller, user_of(asked.get("as"))), wanted


def _asked(request: web.Request, *names: str) -> dict[str, Any]:
    found = {name: request.query[name] for name in names if name in request.query}
    return {name: text if name == "after" else number(text) for name, text in found.items()}
