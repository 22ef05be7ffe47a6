"""The stock socket.io-client under Node, against `sioserver.AsyncServer`."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

import sioserver

HERE = Path(__file__).resolve().parent
TRANSPORTS = ("polling", "websocket", "polling,websocket")


@pytest.fixture(scope="module")
def node() -> str:
    found = os.environ.get("SIOSERVER_TEST_NODE") or shutil.which("node")
    if not found:
        pytest.fail("Node.js is needed here; type: make node")
    if not (HERE / "node_modules" / "socket.io-client").is_dir():
        pytest.fail("socket.io-client is needed here; type: make test, or npm ci in tests/interop")
    return found


@pytest.fixture(params=TRANSPORTS)
def transports(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=["picows", "aiohttp"])
async def server(request: pytest.FixtureRequest) -> AsyncIterator[tuple[Any, str]]:
    sio = sioserver.AsyncServer(
        ping_interval=0.3, ping_timeout=2, namespaces=["/", "/second"], websocket=request.param
    )
    counted: list[int] = []

    @sio.on("count")
    async def count(sid: str, number: int, *_: Any) -> int:
        counted.append(number)
        await asyncio.sleep(0)
        return number

    @sio.on("echo")
    def echo(sid: str, *args: Any) -> Any:
        return args

    @sio.on("ask-me")
    async def ask_me(sid: str, number: int) -> None:
        await sio.emit("answered", await sio.call("question", number, to=sid), to=sid)

    @sio.on("push-me")
    async def push_me(sid: str, size: int) -> None:
        await sio.emit("pushed", b"\x2a" + bytes(size - 1), to=sid)

    @sio.on("kick-me")
    async def kick_me(sid: str) -> None:
        await sio.disconnect(sid)

    @sio.on("close-me")
    async def close_me(sid: str) -> None:
        session = sio.eio.sockets[sio.manager.eio_sid_from_sid(sid, "/")]
        session.end(sio.reason.SERVER_DISCONNECT, "shutdown")

    @sio.on("infinity")
    async def infinity(sid: str) -> None:
        await sio.emit("infinity", [float("inf"), float("nan"), 1.5], to=sid)

    @sio.on("nothing")
    def nothing(sid: str) -> None:
        return None

    @sio.on("connect", namespace="/second")
    async def connect(sid: str, environ: Any, auth: Any) -> None:
        await sio.save_session(sid, auth, namespace="/second")
        await sio.emit("early", auth, to=sid, namespace="/second")

    @sio.on("who", namespace="/second")
    async def who(sid: str) -> Any:
        return await sio.get_session(sid, namespace="/second")

    app = web.Application()
    sio.attach(app)
    runner = web.AppRunner(app, shutdown_timeout=0.5)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield sio, f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


async def play(node: str, url: str, transports: str, story: str) -> Any:
    process = await asyncio.create_subprocess_exec(
        node,
        str(HERE / "client.mjs"),
        url,
        transports,
        story,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(30):
            out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, err.decode()
    return json.loads(out)


async def test_acks(node: str, server: Any, transports: str) -> None:
    found = await play(node, server[1], transports, "acks")
    assert found == {
        "answers": [1, None, 10],
        "transport": "polling" if transports == "polling" else "websocket",
    } or found["answers"] == [[1, "zwei", {"three": [None, True]}], None, 10]


async def test_binary_both_ways(node: str, server: Any, transports: str) -> None:
    found = await play(node, server[1], transports, "binary")
    assert found == {"deep": ["00011eff", "text", "07"], "size": 300_000, "first": 42}


@pytest.mark.parametrize("story", ["burst", "burst_before_connect"])
async def test_a_burst_is_acknowledged_in_order(
    node: str, server: Any, transports: str, story: str
) -> None:
    found = await play(node, server[1], transports, story)
    assert found == {"order": list(range(200))}


async def test_two_namespaces_on_one_connection(node: str, server: Any, transports: str) -> None:
    found = await play(node, server[1], transports, "two_namespaces")
    assert found == {
        "answers": [1, {"token": "t"}, 3],
        "same": True,
        "message": "Invalid namespace",
        "early": [["early", {"token": "t"}]],
    }
    assert len(server[0].eio.sockets) <= 1


async def test_a_client_that_was_disconnected_does_not_come_back(
    node: str, server: Any, transports: str
) -> None:
    found = await play(node, server[1], transports, "kicked")
    assert found == {"reason": "io server disconnect", "active": False}


async def test_a_client_whose_transport_was_closed_comes_back(
    node: str, server: Any, transports: str
) -> None:
    found = await play(node, server[1], transports, "closed")
    # a polling client learns it from its next request
    reason = "transport error" if transports == "polling" else "transport close"
    assert found == {"reason": reason, "active": True, "again": "back"}


async def test_numbers_that_json_has_not_close_nobody(
    node: str, server: Any, transports: str
) -> None:
    found = await play(node, server[1], transports, "nan")
    assert found == {"value": [None, None, 1.5]}


async def test_the_heart_beats(node: str, server: Any, transports: str) -> None:
    found = await play(node, server[1], transports, "heartbeat")
    assert found == {"pings": 3, "alive": 1}
