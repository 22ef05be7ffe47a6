"""Plain WebSockets on two nodes that share a Redis: it does not matter which one somebody is at."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from sioserver.client import RoomClient
from sioserver.testing import ServerProcess
from sioserver.valkey import Valkey

from ..gateway.kit import Plain
from ..redis_servers import free_port
from .kit import nodes

QUICK = {
    "delivery.confirm": 0.05,
    "presence.batch": 0.05,
    "presence.grace": 0.3,
    "presence.lease": 2,
    "gateway.heartbeat": 1,
}


class Site:
    """Two nodes, and ways in."""

    def __init__(self, a: ServerProcess, b: ServerProcess, http: aiohttp.ClientSession) -> None:
        self.a, self.b, self._http = a, b, http
        self.clients: list[Plain] = []

    async def open(self, node: ServerProcess, *protocols: str) -> Plain:
        ws = await self._http.ws_connect(f"{node.url}/ws", protocols=protocols)
        self.clients.append(Plain(ws))
        return self.clients[-1]

    async def native(self, node: ServerProcess, room: str, **options: Any) -> Plain:
        client = await self.open(node, "sioserver.v1")
        await client.join(room, **options)
        return client


@asynccontextmanager
async def two(directory: Path) -> AsyncIterator[Site]:
    with Valkey(directory / "valkey", port=free_port()) as valkey:
        async with (
            nodes(2, valkey.tcp_url, settings=QUICK) as (a, b),
            aiohttp.ClientSession() as http,
        ):
            site = Site(a, b, http)
            yield site
            await asyncio.gather(*(client.close() for client in site.clients))


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with two(tmp_path) as found:
        yield found


async def test_they_meet_whichever_node_they_are_at(site: Site) -> None:
    ann, ben = await site.open(site.a), await site.open(site.b)
    while True:  # until the second node listens to what the first says
        await ann.say("hello")
        try:
            async with asyncio.timeout(0.2):
                assert await ben.hear() == "hello"
            break
        except TimeoutError:
            continue
    await ann.login("Ann", "den", "ann")
    await ben.login("Ben", "den", "ben")
    assert (await ann.hear_until("login"))["name"] == "Ben"
    nat = await site.native(site.a, "den", user="nat")
    async with RoomClient(site.b.url, room="den", user="sio", name="Sio") as sio:
        while (await ann.hear_until("login"))["uid"] != "sio":
            pass
        await sio.send("from Socket.IO")
        await nat.ask("message", "from native")
        await ben.say({"name": "Ben", "message": "from the tutorial"})
        wanted = {"from Socket.IO", "from native", "from the tutorial"}
        heard = {
            client: [await client.hear_until("message") for _ in wanted] for client in (ann, ben)
        }
        assert {frame["message"] for frame in heard[ann]} == wanted
        assert [f["message"] for f in heard[ann]] == [f["message"] for f in heard[ben]]
        assert heard[ann][-1]["num"] == heard[ben][-1]["num"] == 4
    await ben.close()
    while (await ann.hear_until("logout"))["name"] != "Ben":
        pass


async def test_who_comes_back_elsewhere_gets_what_it_missed(site: Site) -> None:
    ann = await site.native(site.a, "den", user="ann")
    ben = await site.native(site.b, "den", user="ben")
    tut = await site.open(site.b)
    await tut.login("Tut", "den", "tut")
    await ann.ask("message", "seen")
    position = (await ben.hear_until("message"))[2]
    await tut.hear_until("message")
    await asyncio.sleep(1.5)  # a heartbeat: what has been seen is proven
    await site.b.kill()
    assert await ben.gone() != 1000
    for number in range(3):
        await ann.ask("message", f"missed {number}")
    ben = await site.open(site.a, "sioserver.v1")
    welcome = await ben.join("den", user="ben", position=position)
    assert welcome[1]["recovered"] is True
    missed = ["missed 0", "missed 1", "missed 2"]
    assert [(await ben.hear_until("message"))[1]["body"] for _ in missed] == missed
    tut = await site.open(site.a)
    await tut.login("Tut", "den", "tut")
    assert [(await tut.hear_until("message"))["message"] for _ in missed] == missed
