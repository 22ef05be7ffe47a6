"""Where connections are accepted: addresses, sockets, TLS and its time."""

from __future__ import annotations

import asyncio
import gc
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
import uvloop
from aiohttp import web

from sioserver.app import create_app
from sioserver.config import Config
from sioserver.config.schema import Limits, Store, Tls
from sioserver.serve import connections_of
from sioserver.site import Site
from sioserver.tls import HANDSHAKE_TIMEOUT, SHUTDOWN_TIMEOUT, Encryption
from sioserver.transport.http_connections import FREE_FILES

from .certificates import Certificates

CONFIG = Config(store=Store(path=":memory:"))


@asynccontextmanager
async def runner_of() -> AsyncIterator[tuple[web.AppRunner, Any]]:
    """An application that nobody serves yet, and the watch over its connections."""
    app = create_app(CONFIG)
    connections = connections_of(app, CONFIG)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, **connections.settings())
    await runner.setup()
    try:
        yield runner, connections
    finally:
        await runner.cleanup()


@pytest.mark.parametrize("kind", ["address", "socket"])
async def test_it_accepts_and_watches(kind: str) -> None:
    async with runner_of() as (runner, connections):
        if kind == "socket":
            listener = socket.socket()
            listener.bind(("127.0.0.1", 0))
            where: dict[str, Any] = {"sock": listener}
        else:
            where = {"host": "127.0.0.1", "port": 0}
        site = Site(runner, connections, **where)
        await site.start()
        assert "Site" in site.name
        url = f"http://127.0.0.1:{runner.addresses[0][1]}/healthz"
        async with aiohttp.ClientSession() as http, http.get(url) as answer:
            assert answer.status == 200
            assert len(connections) == 1


async def test_an_address_that_is_taken() -> None:
    async with runner_of() as (runner, connections):
        await Site(runner, connections, host="127.0.0.1", port=0).start()
        port = runner.addresses[0][1]
        with pytest.raises(OSError, match="in use"):
            await Site(runner, connections, host="127.0.0.1", port=port).start()


# ---------------------------------------------------------------------------- TLS


def encrypted(files: Certificates) -> Encryption:
    return Encryption(Tls(cert=str(files.cert), key=str(files.key)))


@asynccontextmanager
async def site(
    files: Certificates, encryption: Encryption | None = None, config: Config = CONFIG
) -> AsyncIterator[tuple[int, Any]]:
    """The application over TLS; yields its port, and the watch over its connections."""
    encryption = encryption or encrypted(files)
    app = create_app(config)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        connections = connections_of(app, config)
        await Site(runner, connections, encryption, host="127.0.0.1", port=0).start()
        yield runner.addresses[0][1], connections
    finally:
        await runner.cleanup()


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_nobody_takes_for_ever_to_begin_with_tls(
    loop: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sioserver.site.HANDSHAKE_TIMEOUT", 0.1)

    async def run() -> None:
        files = Certificates(tmp_path)
        encryption = encrypted(files)
        async with site(files, encryption) as (port, _), asyncio.timeout(HANDSHAKE_TIMEOUT / 2):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            assert await reader.read() == b""
            writer.close()
            while not encryption.handshakes()["unfinished"]:
                gc.collect()
                await asyncio.sleep(0.01)
        assert sum(encryption.handshakes().values()) == 1

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(run())


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_nobody_takes_for_ever_to_end_with_tls(
    loop: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client that does not answer the goodbye, as it is suspended."""
    monkeypatch.setattr("sioserver.site.SHUTDOWN_TIMEOUT", 0.1)

    async def run() -> None:
        files = Certificates(tmp_path)
        async with site(files) as (port, _), asyncio.timeout(SHUTDOWN_TIMEOUT / 2):
            tcp, up, down = await plain_connection(port)
            connection = files.client().wrap_bio(down, up, server_hostname="localhost")
            reader, writer = tcp

            async def through(call: Callable[[], Any]) -> Any:
                while True:
                    try:
                        return call()
                    except ssl.SSLWantReadError:
                        writer.write(up.read())
                        down.write(await reader.read(65536))

            await through(connection.do_handshake)
            connection.write(b"GET /healthz HTTP/1.0\r\n\r\n")
            writer.write(up.read())
            answer = b""
            while b'"ok":true' not in answer:
                answer += await through(lambda: connection.read(65536))
            while await reader.read(65536):
                pass  # never answered
            writer.close()

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(run())


@pytest.mark.parametrize("short_of", ["places", "files"])
@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_who_says_nothing_keeps_nobody_from_a_handshake(
    loop: Any, short_of: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if short_of == "places":
        config = msgspec.structs.replace(CONFIG, limits=Limits(tls_handshakes=3))
    else:
        config = CONFIG
        monkeypatch.setattr("sioserver.serve.most_files", lambda: FREE_FILES + 3)

    async def run() -> None:
        files = Certificates(tmp_path)
        async with site(files, config=config) as (port, connections), asyncio.timeout(5):
            silent = [(await plain_connection(port))[0] for _ in range(5)]
            for reader, _ in silent[:2]:
                with suppress(ConnectionError):
                    assert await reader.read() == b""
            assert len(connections.handshakes) == 3
            async with aiohttp.ClientSession() as http:
                url = f"https://localhost:{port}/healthz"
                async with http.get(url, ssl=files.client()) as answer:
                    assert answer.status == 200
            assert len(connections.handshakes) == 2
            for _, writer in silent:
                writer.transport.abort()
            while connections.handshakes:
                await asyncio.sleep(0)

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(run())


async def plain_connection(
    port: int,
) -> tuple[tuple[asyncio.StreamReader, asyncio.StreamWriter], ssl.MemoryBIO, ssl.MemoryBIO]:
    return await asyncio.open_connection("127.0.0.1", port), ssl.MemoryBIO(), ssl.MemoryBIO()
