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
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from aiohttp import web

from sioserver import app, serve
from sioserver.cli import main
from sioserver.connections.guard import Guard
from sioserver.errors import Refusal
from sioserver.gateway.door import Door
from sioserver.transport.clients import RoomConnection
from sioserver.transport.session import Session

from .wire import refused

LOOK: Final = "/@look"
TURNS: Final = 20
"""Turns of the event loop in which whatever has arrived is read."""

_COUNTERS: Final = (
    "refusals", "request_refusals", "disconnects", "limit_hits", "events", "http_requests",
)  # fmt: skip


@dataclass(frozen=True)
class Looking:
    """What is to be done when everything that has arrived has been handled, and before the server
    is looked at."""

    memory: bool = False
    """Tidy up, and measure the memory."""
    release: list[str] = field(default_factory=list)
    """Answer the polls of these sessions, also when there is nothing for them."""
    forget: bool = False
    """Let go of closed sessions whose last packets wait to be fetched."""


class Untold:
    """Counts refusals that nobody is told, by why that is so.

    "over": the session was over when the request was refused; a code of a disconnect: the session
    ended so, and what waited for a poll was thrown away; "forgotten": nobody fetched it.
    """

    def __init__(self) -> None:
        self.counted: Counter[str] = Counter()

    def watch(self) -> None:
        """Look on, in this process, from now on."""
        end, refuse, counted = Session.end, Guard.refused, self.counted

        def ends(session: Session, reason: str, code: str, *, flush: bool = True) -> None:
            waiting = [] if session.closed else list(session._buffer)
            end(session, reason, code, flush=flush)
            if not session._buffer and session.ws is None:
                self.lost(code, waiting)

        def refuses(
            guard: Guard, session: Session | None, connection: RoomConnection, refusal: Refusal
        ) -> bool:
            if session is None or session.closing or (session.ws and session.ws._closing):
                counted["over"] += 1
            return refuse(guard, session, connection, refusal)

        Session.end = ends  # type: ignore[method-assign]
        Guard.refused = refuses  # type: ignore[method-assign]

    def lost(self, why: str, packets: Iterable[str]) -> None:
        """These packets were thrown away."""
        if number := sum(bool(refused(packet)) for packet in packets):
            self.counted[why] += number


UNTOLD: Final = Untold()


async def settle(server: Any, doors: Sequence[Door], http: web.Server) -> None:
    """Wait until all that has arrived has been handled, or waits for what has not."""
    loop = asyncio.get_running_loop()
    give_up = loop.time() + 10
    quiet, requests = 0, http.requests_count
    while quiet < TURNS and loop.time() < give_up:
        await asyncio.sleep(0)
        quiet += 1
        if http.requests_count != requests:  # there were several behind each other
            quiet, requests = 0, http.requests_count
        plain = [connection for door in doors for connection in door.connections]
        if any(session.handling for session in (*server.eio.sockets.values(), *plain)):
            quiet = 0
            await asyncio.sleep(0.001)


def _forget_closed(server: Any) -> None:
    for session in [session for session in server.eio.sockets.values() if session.closed]:
        UNTOLD.lost("forgotten", session._buffer)
        server.eio._forget(session.sid)


def _memory() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _kept(application: web.Application) -> dict[str, int]:
    server = application[app.SERVER]
    eio, manager, hub = server.eio, server.manager, application[app.ROOMS]._hub
    [door] = application[app.DOORS]
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
        "plain connections": len(door.connections),
        "plain endings": len(door._endings),
        "plain rooms": len(door._rooms._clients) + len(door._rooms._came),
        "hub rooms": len(hub),
        "hub clients": sum(1 for _ in hub.clients()),
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
    looking, server = Looking(**await request.json()), application[app.SERVER]
    await settle(server, application[app.DOORS], http)
    for session in [
        server.eio.sockets[sid] for sid in looking.release if sid in server.eio.sockets
    ]:
        session.let_poll_go()
    if looking.release:
        await settle(server, application[app.DOORS], http)
    if looking.forget:
        _forget_closed(server)
    told: dict[str, Any] = {"kept": _kept(application), "memory": 0}
    if looking.memory:
        gc.collect()
        ctypes.CDLL(None).malloc_trim(0)
        told["memory"] = _memory()
    counters = application[app.METRICS]
    told["counted"] = {name: getattr(counters, name) for name in _COUNTERS}
    told["counted"]["untold"] = UNTOLD.counted
    return web.json_response(told)


_made = app.create_app


def _create(*args: Any, **options: Any) -> web.Application:
    application = _made(*args, **options)
    application.router.add_post(LOOK, tell)
    return application


def run() -> int:
    """Serve, with the arguments of `sioserver serve`; returns the exit code."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # no longer than who started it
    serve.create_app = _create
    UNTOLD.watch()
    return main(["serve", *sys.argv[1:]])
