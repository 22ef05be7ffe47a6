"""Somebody is put out or kept quiet at one node: it holds at another within a second, and after
everything was started again."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import jwt
import pytest
from socketio.exceptions import ConnectionError as ConnectionFailed

from sioserver import remote
from sioserver.auth.api_keys import BYTES, make
from sioserver.client import Transport
from sioserver.testing import ServerProcess
from sioserver.valkey import Valkey

from ..redis_servers import free_port
from .kit import Bare, nodes, until

SECRET = "correct horse battery staple, and more"
KEY, ENTRY = make("ops", ["admin"], b"o" * BYTES)
SETTINGS = {"auth.secret": SECRET, "api.keys": str(ENTRY)}
WORDS = ["join", "read", "history", "post", "moderate"]


def token(user: str, **claims: Any) -> str:
    return jwt.encode({"sub": user, "exp": time.time() + 600, **claims}, SECRET, "HS256")


def moderator(url: str) -> Bare:
    return Bare(url, "websocket", token=token("mod", perms={"*": WORDS}))


async def operate(server: ServerProcess, method: str, path: str, body: Any = None) -> Any:
    return await asyncio.to_thread(remote.ask, server.url, KEY, method, path, body)


async def comes_in(client: Bare) -> bool:
    """False: it is refused, because its user is banned."""
    refused: list[Any] = []
    client.sio.on("connect_error", refused.append, namespace="/lobby")
    try:
        await client.__aenter__()
    except ConnectionFailed:
        assert [one["data"]["code"] for one in refused] == ["banned"]
        return False
    return True


async def is_kept_out(url: str, user: str) -> bool:
    client = Bare(url, "websocket", token=token(user))
    try:
        return not await comes_in(client)
    finally:
        await client.__aexit__()


@pytest.mark.parametrize("transport", ["websocket", "polling"])
async def test_within_a_second_everywhere(
    transport: Transport, tmp_path: Path, record_property: Any
) -> None:
    async with AsyncExitStack() as stack:
        valkey = stack.enter_context(Valkey(tmp_path, port=free_port()))
        a, b = await stack.enter_async_context(nodes(2, valkey.tcp_url, settings=SETTINGS))
        mod = await stack.enter_async_context(moderator(a.url))

        async def enter(user: str, room: str = "lobby") -> Bare:
            client = Bare(b.url, transport, room, token=token(user))
            return await stack.enter_async_context(client)

        async def within_a_second(what: str, begin: Any, condition: Any) -> None:
            at = time.monotonic()
            answer = await begin
            assert answer["ok"], answer
            await until(condition, timeout=5)
            took = time.monotonic() - at
            record_property(what, f"{took:.3f} s")
            assert took < 1.0, what

        eve, ann = [await enter("eve") for _ in range(3)], await enter("ann")
        await within_a_second(
            "kick",
            mod.call("kick", {"user": "eve", "reason": "enough"}),
            lambda: all(client.disconnects for client in eve),
        )
        told = {(notice["code"], notice["reconnect"]) for c in eve for notice in c.notices}
        assert told == {("kicked", False)}
        eve = [await enter("eve")]
        await within_a_second(
            "mute", mod.call("mute", {"user": "eve", "seconds": 60}), lambda: eve[0].notices
        )
        refused = (await eve[0].call("message", "hello"))["error"]
        assert (refused["code"], refused["temporary"]) == ("muted", True)
        assert 0 < refused["retry_after"] <= 60
        assert (await ann.call("message", "hello"))["ok"]
        await within_a_second(
            "settings",
            mod.call("settings", {"read_only": True, "topic": "tea"}),
            lambda: ann.settings and ann.settings[-1]["read_only"],
        )
        assert (await ann.call("message", "hello"))["error"]["code"] == "forbidden"
        assert (await mod.call("settings", {"read_only": None}))["ok"]
        await within_a_second("ban", mod.call("ban", {"user": "eve"}), lambda: eve[0].disconnects)
        assert eve[0].notices[-1]["code"] == "banned"
        assert await is_kept_out(a.url, "eve")
        assert await is_kept_out(b.url, "eve")
        assert (await mod.call("unban", {"user": "eve"}))["ok"]
        eve = [await enter("eve"), await enter("eve", "other")]
        await within_a_second(
            "ban everywhere",
            operate(a, "POST", "/api/bans", {"user": "eve", "reason": "spam"}),
            lambda: all(client.disconnects for client in eve),
        )
        assert not ann.disconnects
        assert (await ann.call("message", "still here"))["ok"]


@pytest.mark.parametrize("shared", [False, True], ids=["embedded", "redis"])
async def test_it_holds_after_everything_was_started_again(tmp_path: Path, shared: bool) -> None:
    settings: dict[str, object] = {**SETTINGS}
    store = tmp_path / "rooms.db"
    async with AsyncExitStack() as stack:
        if shared:
            valkey = stack.enter_context(Valkey(tmp_path, port=free_port()))
            settings |= {"redis.url": valkey.tcp_url, "redis.prefix": "again"}
        async with (
            ServerProcess(store=store, settings=settings) as server,
            moderator(server.url) as mod,
        ):
            assert (await mod.call("ban", {"user": "eve", "reason": "spam"}))["ok"]
            assert (await mod.call("mute", {"user": "ann", "seconds": 600}))["ok"]
            assert (await mod.call("settings", {"topic": "tea"}))["ok"]
            await operate(server, "POST", "/api/bans", {"user": "tom"})
            await server.kill()
        async with (
            ServerProcess(store=store, settings=settings) as server,
            moderator(server.url) as mod,
        ):
            assert await is_kept_out(server.url, "eve")
            assert await is_kept_out(server.url, "tom")
            async with Bare(server.url, "websocket", token=token("ann")) as ann:
                assert ann.welcomes[0]["topic"] == "tea"
                assert (await ann.call("message", "hello"))["error"]["code"] == "muted"
            log = await mod.call("moderation_log")
            assert [act["what"] for act in log["items"]] == ["settings", "mute", "ban"]


async def test_nobody_slips_in_while_they_are_banned(tmp_path: Path) -> None:
    """Clients come as fast as they can at one node, while their user is banned at another: whoever
    got in is put out."""
    async with AsyncExitStack() as stack:
        valkey = stack.enter_context(Valkey(tmp_path, port=free_port()))
        a, b = await stack.enter_async_context(nodes(2, valkey.tcp_url, settings=SETTINGS))
        mod = await stack.enter_async_context(moderator(a.url))
        clients = [Bare(b.url, "websocket", token=token("eve")) for _ in range(20)]

        async def come(client: Bare, after: float) -> bool:
            await asyncio.sleep(
                after
            )  # one behind the other, so that the ban is between some of them
            stack.push_async_exit(client)
            return await comes_in(client)

        coming = [asyncio.create_task(come(one, n * 0.01)) for n, one in enumerate(clients)]
        await until(lambda: any(client.welcomes for client in clients))
        assert (await mod.call("ban", {"user": "eve"}))["ok"]
        got_in = await asyncio.gather(*coming)
        inside = [client for client, yes in zip(clients, got_in, strict=True) if yes]
        assert inside
        await until(lambda: all(client.disconnects for client in inside), timeout=5)
