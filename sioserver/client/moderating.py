"""What who may moderate asks of a room.

Requests only: what comes of them is told as events, and who may is the server's to say.
"""

from __future__ import annotations

from typing import Any

from sioserver.client.opened import Opened


class Moderating(Opened):
    """Part of `RoomClient`. All of it needs the permission `moderate`."""

    async def kick(self, user: str, *, reason: str = "") -> None:
        """End all clients of a user in the room; they may come again."""
        await self._line.ask("kick", {"user": user, "reason": reason})

    async def mute(self, user: str, seconds: int, *, reason: str = "") -> None:
        """Keep a user quiet."""
        await self._line.ask("mute", {"user": user, "seconds": seconds, "reason": reason})

    async def unmute(self, user: str) -> None:
        """End a mute before its time."""
        await self._line.ask("unmute", {"user": user})

    async def ban(
        self, user: str, *, seconds: int = 0, reason: str = "", address: bool = False
    ) -> None:
        """Put a user out and keep them out, for good unless there are `seconds`; with `address`
        also whoever comes from where they are connected from."""
        wanted = {"user": user, "seconds": seconds, "reason": reason, "address": address}
        await self._line.ask("ban", wanted)

    async def unban(self, user: str) -> None:
        """End a ban before its time."""
        await self._line.ask("unban", {"user": user})

    async def bans(self, *, muted: bool = False, after: str | None = None) -> list[dict[str, Any]]:
        """Those in force, as in docs/moderation.md, by user: some behind the user `after`, none
        when there are no more."""
        wanted = {"kind": "mute" if muted else "ban", "after": after}
        items: list[dict[str, Any]] = (await self._line.ask("bans", wanted))["items"]
        return items

    async def change_settings(self, **changes: Any) -> None:
        """Change the room's `topic`, `slow_mode` or `read_only`; None: as it was configured."""
        await self._line.ask("settings", changes)

    async def moderation_log(self, *, before: int | None = None) -> list[dict[str, Any]]:
        """What was done, as in docs/moderation.md, newest first: some before the number `before`,
        none when there is no more."""
        wanted = {} if before is None else {"before": before}
        items: list[dict[str, Any]] = (await self._line.ask("moderation_log", wanted))["items"]
        return items
