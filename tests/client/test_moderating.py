"""What who may moderate asks of a room, of a running server."""

from __future__ import annotations

from typing import Any

import pytest

from sioserver.client import RoomClient
from sioserver.errors import Disconnect, Refusal

from .kit import serve, take, token, until, with_tokens


async def test_moderating() -> None:
    words = ["join", "read", "history", "post", "moderate"]
    notices: list[str] = []

    def heard(name: str, *args: Any) -> None:
        if name == "notice":
            notices.append(args[0]["code"])

    async with serve(with_tokens()) as served:
        mod = RoomClient(served.url, token=token("mod", perms={"*": words}))
        eve = RoomClient(served.url, token=token("eve"), on_event=heard)
        async with mod, eve:
            await mod.change_settings(topic="tea", slow_mode=0.0, read_only=True)
            await until(lambda: (eve.topic, eve.read_only) == ("tea", True))
            with pytest.raises(Refusal, match="read-only"):
                await eve.send("hello")
            await mod.change_settings(read_only=None)
            await until(lambda: not eve.read_only)

            await mod.mute("eve", 600, reason="spam")
            await until(lambda: notices == ["muted"])
            with pytest.raises(Refusal, match="spam") as refused:
                await eve.send("hello")  # at once: it is not sent again for ten minutes
            assert refused.value.code == "muted"
            assert [item["user"] for item in await mod.bans(muted=True)] == ["eve"]
            await mod.unmute("eve")
            await eve.send("hello")

            await mod.ban("eve", seconds=600)
            with pytest.raises(Disconnect, match="you are banned") as ended:
                await take(eve, 2)
            assert ended.value.code == "banned"
            assert [item["user"] for item in await mod.bans()] == ["eve"]
            assert await mod.bans(after="eve") == []
            with pytest.raises(Refusal) as kept_out:
                async with RoomClient(served.url, token=token("eve")):
                    pass
            assert kept_out.value.code == "banned"
            await mod.unban("eve")
            async with RoomClient(served.url, token=token("eve")) as again:
                assert again.topic == "tea"
                await mod.kick("eve")
                with pytest.raises(Disconnect):
                    await take(again, 2)
            log = await mod.moderation_log()
            whats = ["kick", "unban", "ban", "unmute", "mute", "settings", "settings"]
            assert [act["what"] for act in log] == whats
            assert await mod.moderation_log(before=log[-1]["number"]) == []
