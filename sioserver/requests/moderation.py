"""Requests of moderators: about people, the room's settings, and what was done before."""

from __future__ import annotations

from typing import Any

from sioserver import wire
from sioserver.connections.clients import ConnectedClient
from sioserver.requests.handler import Answer, Handlers
from sioserver.rooms import RoomService


class Moderation:
    """`kick`, `mute`, `ban` and their ends, `bans`, `settings`, `moderation_log`."""

    def __init__(self, rooms: RoomService) -> None:
        self._service = rooms.moderation
        self.in_room: Handlers = {
            "kick": self._kick,
            "mute": self._mute,
            "unmute": self._unmute,
            "ban": self._ban,
            "unban": self._unban,
            "bans": self._bans,
            "settings": self._settings,
            "moderation_log": self._log,
        }

    async def _kick(self, client: ConnectedClient, args: list[Any]) -> Answer:
        await self._service.kick(client, wire.parse_kick(args))
        return {"ok": True}

    async def _mute(self, client: ConnectedClient, args: list[Any]) -> Answer:
        sanction = await self._service.mute(client, wire.parse_mute(args))
        return {"ok": True, **wire.sanction_payload(sanction)}

    async def _unmute(self, client: ConnectedClient, args: list[Any]) -> Answer:
        await self._service.lift(client, "unmute", wire.parse_lift(args, "unmute"))
        return {"ok": True}

    async def _ban(self, client: ConnectedClient, args: list[Any]) -> Answer:
        sanction = await self._service.ban(client, wire.parse_ban(args))
        return {"ok": True, **wire.sanction_payload(sanction)}

    async def _unban(self, client: ConnectedClient, args: list[Any]) -> Answer:
        await self._service.lift(client, "unban", wire.parse_lift(args, "unban"))
        return {"ok": True}

    async def _bans(self, client: ConnectedClient, args: list[Any]) -> Answer:
        return wire.bans_answer(*await self._service.bans(client, wire.parse_bans(args)))

    async def _settings(self, client: ConnectedClient, args: list[Any]) -> Answer:
        settings = await self._service.configure(client, wire.parse_settings(args))
        return {"ok": True, **wire.settings_payload(settings)}

    async def _log(self, client: ConnectedClient, args: list[Any]) -> Answer:
        return wire.log_answer(*await self._service.log(client, wire.parse_log(args)))
