"""Node's `ws` and socket.io-client with compression."""

from __future__ import annotations

import json
from typing import Any

import pytest
from aiohttp import web

import sioserver

from .kit import find_node, script

N = "permessage-deflate"
OPTIONS: list[tuple[Any, str]] = [
    (True, N),
    (False, ""),
    ({"serverNoContextTakeover": True}, f"{N}; server_no_context_takeover"),
    ({"clientNoContextTakeover": True}, f"{N}; client_no_context_takeover"),
    ({"serverMaxWindowBits": 10}, f"{N}; server_max_window_bits=10"),
    ({"clientMaxWindowBits": 10}, f"{N}; client_max_window_bits=10"),
]


@pytest.mark.parametrize("reader", ["picows", "aiohttp"])
@pytest.mark.parametrize("takeover", [True, False])
async def test_compressed(reader: str, takeover: bool) -> None:
    sio = sioserver.AsyncServer(
        ping_interval=20,
        websocket=reader,
        per_message_deflate={
            "server_no_context_takeover": not takeover,
            "client_no_context_takeover": not takeover,
        },
    )

    @sio.on("echo")
    async def echo(sid: str, body: Any) -> None:
        await sio.emit("echoed", body, to=sid)

    app = web.Application()
    sio.attach(app)
    runner = web.AppRunner(app, shutdown_timeout=0.5)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        options = [json.dumps(option) for option, _ in OPTIONS]
        async with script(find_node(), "deflate.mjs", url, *options) as run:
            results = await run.hear()
    finally:
        await runner.cleanup()
    *sockets, client = results
    for (_, extensions), result in zip(OPTIONS, sockets, strict=True):
        if takeover or not extensions:
            assert result["extensions"] == extensions
        else:
            both = f"{N}; server_no_context_takeover; client_no_context_takeover"
            assert result["extensions"].startswith(both)
        assert result["got"] == [0, 1, 1, 3, 1, 300_000]
    assert client["extensions"].startswith(N)
    assert client["got"] == [0, 1, 1, 3, 1]
    counted = sio.eio.codec.bytes
    assert counted["in_plain"] > 10 * counted["in_deflated"] > 0
    assert counted["out_plain"] > 10 * counted["out_deflated"] > 0
