"""What is found at real addresses: of a server, of two that are strangers, and of none."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from sioserver.config import Config
from sioserver.config.schema import Deflate, Server, Tls, Transport
from sioserver.doctor.look_url import look, own_url
from sioserver.testing import ServerProcess

from ..balancer import Balancer
from ..certificates import Certificates
from ..redis_servers import free_port


@pytest.mark.parametrize(
    ("host", "tls", "url"),
    [
        ("127.0.0.1", False, "http://127.0.0.1:8000"),
        ("0.0.0.0", False, "http://127.0.0.1:8000"),
        ("::", True, "https://[::1]:8000"),
        ("10.0.0.5", False, "http://10.0.0.5:8000"),
    ],
)
def test_where_the_configuration_listens(host: str, tls: bool, url: str) -> None:
    config = Config(server=Server(host=host), tls=Tls(cert="x.pem" if tls else ""))
    assert own_url(config) == url


async def sessions(url: str) -> dict[str, float]:
    """What the server counts of sessions."""
    async with aiohttp.ClientSession() as http, http.get(f"{url}/metrics") as answer:
        lines = (await answer.text()).splitlines()
    found = [line.rpartition(" ") for line in lines if line.startswith("sioserver_connections{")]
    counts = {name: float(number) for name, _, number in found}
    assert counts, "the metric has another name"
    return counts


async def test_a_server() -> None:
    async with ServerProcess() as server:
        found = await look(Config(), server.url, timeout=10)
        assert found.error == found.lost == found.upgrade == found.websocket == ""
        assert found.handshake is not None
        assert found.late is not None
        assert (found.own_origin, found.metrics) == (200, 200)
        assert found.foreign_origin in (400, 403)
        assert found.page is not None
        assert found.skew == 0.0
        assert found.compressed is False
        # nothing of it is left
        async with asyncio.timeout(30):
            while any((await sessions(server.url)).values()):
                await asyncio.sleep(0.01)


async def test_compression_and_one_transport() -> None:
    settings = {"deflate.enabled": True, "transport.transports": '["websocket"]'}
    config = Config(deflate=Deflate(enabled=True), transport=Transport(transports=["websocket"]))
    async with ServerProcess(settings=settings) as server:
        found = await look(config, server.url, timeout=10)
        assert (found.compressed, found.websocket, found.handshake) == (True, "", None)


async def test_two_servers_that_are_strangers() -> None:
    """As behind a balancer whose hosts do not reach each other."""
    async with AsyncExitStack() as stack:
        servers = [await stack.enter_async_context(ServerProcess()) for _ in range(2)]
        addresses = [("127.0.0.1", server.port) for server in servers]
        balancer = await stack.enter_async_context(Balancer(addresses))
        found = await look(Config(), balancer.url, timeout=10)
        assert found.handshake is not None
        assert found.lost is not None
        assert "400" in found.lost


async def test_answers_that_are_held_back() -> None:
    """A session begins, and the poll of it is never answered."""

    async def answer(request: web.Request) -> web.Response:
        if request.method == "GET" and "sid" in request.query:
            await asyncio.Event().wait()
        text = '0{"sid":"x","pingInterval":25000}' if request.method == "GET" else "ok"
        return web.Response(text=text)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    async with TestServer(app) as other:
        found = await look(Config(), f"http://127.0.0.1:{other.port}", timeout=1.0)
        assert (found.error, found.late) == ("", 1.0)


async def test_nobody() -> None:
    found = await look(Config(), f"http://127.0.0.1:{free_port()}", timeout=5)
    assert found.error
    found = await look(Config(server=Server(port=free_port())), "", timeout=5)
    assert (found.given, bool(found.error)) == (False, True)


async def test_who_is_no_server() -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(text="hello", status=200)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    async with TestServer(app) as other:
        found = await look(Config(), f"http://127.0.0.1:{other.port}", timeout=5)
        assert "hello" in found.refusal
        assert found.websocket == "it is answered with 200"


async def test_one_that_never_answers() -> None:
    async def answer(request: web.Request) -> web.Response:
        await asyncio.Event().wait()
        raise AssertionError

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    async with TestServer(app) as other:
        found = await look(Config(), f"http://127.0.0.1:{other.port}", timeout=0.2)
        assert "no answer within 0.2 s" in found.error


async def test_tls(tmp_path: Path) -> None:
    made = Certificates(tmp_path)
    settings: dict[str, Any] = {"tls.cert": made.cert, "tls.key": made.key}
    async with ServerProcess(settings=settings) as server:
        # nobody trusts the authority of a test
        found = await look(Config(), server.url, timeout=10)
        assert "certificate" in found.error.lower()
        tls = Tls(cert=str(made.cert), key=str(made.key))
        own = Config(server=Server(port=server.port), tls=tls)
        found = await look(own, "", timeout=10)
        assert (found.error, found.https, found.websocket) == ("", True, "")
