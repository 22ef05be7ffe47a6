"""Who may open a plain WebSocket, and what the others are told."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import pytest

from .kit import SECRET, Place, configured, place, until


async def refused(here: Place, path: str = "/ws", **headers: str) -> tuple[int, Any]:
    """The answer to a handshake that is none."""
    usual = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    }
    wanted = {**usual, **{name.replace("_", "-"): value for name, value in headers.items()}}
    async with here.http.get(
        here.url + path, headers={name: value for name, value in wanted.items() if value}
    ) as answer:
        body = await answer.json() if answer.content_type == "application/json" else None
        return answer.status, body and body["error"]["code"]


async def test_what_is_no_websocket() -> None:
    async with place() as here:
        assert await refused(here, Upgrade="") == (400, "bad_request")
        assert await refused(here, Sec_WebSocket_Key="x") == (400, None)
        assert await refused(here, Sec_WebSocket_Version="12") == (400, None)
        assert here.metrics.request_refusals["Bad WebSocket handshake"] == 2
        assert here.metrics.connections["raw"] == 0
        assert here.door._admission.connections.taken == 0


async def test_which_sub_protocols_there_are() -> None:
    async with place() as here:
        assert await refused(here, Sec_WebSocket_Protocol="chat") == (400, "bad_request")
        for offered, taken in (
            (("chat", "sioserver.v1"), "sioserver.v1"),
            (("sioserver.v1.msgpack", "sioserver.v1"), "sioserver.v1.msgpack"),
            ((), None),
        ):
            client = await here.open(*offered)
            assert client.ws.protocol == taken


async def test_pages_of_other_sites_stay_outside() -> None:
    async with place(configured(server={"origins": ["https://app.example"]})) as here:
        status = await refused(here, Origin="https://evil.example")
        assert status == (403, "forbidden")
        await here.open(headers={"Origin": "https://app.example"})
        await here.open(headers={"Origin": here.url})


async def test_a_token_does_not_belong_into_the_address() -> None:
    async with place(configured(auth={"secret": SECRET})) as here:
        for query in ("token=x", "access_token=x"):
            assert await refused(here, f"/ws?{query}") == (400, "bad_request")
        assert here.metrics.invalid_tokens["misplaced"] == 2
    async with place(configured(auth={"secret": SECRET, "allow_query_token": True})) as here:
        client = await here.open(path="/ws?token=x")
        await client.say({"name": "Ann"})
        assert (await client.hear())["event"] == "noauth"


async def test_how_many_there_may_be() -> None:
    async with place(configured(limits={"connections": 1})) as here:
        first = await here.open()
        assert await refused(here) == (429, "too_many")
        await first.close()
        await until(lambda: not here.door.connections)
        await here.open()
        assert here.metrics.limit_hits["connections"] == 1


async def test_it_may_be_elsewhere_or_nowhere() -> None:
    async with place(configured(gateway={"path": "/plain/ws"})) as here:
        await here.open(path="/plain/ws")
        assert (await refused(here))[0] == 404
    async with place(configured(gateway={"enabled": False})) as here:
        assert (await refused(here))[0] == 404


async def test_a_frame_that_is_too_large() -> None:
    async with place(configured(limits={"max_payload": 1024})) as here:
        client = await here.open()
        await client.say("x" * 1025)
        assert await client.gone() == 1009
        assert here.metrics.disconnects["parse_error"] == 1


async def test_a_drain_sends_everybody_away_and_lets_nobody_in() -> None:
    async with place() as here:
        clients = [await here.open() for _ in range(3)]
        await here.door.drain(0.05)
        assert [await client.gone() for client in clients] == [1001] * 3
        assert await refused(here) == (503, "draining")
        assert here.metrics.disconnects["shutdown"] == 3


async def test_at_the_end_everybody_is_told_and_gone() -> None:
    async with place() as here:
        client = await here.open()
        await client.login("Ann", "den")
        await here.door.shutdown()
        assert here.metrics.clients == 0
        assert await client.gone() == 1001


async def test_messages_may_be_compressed() -> None:
    async with place(configured(deflate={"enabled": True, "threshold": 10})) as here:
        client = await here.open("sioserver.v1", compress=15)
        assert client.ws.compress
        await client.join("den", user="ann")
        await client.ask("message", "ha" * 1000)
        assert (await client.ask("history"))["items"][0]["body"] == "ha" * 1000
        assert here.metrics.deflate_bytes["out_plain"] > 0


async def test_many_come_and_go() -> None:
    async with place(configured(limits={"enabled": False})) as here:
        for _ in range(3):
            clients = await asyncio.gather(*(here.open() for _ in range(20)))
            await asyncio.gather(*(client.login("x", "den") for client in clients))
            await asyncio.gather(*(client.cut() for client in clients))
        await until(lambda: not here.door.connections)
        await until(lambda: here.metrics.clients == 0)
        assert here.door.queued == 0
        assert here.door._admission.connections.taken == 0


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
async def test_other_methods(method: str) -> None:
    async with place() as here, here.http.request(method, here.url + "/ws") as answer:
        assert isinstance(answer, aiohttp.ClientResponse)
        assert answer.status == 405
