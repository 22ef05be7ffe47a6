"""Compression from end to end, with real clients and with both readers of WebSockets."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from msgspec.structs import asdict

import sioserver
from sioserver.app import METRICS, create_app
from sioserver.config import Config, build
from sioserver.websocket import deflate

from ..websocket.test_deflating import chatter
from .kit import Site, engineio_server, serve, until

OPTIONS = {"threshold": 100, "server_no_context_takeover": False}


@pytest.fixture
async def echo() -> Any:
    async with serve(
        engineio_server(ping_interval=20, per_message_deflate=OPTIONS), "engine.io"
    ) as site:
        yield site


@pytest.mark.parametrize("compress", [9, 12, 15])
async def test_aiohttps_client(echo: Site, compress: int) -> None:
    client = await echo.websocket(compress=compress)
    told = client.ws._response.headers["Sec-WebSocket-Extensions"]
    assert (f"server_max_window_bits={compress}" in told) is (compress < 15)
    for text in ("4short", "4" + "long " * 100, "4" + chatter(3, 400_000), "4" + "long " * 100):
        await client.send(text)
        assert await client.receive() == text
    await client.send(b"x" * 50_000)
    assert await client.receive() == b"x" * 50_000
    counted = echo.eio.codec.bytes
    assert counted["in_plain"] > 4 * counted["in_deflated"] > 0
    assert counted["out_plain"] > 4 * counted["out_deflated"] > 0


async def test_a_client_that_wants_none(echo: Site) -> None:
    client = await echo.websocket(compress=0)
    assert "Sec-WebSocket-Extensions" not in client.ws._response.headers
    text = "4" + "long " * 100
    await client.send(text)
    assert await client.receive() == text
    assert set(echo.eio.codec.bytes.values()) == {0}


async def test_an_offer_that_is_malformed_is_refused(echo: Site) -> None:
    with pytest.raises(aiohttp.WSServerHandshakeError) as error:
        await echo.http.ws_connect(
            echo.url("websocket"), headers={"Sec-WebSocket-Extensions": "permessage-deflate;"}
        )
    assert error.value.status == 400
    await until(lambda: not echo.eio.sockets)


async def test_an_upgrade_is_compressed_too(echo: Site) -> None:
    client = await echo.polling()
    upgrade = await echo.websocket(client.sid, compress=15)
    assert upgrade.ws.compress == 15
    await upgrade.send("2probe")
    assert await upgrade.packet() == "3probe"
    await upgrade.send("5")
    await upgrade.send("4" + "long " * 100)
    assert await upgrade.receive() == "4" + "long " * 100
    assert echo.eio.codec.bytes["out_deflated"] > 0


async def test_broadcasts_and_answers_mixed() -> None:
    sio = sioserver.AsyncServer(ping_interval=20, namespaces="*", per_message_deflate=OPTIONS)
    sio.on("ask", lambda sid, number: chatter(number))
    async with serve(sio) as site:
        clients = [await site.websocket(compress=compress) for compress in (15, 15, 11, 0)]
        sids = [(await client.join())["sid"] for client in clients]
        for number in range(6):
            await sio.emit("all", chatter(number))
            await sio.emit("one", chatter(number), to=sids[0])
            await clients[0].send(f'42{number}["ask",{number}]')
            assert await clients[0].event() == ["all", chatter(number)]
            assert await clients[0].event() == ["one", chatter(number)]
            answer = await clients[0].receive()
            assert isinstance(answer, str)
            assert json.loads(answer.partition("[")[2][:-1]) == chatter(number)
        for client in clients[1:]:
            for number in range(6):
                assert await client.event() == ["all", chatter(number)]
        assert sio.eio.codec.now() == {"contexts": 1, "large": 0}
    assert sio.eio.codec.now()["contexts"] == 0


def test_off_by_default() -> None:
    assert engineio_server().codec is None
    with pytest.raises(ValueError, match="memLevel"):
        engineio_server(per_message_deflate={"memLevel": 9})


def test_the_configurations_defaults_are_the_servers() -> None:
    settings = asdict(Config().deflate)
    assert settings.pop("enabled") is False
    assert settings == deflate.Settings()._asdict()


async def test_the_rooms_compress_and_count() -> None:
    config = build("store.path = ':memory:'\ndeflate.enabled = true\ndeflate.threshold = 100")
    app = create_app(config)
    runner = web.AppRunner(app, shutdown_timeout=0.5)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    base = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        async with aiohttp.ClientSession(base) as http:
            ws = await http.ws_connect("/socket.io/?EIO=4&transport=websocket", compress=15)
            told = ws._response.headers["Sec-WebSocket-Extensions"]
            assert told == (
                "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
            )
            await ws.send_str('40{"user":"ann"}')
            body = "long " * 400
            await ws.send_str(f'421["message","{body}"]')
            async with asyncio.timeout(5):
                while f'"body":"{body}"' not in (await ws.receive()).data:
                    pass
            async with http.get("/metrics") as answer:
                text = await answer.text()
            await ws.close()
    finally:
        await runner.cleanup()
    counted = dict(re.findall(r'^sioserver_deflate_bytes_total{what="(\w+)"} (.+)$', text, re.M))
    assert float(counted["in_plain"]) > 2000 > 10 * float(counted["in_deflated"]) > 0
    assert float(counted["out_plain"]) > 2000 > 4 * float(counted["out_deflated"]) > 0
    assert 'sioserver_deflate{what="contexts"} 0.0' in text
    assert app[METRICS].deflate_bytes["in_plain"] == float(counted["in_plain"])
