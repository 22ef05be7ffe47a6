"""Real servers that are killed while moderators are at work: each decision that lasts has its
event, and each event its decision."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from sioserver import remote
from sioserver.auth.api_keys import BYTES, make
from sioserver.client import RoomClient
from sioserver.model import EVERYWHERE
from sioserver.testing import ServerProcess
from tests import redis_servers
from tests.webhooks.kit import SECRET, Receiver

KEY, ENTRY = make("ops", ["admin"], b"o" * BYTES)
ROOM = "lobby"
PATHS = {EVERYWHERE: "/api/bans", ROOM: f"/api/rooms/{ROOM}/bans"}
AT_ONCE = 4
BETWEEN = 25
"""Bans that are acknowledged before the next server is killed."""
PATIENCE = 90.0
"""Seconds for any one thing that has to come, however busy the machine."""

WHOLE = 300.0
"""Seconds for a whole test."""

pytestmark = pytest.mark.timeout(WHOLE + 60)


def settings(**more: object) -> dict[str, object]:
    words: dict[str, object] = {
        "api.keys": str(ENTRY),
        "drain.seconds": 0,
        "limits.enabled": False,
        "presence.grace": 0.1,
        "presence.lease": 1,
    }
    return words | {name.replace("_", "."): value for name, value in more.items()}


def configuration(directory: Path, receiver: Receiver) -> Path:
    """The receiver shares a busy machine, too: a timeout that is too short is a failure after which
    servers rest, twice as long each time."""
    path = directory / "config.toml"
    path.write_text(
        f"""
        [[webhooks]]
        url = "{receiver.url}"
        secret = "{SECRET}"
        events = ["moderation"]
        timeout = 10
        batch = 7
        """
    )
    return path


class Moderators:
    """Some who ban one user after another, everywhere and in a room, at whatever server is there:
    who is not answered goes on with the next user."""

    def __init__(self, servers: Sequence[ServerProcess]) -> None:
        self.servers = servers
        self.acknowledged: set[tuple[str, str]] = set()
        self._news = asyncio.Condition()
        self._tasks = [asyncio.create_task(self._work(name)) for name in range(AT_ONCE)]

    async def _work(self, name: int) -> None:
        user = 0
        while True:
            for room, path in PATHS.items():
                user += 1
                whom = f"u{name}-{user}"
                server = self.servers[user // 2 % len(self.servers)]
                try:
                    await asyncio.to_thread(
                        remote.ask, server.url, KEY, "POST", path, {"user": whom}
                    )
                except remote.RemoteError:
                    await asyncio.sleep(0)
                    continue
                async with self._news:
                    self.acknowledged.add((room, whom))
                    self._news.notify_all()

    async def more(self, count: int) -> None:
        """Until so many more were acknowledged."""
        enough = len(self.acknowledged) + count
        async with asyncio.timeout(PATIENCE), self._news:
            await self._news.wait_for(lambda: len(self.acknowledged) >= enough)

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        found = await asyncio.gather(*self._tasks, return_exceptions=True)
        assert all(isinstance(one, asyncio.CancelledError) for one in found), found


async def in_force(server: ServerProcess) -> set[tuple[str, str]]:
    found: set[tuple[str, str]] = set()
    for room, path in PATHS.items():
        after = ""
        while True:
            page: dict[str, Any] = await asyncio.to_thread(
                remote.ask, server.url, KEY, "GET", f"{path}?limit=1000{after}"
            )
            found |= {(room, ban["user"]) for ban in page["items"]}
            if "next" not in page:
                break
            after = f"&after={page['next']}"
    return found


async def all_is_told(receiver: Receiver, server: ServerProcess, moderators: Moderators) -> None:
    """What was acknowledged holds; what holds is told, each once but for repetitions by its id; and
    nothing else is."""
    await moderators.stop()
    bans = await in_force(server)
    assert moderators.acknowledged <= bans

    def told() -> set[tuple[str, str]]:
        return {(event["room"], event["user"]) for event in receiver.events}

    await receiver.until(lambda: told() >= bans, PATIENCE)
    assert told() == bans
    assert len({event["id"] for event in receiver.events}) == len(bans)
    assert {(event["type"], event["what"]) for event in receiver.events} == {("moderation", "ban")}


async def test_a_server_that_is_killed_while_bans_are_made(tmp_path: Path) -> None:
    async with asyncio.timeout(WHOLE), AsyncExitStack() as stack:
        receiver = await stack.enter_async_context(Receiver())
        server = await stack.enter_async_context(
            ServerProcess(
                tmp_path / "rooms.db",
                config=configuration(tmp_path, receiver),
                settings=settings(),
            )
        )
        moderators = Moderators([server])
        for _ in range(3):
            await moderators.more(BETWEEN)
            await server.restart()
        await moderators.more(1)
        await all_is_told(receiver, server, moderators)


@pytest.mark.parametrize("shape", ["redis", "cluster"])
async def test_a_node_that_is_killed_while_bans_are_made(tmp_path: Path, shape: str) -> None:
    """Another sends what it had yet to send: everywhere, and where it had people."""
    async with asyncio.timeout(WHOLE), AsyncExitStack() as stack:
        if shape == "redis":
            redis = stack.enter_context(redis_servers.standalone(tmp_path))
            words = settings(redis_url=redis.tcp_url, redis_timeout=1)
        else:
            cluster = stack.enter_context(redis_servers.Cluster(tmp_path))
            words = settings(redis_url=cluster.url, redis_timeout=1)
        receiver = await stack.enter_async_context(Receiver())
        config = configuration(tmp_path, receiver)
        one, other = [
            await stack.enter_async_context(ServerProcess(config=config, settings=words))
            for _ in range(2)
        ]
        await stack.enter_async_context(RoomClient(one.url, ROOM, user="ann"))
        moderators = Moderators([one])
        await moderators.more(BETWEEN)
        await one.kill()
        await all_is_told(receiver, other, moderators)
