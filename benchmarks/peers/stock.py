"""The same chat in stock python-socketio on aiohttp, as its documentation has it.

    python stock.py [--redis redis://127.0.0.1:6379] [--cert cert.pem --key key.pem]

With --redis it is one worker of many, which share the Redis manager.
"""

from __future__ import annotations

import argparse
import asyncio
import ssl
import time
from typing import Any

import socketio
from aiohttp import web


def add_handlers(sio: socketio.AsyncServer) -> None:
    """The chat: rooms, an ack to the sender, and an echo."""

    @sio.event
    async def connect(sid: str, environ: dict[str, Any], auth: dict[str, str]) -> None:
        await sio.save_session(sid, auth)
        await sio.enter_room(sid, auth["room"])

    @sio.event
    async def message(sid: str, body: str) -> dict[str, bool]:
        auth = await sio.get_session(sid)
        shown = {"user": auth["user"], "body": body, "at": int(time.time() * 1000)}
        await sio.emit("message", shown, room=auth["room"])
        return {"ok": True}

    @sio.event
    async def echo(sid: str, body: str) -> str:
        return body


async def serve(sio: socketio.AsyncServer, args: argparse.Namespace) -> None:
    """Serve on a free port of loopback, and say which."""
    add_handlers(sio)
    app = web.Application()
    sio.attach(app)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    secure = None
    if args.cert:
        secure = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        secure.load_cert_chain(args.cert, args.key)
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=secure, backlog=4096).start()
    scheme = "https" if secure else "http"
    print(f"serves {scheme}://127.0.0.1:{runner.addresses[0][1]}", flush=True)
    await asyncio.Event().wait()


def arguments(title: str) -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(description=title)
    for name in ("--redis", "--cert", "--key"):
        parser.add_argument(name, default="")
    return parser.parse_args()


async def main() -> None:
    args = arguments("A chat in stock python-socketio.")
    manager = socketio.AsyncRedisManager(args.redis) if args.redis else None
    await serve(socketio.AsyncServer(async_mode="aiohttp", client_manager=manager), args)


if __name__ == "__main__":
    asyncio.run(main())
