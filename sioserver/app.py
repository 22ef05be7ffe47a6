"""Everything is put together here, once: `create_app` for an aiohttp application that somebody
mounts or runs, `run` for the whole program. No decision is taken here that a test of a part could
not see.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
import time
from collections.abc import AsyncIterator
from typing import Final

from aiohttp import web

from sioserver._version import __version__
from sioserver.api import health, middleware
from sioserver.api import web as page
from sioserver.auth import Policy, Signer, Verifier
from sioserver.config import Config
from sioserver.engine import create_engine, store_path
from sioserver.engine.base import Engine, StoreError
from sioserver.hub import Hub
from sioserver.limits import Budget
from sioserver.metrics import Metrics
from sioserver.node import Node
from sioserver.rooms import RoomService
from sioserver.transport.namespace import RoomServer
from sioserver.transport.recovery import Recovery

log = logging.getLogger(__name__)

NODE: Final = web.AppKey("node", Node)
ROOMS: Final = web.AppKey("rooms", RoomService)
SERVER: Final = web.AppKey("server", RoomServer)
METRICS: Final = web.AppKey("metrics", Metrics)

BACKLOG: Final = 1024
CLOSE_TIMEOUT: Final = 5.0
"""Seconds that requests under way have when the server stops."""

CANNOT_START: Final = 1
"""The exit code when the store or the port cannot be had."""


def create_app(config: Config | None = None, *, engine: Engine | None = None) -> web.Application:
    """The whole server as an aiohttp application.

    It can be run by itself or mounted with `add_subapp`. Starting it opens the store; that raises
    `StoreError`. The parts are found under `NODE`, `ROOMS`, `SERVER` and `METRICS`.
    """
    config = config or Config()
    engine = engine or create_engine(config)
    metrics = Metrics()
    hub = Hub(metrics)
    verifier, policy = Verifier(config.auth), Policy(config)
    budget = Budget(config.limits, metrics.count_limit)
    rooms = RoomService(config, engine, hub, verifier, policy, budget, metrics, time.time)
    recovery = Recovery(config.auth.recovery_max_age)
    server = RoomServer(config, rooms, hub, budget, recovery, metrics, time.time)
    node = Node(config, engine, hub, metrics, time.time)

    path = "/" + config.server.path.strip("/")
    app = web.Application(
        middlewares=[middleware.middleware(metrics, quiet=(path,), address=server.eio.address_of)]
    )
    app[NODE], app[ROOMS], app[SERVER], app[METRICS] = node, rooms, server, metrics

    async def running(_: web.Application) -> AsyncIterator[None]:
        try:
            await node.start()
            recovery.use(Signer(await engine.secret("recovery")))
            yield
        finally:
            await node.stop()

    async def stopping(_: web.Application) -> None:
        node.drain()
        await server.drain(config.drain.seconds)

    app.cleanup_ctx.append(running)
    app.on_shutdown.append(stopping)
    server.attach(app, path)
    app.router.add_routes(health.routes(node.ready, metrics))
    if config.server.web:
        app.router.add_routes(page.routes())
    return app


# ---------------------------------------------------------------------------- the program


class CannotStart(Exception):
    """The program cannot run here. The message says why."""


def run(config: Config) -> int:
    """Serve until SIGTERM or SIGINT; returns the exit code."""
    try:
        with asyncio.Runner(loop_factory=_loop_factory(config)) as runner:
            runner.run(_serve(config))
    except (StoreError, CannotStart) as error:
        sys.stderr.write(f"sioserver: {error}\n")
        return CANNOT_START
    return 0


def _loop_factory(config: Config) -> type[asyncio.AbstractEventLoop] | None:
    wanted = config.transport.loop
    if wanted == "asyncio" or (wanted == "auto" and sys.platform == "win32"):
        return None
    try:
        import uvloop
    except ImportError as error:
        if wanted == "uvloop":
            raise CannotStart("transport.loop is uvloop, which is not installed") from error
        return None
    return uvloop.Loop


async def _serve(config: Config) -> None:
    told = _hear_signals()
    app = create_app(config)
    runner = web.AppRunner(
        app, access_log=None, handle_signals=False, shutdown_timeout=CLOSE_TIMEOUT
    )
    host, port = config.server.host, config.server.port
    try:
        await runner.setup()
        try:
            await web.TCPSite(runner, host, port, backlog=BACKLOG).start()
        except OSError as error:
            where = f"{_shown(host)}:{port}"
            reason = error.strerror or str(error)
            raise CannotStart(f"cannot listen on {where}: {reason}") from error
        _announce(config, runner.addresses[0][1])
        await told.wait()
        log.info("stopping: connections are closed, clients come back by themselves")
        # while still listening, so that whoever asks learns that this node is stopping
        app[NODE].drain()
        await app[SERVER].drain(config.drain.seconds)
    finally:
        await runner.cleanup()


def _hear_signals() -> asyncio.Event:
    """Set by the first SIGTERM or SIGINT; a second one ends the program at once."""
    loop = asyncio.get_running_loop()
    told = asyncio.Event()
    signals = (signal.SIGTERM, signal.SIGINT)

    def tell() -> None:
        told.set()
        for number in signals:
            loop.remove_signal_handler(number)

    for number in signals:
        loop.add_signal_handler(number, tell)
    return told


def _shown(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _announce(config: Config, port: int) -> None:
    store = str(store_path(config.store.path))
    lines = [
        f"sioserver {__version__} serves http://{_shown(config.server.host)}:{port}",
        f"  store: {'in memory, gone when it stops' if store == ':memory:' else store}",
    ]
    if not config.auth.secret:
        lines.append("  ANYBODY WHO CAN REACH IT MAY JOIN AND USE ANY NAME: no auth.secret is set")
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()
