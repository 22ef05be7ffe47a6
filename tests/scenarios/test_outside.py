"""What docs/cluster-from-outside.md says works, against two real workers."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from sioserver.client import RoomClient
from sioserver.model import Message
from sioserver.testing import ServerProcess
from sioserver.valkey import Valkey
from tests import redis_servers

from ..interop import kit as interop

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = ROOT / "docs" / "cluster-from-outside.md"
URL = "redis://127.0.0.1:6379/0"
CLIENTS = 8
PATIENCE = 60.0

PARTS = re.findall(r"^```(python|js)\n(.*?)^```", DOCUMENT.read_text(), re.M | re.S)
PUBLISHING, EMITTING, SIGNED, FROM_NODE, SIGNED_FROM_NODE = (code for _, code in PARTS)
SECRET = "the bus_secret of the servers' file"


class Crowd:
    """Clients on both workers, and the events that each of them has heard."""

    def __init__(self, redis: Valkey) -> None:
        self.redis = redis
        self.clients: list[RoomClient] = []
        self.heard: list[list[Any]] = [[] for _ in range(CLIENTS)]

    def listener(self, number: int) -> Any:
        def hear(name: str, *args: Any) -> None:
            if name in ("deployed", "forged"):
                self.heard[number].append(args)

        return hear

    async def all_heard(self, *events: Any) -> None:
        async with asyncio.timeout(PATIENCE):
            while self.heard != [list(events)] * CLIENTS:
                await asyncio.sleep(0.01)

    async def run(self, *command: str, code: str, cwd: Path = ROOT) -> str:
        assert URL in code
        process = await asyncio.create_subprocess_exec(
            *command,
            code.replace(URL, self.redis.tcp_url),
            cwd=cwd,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(PATIENCE):
            out, errors = await process.communicate()
        assert (process.returncode, errors) == (0, b"")
        return out.decode()


@pytest.fixture
def secret() -> str:
    return ""


@pytest.fixture
async def crowd(tmp_path: Path, secret: str) -> AsyncIterator[Crowd]:
    with redis_servers.standalone(tmp_path) as redis:
        crowd = Crowd(redis)
        settings = {"redis.url": redis.tcp_url, "drain.seconds": 0, "redis.bus_secret": secret}
        async with ServerProcess(workers=2, settings=settings) as server, AsyncExitStack() as stack:
            for number in range(CLIENTS):
                client = RoomClient(
                    server.url, "news", user=f"user {number}", on_event=crowd.listener(number)
                )
                crowd.clients.append(await stack.enter_async_context(client))
            yield crowd


async def test_all_of_it(crowd: Crowd) -> None:
    python = (sys.executable, "-c")
    await crowd.run(*python, code=EMITTING)
    await crowd.all_heard(({"version": 7},))
    node = (interop.find_node(), "--input-type=module", "-e")
    await crowd.run(*node, code=FROM_NODE, cwd=interop.HERE)
    await crowd.all_heard(({"version": 7},), ({"version": 8},))
    for _ in range(2):  # the second time changes nothing
        assert await crowd.run(*python, code=PUBLISHING) == "1\n"
    await crowd.clients[0].send("end")
    for client in crowd.clients:
        async with asyncio.timeout(PATIENCE):
            found = [await anext(client) for _ in range(2)]
        messages = [message for message in found if isinstance(message, Message)]
        assert [message.body for message in messages] == ["version 7 is out", "end"]
        assert (messages[0].user, messages[0].id) == ("bot", "release-7")


@pytest.mark.parametrize("secret", [SECRET])
async def test_what_is_signed(crowd: Crowd) -> None:
    """With a secret: what is not signed is not heard, from neither kind of program."""
    python = (sys.executable, "-c")
    node = (interop.find_node(), "--input-type=module", "-e")
    await crowd.run(*python, code=EMITTING.replace("deployed", "forged"))
    await crowd.run(*node, code=FROM_NODE.replace("deployed", "forged"), cwd=interop.HERE)
    assert all(SECRET in code for code in (SIGNED, SIGNED_FROM_NODE))
    await crowd.run(*python, code=SIGNED)
    await crowd.all_heard(({"version": 7},))
    await crowd.run(*node, code=SIGNED_FROM_NODE, cwd=interop.HERE)
    await crowd.all_heard(({"version": 7},), ({"version": 8},))
