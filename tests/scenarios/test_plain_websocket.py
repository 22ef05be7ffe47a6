"""Plain WebSockets on two nodes that share a Redis: it does not matter which one somebody is at."""

import asyncio
import itertools
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import jwt
import pytest

from sioserver import remote
from sioserver.auth.api_keys import BYTES, make
from sioserver.client import RoomClient
from sioserver.testing import ServerProcess
from sioserver.valkey import Valkey

from ..gateway.kit import PATIENCE, Plain
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

    async def open(self, node: ServerProcess, *protocols: str, **headers: str) -> Plain:
        """`headers`: their names with _ in place of -."""
        ws = await self._http.ws_connect(
            f"{node.url}/ws",
            protocols=protocols,
            headers={name.replace("_", "-"): value for name, value in headers.items()},
        )
        self.clients.append(Plain(ws))
        return self.clients[-1]

    async def proven(self, node: ServerProcess, number: int) -> None:
        """Wait until the node has written down so often how far somebody has provably got."""
        written = re.compile(r"^sioserver_engine_cursors_written_total ([\d.]+)$", re.MULTILINE)
        async with asyncio.timeout(PATIENCE):
            while True:
                async with self._http.get(f"{node.url}/metrics") as answer:
                    found = written.search(await answer.text())
                if found is not None and float(found[1]) >= number:
                    return
                await asyncio.sleep(0.02)

    async def native(self, node: ServerProcess, room: str, **options: Any) -> Plain:
        client = await self.open(node, "sioserver.v1")
        await client.join(room, **options)
        return client


@asynccontextmanager
async def two(directory: Path, **settings: object) -> AsyncIterator[Site]:
    with Valkey(directory / "valkey", port=free_port()) as valkey:
        async with (
            nodes(2, valkey.tcp_url, settings={**QUICK, **settings}) as (a, b),
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
    await site.proven(site.b, 2)
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


async def heard(talker: Plain, *listeners: Plain) -> None:
    """Say something before a login until all of these have heard it, and all that was said
    besides: a node may have to hear first that it is to pass it on."""
    for number in itertools.count():
        await talker.say(f"hello {number}")
        try:
            async with asyncio.timeout(0.5):
                for listener in listeners:
                    while await listener.hear() != f"hello {number}":
                        pass
            return
        except TimeoutError:
            continue


SECRET = "correct horse battery staple, and more"
KEY, ENTRY = make("ops", ["admin"], b"o" * BYTES)
WORDS = ["join", "read", "history", "post", "moderate"]
GUARDED = {
    "auth.secret": SECRET,
    "auth.anonymous": True,
    "api.keys": str(ENTRY),
    "server.trusted_proxies": "127.0.0.1",
}


def token(user: str, **claims: Any) -> str:
    return jwt.encode({"sub": user, "exp": time.time() + 600, **claims}, SECRET, "HS256")


@pytest.mark.parametrize("where", ["lobby", "everywhere"])
async def test_a_ban_by_address_ends_who_only_listens_at_the_other_node(
    tmp_path: Path, where: str, record_property: Any
) -> None:
    """Nobody is in the default room at that node, so nothing but the listener makes it watch."""
    async with two(tmp_path, **GUARDED) as site:
        eve = await site.open(site.a, "sioserver.v1", X_Forwarded_For="192.0.2.7")
        await eve.join("lobby", token=token("eve"))
        alias = await site.open(site.b, X_Forwarded_For="192.0.2.7")
        other = await site.open(site.b, X_Forwarded_For="192.0.2.8")
        talker = await site.open(site.a, X_Forwarded_For="192.0.2.8")
        await heard(talker, alias, other)
        mod = await site.native(site.a, "lobby", token=token("mod", perms={"*": WORDS}))
        began = time.monotonic()
        if where == "lobby":
            assert (await mod.ask("ban", {"user": "eve", "address": True}))["ok"]
        else:
            body = {"user": "eve", "address": True}
            await asyncio.to_thread(remote.ask, site.a.url, KEY, "POST", "/api/bans", body)
        assert [await one.gone() for one in (eve, alias)] == [3506] * 2
        took = time.monotonic() - began
        record_property("ban", f"{took:.3f} s")
        assert took < 1.0
        back = await site.open(site.b, X_Forwarded_For="192.0.2.7")
        await heard(talker, other)
        await back.say("may I?")
        assert (await back.hear())["code"] == "banned"  # and nothing before


async def test_a_revoked_token_hears_no_more_at_the_other_node(tmp_path: Path) -> None:
    async with two(tmp_path, **{**GUARDED, "auth.anonymous": False}) as site:
        eve = await site.open(site.b, Authorization=f"Bearer {token('eve', jti='j1')}")
        ann = await site.open(site.a, Authorization=f"Bearer {token('ann')}")
        await heard(ann, eve)
        began = time.monotonic()
        body = {"token": "j1", "until": time.time() + 600}
        await asyncio.to_thread(remote.ask, site.a.url, KEY, "POST", "/api/revocations", body)
        assert (await eve.hear_until("noauth"))["event"] == "noauth"
        assert await eve.gone() == 3504
        assert time.monotonic() - began < 1.0
