"""The users of Redis in docs/operations.md: enough for two nodes, and too little for more."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import redis
import socketio

from sioserver.client import Publisher, RoomClient
from sioserver.errors import Refusal
from sioserver.testing import ServerProcess
from sioserver.valkey import Valkey
from tests import redis_servers
from tests.redis_servers import acl_rules, ask

from .kit import take, until


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Valkey]:
    """Nobody but the two users may do anything, the default user included."""
    with redis_servers.standalone(tmp_path) as server:
        for name in ("chat", "emitter"):
            ask(server, "ACL", "SETUSER", *_rules(name))
        yield server


def _rules(name: str) -> list[str]:
    user, rules = acl_rules(name, "sioserver")
    return [user, *rules]


def _url(server: Valkey, user: str) -> str:
    return server.tcp_url.replace("://", f"://{user}:PASSWORD@")


async def test_two_nodes_live_on_it(guarded: Valkey) -> None:
    settings = {
        "redis.url": _url(guarded, "chat"),
        "drain.seconds": 0,
        "presence.grace": 0.05,
        "presence.batch": 0.05,
    }
    async with AsyncExitStack() as stack:
        servers = [ServerProcess(settings=settings) for _ in range(2)]
        await asyncio.gather(*(stack.enter_async_context(server) for server in servers))
        heard: list[tuple[object, ...]] = []
        ann, bob = [
            await stack.enter_async_context(
                RoomClient(server.url, "news", user=user, on_event=lambda *told: heard.append(told))
            )
            for server, user in zip(servers, ("ann", "bob"), strict=True)
        ]
        sent = await ann.send("hello")
        for client in (ann, bob):
            assert [message.body for message in await take(client, 1)] == ["hello"]
        outside = socketio.AsyncRedisManager(_url(guarded, "emitter"), write_only=True)
        await outside.emit("deployed", {"version": 7}, namespace="/news")
        await outside.redis.aclose()
        await until(lambda: heard.count(("deployed", {"version": 7})) == 2)
        async with Publisher(_url(guarded, "chat")) as publisher:
            published = await publisher.publish("news", "of a job", user="bot", id="1")
        assert published.offset == sent.offset + 1
        assert [message.body for message in await take(bob, 1)] == ["of a job"]
    denied = ask(guarded, "ACL", "LOG")
    assert [(one[5], one[7]) for one in denied] == []


async def test_who_emits_can_do_nothing_else(guarded: Valkey) -> None:
    with redis.Redis.from_url(_url(guarded, "emitter"), protocol=2) as emitter:
        emitter.publish("socketio", b"{}")
        for command in (
            ("PUBLISH", "sioserver:{news}", "m1:x:y"),
            ("GET", "sioserver:secret:recovery"),
            ("EVALSHA", "0" * 40, "0"),
            ("KEYS", "*"),
            ("FLUSHALL",),
        ):
            with pytest.raises(redis.exceptions.NoPermissionError):
                emitter.execute_command(*command)
    with pytest.raises(Refusal):
        async with Publisher(_url(guarded, "emitter"), timeout=0.3) as publisher:
            await publisher.publish("news", "forged", user="ann", timeout=0.3)


async def test_the_server_can_do_nothing_outside_of_its_prefix(guarded: Valkey) -> None:
    with redis.Redis.from_url(_url(guarded, "chat"), protocol=2) as chat:
        chat.set("sioserver:x", "1")
        for command in (
            ("GET", "other:x"),
            ("PUBLISH", "other", "x"),
            ("KEYS", "*"),
            ("CONFIG", "GET", "*"),
            ("FLUSHALL",),
            ("CLIENT", "LIST"),
            ("EVAL", "return 1", "0"),
        ):
            with pytest.raises(redis.exceptions.NoPermissionError):
                chat.execute_command(*command)
