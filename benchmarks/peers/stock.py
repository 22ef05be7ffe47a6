"""One worker of the same chat in stock python-socketio: aiohttp and the Redis manager.

python stock.py redis://127.0.0.1:6379
"""

from __future__ import annotations

import asyncio
import sys
import time
from typing import Any

import socketio
from aiohttp import web

sio = socketio.AsyncServer(
    async_mode="aiohttp", client_manager=socketio.AsyncRedisManager(sys.argv[1])
)


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


async def serve() -> None:
    app = web.Application()
    sio.attach(app)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print(f"serves http://127.0.0.1:{runner.addresses[0][1]}", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve())
