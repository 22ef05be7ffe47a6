"""The server under test: the program as it is, and an address at which it tells of itself.

Started by campaign.py as a process of its own.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import os
import signal
import sys
from collections import Counter
from typing import Any, Final

from aiohttp import web

from sioserver import app
from sioserver.cli import main
from sioserver.transport import engineio

LOOK: Final = "/@look"
TURNS: Final = 20
"""Turns of the event loop in which whatever has arrived is read."""

_COUNTERS: Final = (
    "refusals", "request_refusals", "disconnects", "limit_hits", "events", "http_requests",
)  # fmt: skip


async def settle(server: Any, http: web.Server) -> None:
    """Wait until all that has arrived has been handled, or waits for what has not."""
    loop = asyncio.get_running_loop()
    give_up = loop.time() + 10
    quiet, requests = 0, http.requests_count
    while quiet < TURNS and loop.time() < give_up:
        await asyncio.sleep(0)
        quiet += 1
        if http.requests_count != requests:  # there were several behind each other
            quiet, requests = 0, http.requests_count
        if any(session.handling for session in server.eio.sockets.values()):
            quiet = 0
            await asyncio.sleep(0.001)


def _memory() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _kept(application: web.Application) -> dict[str, int]:
    server = application[app.SERVER]
    eio, manager = server.eio, server.manager
    tasks = Counter(_name(task) for task in asyncio.all_tasks())
    return {
        "sessions": len(eio.sockets),
        "connections": len(server._connections),
        "ending": len(eio._ending),
        "telling": len(eio._telling),
        "calls": len(server._calls),
        "clients": sum(map(len, manager._namespaces.values())),
        "sids": sum(len(rooms.get(None, ())) for rooms in manager.rooms.values()),
        "callbacks": len(manager.callbacks),
        "files": len(os.listdir("/proc/self/fd")),
        **{f"task {name}": number for name, number in tasks.items()},
    }


def _name(task: asyncio.Task[Any]) -> str:
    coroutine = task.get_coro()
    return getattr(coroutine, "__qualname__", repr(coroutine))


async def tell(request: web.Request) -> web.Response:
    """Everything about the server that an attack may not change, and its counters."""
    application = request.app
    http = request.protocol._manager
    assert http is not None
    await settle(application[app.SERVER], http)
    told: dict[str, Any] = {"kept": _kept(application), "memory": 0}
    if "memory" in request.query:
        gc.collect()
        ctypes.CDLL(None).malloc_trim(0)
        told["memory"] = _memory()
    counters = application[app.METRICS]
    told["counted"] = {name: getattr(counters, name) for name in _COUNTERS}
    return web.json_response(told)


_made = app.create_app


def _create(*args: Any, **options: Any) -> web.Application:
    application = _made(*args, **options)
    application.router.add_get(LOOK, tell)
    return application


def run() -> int:
    """Serve, with the arguments of `sioserver serve`; returns the exit code."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # no longer than who started it
    app.create_app = _create
    engineio.LINGER = 0.05  # type: ignore[misc]  # what nobody fetches is forgotten soon
    return main(["serve", *sys.argv[1:]])
