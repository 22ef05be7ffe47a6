"""The program: one process that serves what app.py has put together, until it is told to stop.

The event loop, where it listens, signals, the order in which it begins and ends. It knows nothing
of what is served, nor of the other workers: the one that watches them is seen here as a `Worker`.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import secrets
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Protocol

from aiohttp import web

from sioserver.app import METRICS, NODE, SERVER, create_app, let_go
from sioserver.config import Config
from sioserver.engine import NODE_ID_BYTES, store_path
from sioserver.engine.base import StoreError
from sioserver.extension import set_up
from sioserver.hooks import Hooks
from sioserver.model import Peer
from sioserver.site import Site
from sioserver.startup import (
    CANNOT_START,
    CannotStart,
    Terminal,
    announce,
    cannot_listen,
    complain,
    most_files,
    redis_in_words,
    valkey_beside,
)
from sioserver.tls import Encryption, Unusable
from sioserver.transport.http_connections import HttpConnections
from sioserver.transport.routing import host_tag

log = logging.getLogger(__name__)

CLOSE_TIMEOUT: Final = 5.0
"""Seconds that requests under way have when the server stops."""

SETTLE: Final = 1.0
"""Seconds that a worker which leaves waits for requests on the connections that it still has, to
answer them with "Connection: close", before it closes what is idle."""
SETTLE_PAUSE: Final = 0.05


class Worker(Protocol):
    """What a process knows that is one of several: its supervisor, seen from here."""

    @property
    def peer(self) -> Peer:
        """How the others find it."""

    @property
    def sockets(self) -> Sequence[socket.socket]:
        """Where it accepts connections. Others hold them too: nothing that waits there is lost when
        this process lets go of them."""

    def obey(self, stop: Callable[[], None], leave: Callable[[], None]) -> None:
        """From now on call `stop` when all workers are to end, and `leave` when this one is, or
        when the supervisor has gone."""

    def serving(self) -> None:
        """Tell the supervisor that clients may come."""

    def failed(self, reason: str) -> None:
        """Tell the supervisor why this process cannot start."""


def run(config: Config, worker: Worker | None = None, extension: str = "") -> int:
    """Serve until SIGTERM or SIGINT (a worker: until its supervisor says so, too); returns the exit
    code. `extension`: the MODULE:FUNCTION that adds to the application, see docs/hooks.md."""
    try:
        with asyncio.Runner(loop_factory=_loop_factory(config)) as runner:
            runner.run(_serve(config, worker, extension))
    except (StoreError, CannotStart) as error:
        if worker is not None:
            worker.failed(str(error))
        return CANNOT_START if worker is not None else complain(error)
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


async def _serve(config: Config, worker: Worker | None, extension: str) -> None:
    encryption = Encryption(config.tls) if config.tls.cert else None
    told = _hear_orders(worker, encryption)
    peer = worker.peer if worker is not None else peer_of(config)
    hooks = Hooks() if extension else None
    app = create_app(config, peer=peer, served=True, hooks=hooks)
    if hooks is not None:
        await set_up(extension, app, hooks, config)
    if encryption is not None:
        app[METRICS].tls_expires_at = encryption.expires_at
        app[METRICS].tls_handshakes = encryption.handshakes
    connections = connections_of(app, config)
    if encryption is not None:
        app[METRICS].tls_handshakes_now = lambda: len(connections.handshakes)
    runner = web.AppRunner(
        app,
        access_log=None,
        handle_signals=False,
        shutdown_timeout=CLOSE_TIMEOUT,
        **connections.settings(),
    )
    try:
        await runner.setup()
        await _listen(runner, connections, config, worker, encryption)
        _calm_collector()
        if worker is not None:
            worker.serving()
        else:
            announce(config, runner.addresses[0][1], _store_in_words(config))
            _tell_of_workers(config)
            if encryption is not None:
                _warn(encryption)
        leaving = await told
        log.info("stopping: connections are closed, clients come back by themselves")
        if leaving:
            for site in runner.sites:
                await site.stop()
        # else it goes on listening, so that whoever asks learns that this node is stopping
        app[NODE].drain()
        await let_go(app)
        if leaving:
            await _settle(runner)
    finally:
        await runner.cleanup()


async def _settle(runner: web.AppRunner) -> None:
    for _ in range(round(SETTLE / SETTLE_PAUSE)):
        if runner.server is None or not runner.server.connections:
            return
        await asyncio.sleep(SETTLE_PAUSE)


def _calm_collector() -> None:
    """What was made until now stays, and need not be looked at again; and what a message leaves
    behind is freed without the garbage collector. At its usual pace it took 7 % of the time in
    small rooms (make bench WORK=cluster)."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


def connections_of(app: web.Application, config: Config) -> HttpConnections:
    """The watch over the connections on which an application of `create_app` is asked."""
    eio, metrics = app[SERVER].eio, app[METRICS]
    connections = HttpConnections(
        config.limits,
        eio.proxies,
        eio.wheel,
        metrics.count_limit,
        refused=metrics.count_request_refusal,
        files=most_files(),
        others=lambda: metrics.connections["websocket"] + metrics.connections["raw"],
    )
    metrics.http_connections = lambda: len(connections)
    return connections


async def _listen(
    runner: web.AppRunner,
    connections: HttpConnections,
    config: Config,
    worker: Worker | None,
    encryption: Encryption | None,
) -> None:
    if worker is not None:
        for listener in worker.sockets:
            await Site(runner, connections, encryption, sock=listener).start()
        return
    host, port = config.server.host, config.server.port
    try:
        await Site(runner, connections, encryption, host=host, port=port).start()
    except OSError as error:
        raise cannot_listen(host, port, error) from error


def _hear_orders(worker: Worker | None, encryption: Encryption | None) -> asyncio.Future[bool]:
    """Done when the program has to stop; true when others go on accepting at its address.

    SIGTERM and SIGINT say so; a second one ends the program at once.
    """
    loop = asyncio.get_running_loop()
    told: asyncio.Future[bool] = loop.create_future()

    def tell(leaving: bool) -> None:
        if not told.done():
            told.set_result(leaving)

    def hear(*_: object) -> None:
        tell(worker is not None)
        for number in signals:
            loop.remove_signal_handler(number)

    if worker is not None:
        # the others come to all processes of a terminal: the supervisor acts on them
        signals = [signal.SIGTERM]
        worker.obey(lambda: tell(False), lambda: tell(True))
    else:
        signals = [signal.SIGTERM, signal.SIGINT]
        if sys.platform != "win32":
            loop.add_signal_handler(signal.SIGHUP, _hung_up, Terminal(), hear, encryption)
    for number in signals:
        loop.add_signal_handler(number, hear)
    return told


def _hung_up(terminal: Terminal, stop: Callable[[], None], encryption: Encryption | None) -> None:
    if terminal.gone:
        stop()
    elif encryption is None:
        log.warning("SIGHUP: only with workers (--workers) is the configuration read again")
    else:
        _renew(encryption)


def _renew(encryption: Encryption) -> None:
    try:
        encryption.reload()
    except Unusable as error:
        log.error("SIGHUP: the old certificate stays: %s", error)
        return
    log.info(
        "SIGHUP: new connections get the certificate that expires on %s; the rest of the "
        "configuration is read again only with workers (--workers)",
        encryption.certificate.day,
    )
    _warn(encryption)


def _warn(encryption: Encryption) -> None:
    for warning in encryption.certificate.warnings(time.time()):
        # put together here: the log shows one line of a kind in a few seconds
        log.warning(f"tls: {warning}")


def peer_of(config: Config, directory: str = "", place: int = 0) -> Peer:
    """A new node. `directory`: where the sockets of this machine's nodes lie; `place`: its number
    among those that listen at cluster.address and the ports after it."""
    address = config.cluster.address
    host, _, port = address.rpartition(":")
    if address:
        address = f"{host}:{int(port) + place}"
    return Peer(host_tag(host) + secrets.token_hex(NODE_ID_BYTES), directory, address)


def _tell_of_workers(config: Config) -> None:
    """Workers keep their messages elsewhere: who had some should know where they are."""
    path = store_path(config.store.path)
    if config.redis.url or not isinstance(path, Path):
        return
    theirs = valkey_beside(path)
    # the latter is that of a Redis before 7
    if any(theirs.glob("appendonlydir/*")) or (theirs / "appendonly.aof").exists():
        log.warning(
            "the messages that workers wrote into %s are not taken over, there is no migration; "
            "start with --workers to have them",
            theirs,
        )


def _store_in_words(config: Config) -> str:
    if config.redis.url:
        return redis_in_words(config.redis)
    path = store_path(config.store.path)
    return "in memory, gone when it stops" if path == ":memory:" else str(path)
