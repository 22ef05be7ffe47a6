"""Everything is put together here, once: `create_app` for an aiohttp application that somebody
mounts or runs, `run` for the whole program. No decision is taken here that a test of a part could
not see.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import re
import secrets
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Final, Protocol

from aiohttp import web
from aiohttp.typedefs import Middleware

from sioserver import wire
from sioserver._version import SOFTWARE
from sioserver.addresses import is_loopback
from sioserver.admin import Admin
from sioserver.admission import Admission, Watermark
from sioserver.api import admin, headers, health, middleware, moderation, openapi, table
from sioserver.api import web as page
from sioserver.api.callers import Callers
from sioserver.api.hosts import only
from sioserver.api.rooms import Bounds, Rooms
from sioserver.api.rooms_moderation import RoomModeration
from sioserver.api.rooms_operations import RoomOperations
from sioserver.api.table import Cross
from sioserver.api.visits import Visits
from sioserver.auth import Policy, Signer, Verifier
from sioserver.config import Config
from sioserver.config.schema import Auth
from sioserver.connections.recovery import Recovery
from sioserver.engine import NODE_ID_BYTES, create_engine, store_path
from sioserver.engine.base import Engine, StoreError
from sioserver.extension import set_up
from sioserver.gateway.door import Door
from sioserver.gateway.rooms import PlainRooms
from sioserver.hooks import HookCalls, Hooks
from sioserver.hosts import Listed, Local
from sioserver.hub import Hub
from sioserver.keys.fetch import fetch
from sioserver.keys.files import UnusableKey, read_keys
from sioserver.keys.issuer import Issuer
from sioserver.limits import Budget
from sioserver.memory import most
from sioserver.metrics import Metrics
from sioserver.model import Peer
from sioserver.node import Node
from sioserver.rooms import RoomService
from sioserver.site import Site
from sioserver.startup import (
    CANNOT_START,
    CannotStart,
    Terminal,
    announce,
    cannot_listen,
    check_parser,
    complain,
    most_files,
    redis_in_words,
    valkey_beside,
)
from sioserver.tls import Encryption, Unusable
from sioserver.transport.http_connections import HttpConnections
from sioserver.transport.namespace import RoomServer
from sioserver.transport.polling import Bypass
from sioserver.transport.routing import Router, host_tag
from sioserver.webhooks import Webhooks

log = logging.getLogger(__name__)

NODE: Final = web.AppKey("node", Node)
ROOMS: Final = web.AppKey("rooms", RoomService)
SERVER: Final = web.AppKey("server", RoomServer)
METRICS: Final = web.AppKey("metrics", Metrics)
DOORS: Final = web.AppKey("doors", list[Door])
CONFIG: Final = web.AppKey("config", Config)

EXPECTATION: Final = "Expectation failed"
"""How requests are counted that expect what nobody does; no middleware sees them."""

CLOSE_TIMEOUT: Final = 5.0
"""Seconds that requests under way have when the server stops."""

SETTLE: Final = 1.0
"""Seconds that a worker which leaves waits for requests on the connections that it still has, to
answer them with "Connection: close", before it closes what is idle."""
SETTLE_PAUSE: Final = 0.05


def create_app(
    config: Config | None = None,
    *,
    engine: Engine | None = None,
    peer: Peer | None = None,
    served: bool = False,
    hooks: Hooks | None = None,
) -> web.Application:
    """The whole server as an aiohttp application.

    It can be run by itself or mounted with `add_subapp`. Starting it opens the store; that raises
    `StoreError`. `hooks`: functions that are asked, and told, what happens in rooms. `peer`: how
    other nodes find this one; without it they do not. `served`: it is not mounted but stands at
    `server.host`; where that is loopback and there are no `server.hosts`, it answers to local names
    only. The parts are found under `NODE`, `ROOMS`, `SERVER` and `METRICS`.

    Raises `CannotStart` where a library is missing, or aiohttp has no parser in C.
    """
    check_parser(os.environ)
    config = config or Config()
    peer = peer or Peer(secrets.token_hex(NODE_ID_BYTES))
    engine = engine or create_engine(config, peer)
    metrics = Metrics()
    hub = Hub(metrics, typing_lasts=config.presence.typing_lasts)
    verifier, policy = _verifier(config), Policy(config)
    budget = Budget(config.limits)
    watermark = Watermark(most(config.limits.memory, config.server.workers))
    admission = Admission(config.limits, metrics.count_limit, watermark)
    issuer = _issuer(config.auth, verifier, metrics)
    renew = issuer.renew if issuer is not None else None
    calls = None if hooks is None else HookCalls(hooks, metrics, config.hooks.timeout)
    rooms = RoomService(
        config, engine, hub, verifier, policy, budget, metrics, time.time, renew, calls
    )
    recovery = Recovery(config.auth.recovery_max_age)
    shared = None
    if config.redis.url:
        from sioserver.transport.bus import ClusterManager

        shared = ClusterManager(config.redis, metrics.count_bus)
    node = Node(config, engine, hub, metrics, time.time, watermark)
    node.chores.append(rooms.sweep)
    if issuer is not None:
        node.conditions.append(issuer.ready)
    try:
        server = RoomServer(
            config,
            rooms,
            hub,
            budget,
            admission,
            recovery,
            metrics,
            time.time,
            node.spawn,
            peer.id,
            shared,
        )
    except ImportError as error:  # a library that the configuration insists on
        raise CannotStart(str(error)) from error
    door = None
    if config.gateway.enabled:
        door = Door(
            config,
            server.eio,
            admission,
            metrics,
            server.eio.wheel,
            server.eio.codec,
            lambda crowd: PlainRooms(
                config,
                rooms,
                engine,
                hub,
                budget,
                admission,
                recovery,
                metrics,
                time.time,
                server.eio.wheel,
                node.spawn,
                crowd,
            ),
        )
    secret, metrics.node = config.cluster.secret, peer.id
    router = Router(peer, engine.peer, server.eio, metrics, secret=secret, clock=time.time)

    path = "/" + config.server.path.strip("/")
    around = middleware.middleware(metrics, quiet=(path,), address=server.eio.address_of)
    spared: list[Middleware] = [around]
    if config.server.hosts:
        listed = Listed(config.server.hosts)
        spared.append(only(listed, metrics, name_of=server.eio.host_of))
    elif served and is_loopback(config.server.host):
        proxied = server.eio.comes_from_proxy
        spared.append(only(Local(), metrics, name_of=server.eio.host_of, exempt=proxied))
    app = web.Application(middlewares=spared)
    app[NODE], app[ROOMS], app[SERVER], app[METRICS] = node, rooms, server, metrics
    app[CONFIG], app[DOORS] = config, [] if door is None else [door]

    async def running(_: web.Application) -> AsyncIterator[None]:
        try:
            try:
                await router.start()  # before the others find this node
            except OSError as error:
                where = f"; look at cluster.address ({peer.address})" if peer.address else ""
                raise CannotStart(f"cannot listen for the other nodes: {error}{where}") from error
            await node.start()
            if engine.webhooks is not None:
                Webhooks(config, engine, metrics, time.time, node.spawn).start(engine.webhooks)
            if issuer is not None:
                node.spawn("jwks", issuer.run())
            node.spawn("sessions", rooms.sessions.run())
            recovery.use(Signer(await engine.secret("recovery")))
            yield
        finally:
            await router.stop()
            if calls is not None:
                await calls.stop()
            await node.stop()

    async def stopping(_: web.Application) -> None:
        node.drain()
        await let_go(app)

    async def naming(_: web.Request, response: web.StreamResponse) -> None:
        response.headers["Server"] = SOFTWARE

    async def closing(_: web.Request, response: web.StreamResponse) -> None:
        if response.status == HTTPStatus.EXPECTATION_FAILED:
            metrics.count_request_refusal(EXPECTATION)
        if node.draining and response.status != 101:
            # the next request of the connection shall go to somebody who stays
            response.force_close()
            response.headers["Connection"] = "close"

    strict = headers.strict_transport(config.server.hsts)

    async def encrypting(request: web.Request, response: web.StreamResponse) -> None:
        if config.server.hsts and server.eio.scheme_of(request) == "https":
            response.headers[headers.STRICT_TRANSPORT] = strict

    app.cleanup_ctx.append(running)
    app.on_shutdown.append(stopping)
    around_answers = (naming, table.share, closing, encrypting)
    app.on_response_prepare.extend(around_answers)
    server.eio.bypass = Bypass((*spared, *around_answers), metrics.count_http, middleware.is_quiet)
    if door is not None:
        app.router.add_get(config.gateway.path, door.answer)
        app.on_shutdown.append(partial(_shut, door))  # before the timers of all connections stop
        sessions, plain = metrics.queue_bytes or int, door
        metrics.queue_bytes = lambda: sessions() + plain.queued
    server.attach(app, path)
    operator = Admin(
        config,
        engine,
        policy,
        metrics,
        time.time,
        lambda token: rooms.identities.identify(wire.Hello(token=token), ""),
    )
    callers = Callers(operator, policy, admission, metrics, time.time, server.eio.address_of)
    visits = Visits(rooms.visitors, callers, budget, time.time)
    bounds = Bounds(
        body=config.limits.max_payload,
        messages=config.rooms.history_page,
        page=config.limits.max_payload,
    )
    described = [
        *admin.routes(operator, callers.operator),
        *moderation.routes(rooms.moderation, callers.operator),
        *Rooms(rooms, visits, bounds).routes(),
        *RoomOperations(rooms, visits, config.limits.max_payload).routes(),
        *RoomModeration(rooms.moderation, visits).routes(),
    ]
    described.append(openapi.route(described, lambda: operator.reachable))
    cross = Cross(server.eio.admit_origin, server.eio.fields_of)
    app.router.add_routes(table.register(described, metrics, cross))
    shown = callers.operator if config.server.metrics == "admin" else None
    app.router.add_routes(health.routes(node.ready, metrics, shown))
    if config.server.web:
        app.router.add_routes(page.routes(frame_ancestors=config.server.frame_ancestors))
    return app


def mount(
    app: web.Application, path: str, config: Config | None = None, *, hooks: Hooks | None = None
) -> web.Application:
    """The whole server below a path of somebody's application, from the page to the API: there is
    `io(..., {path: "<path>/socket.io"})`. What is asked for the path itself is sent on to the page,
    which needs the slash at the end.

    Returns what `create_app` does. Raises ValueError for a path that is none, and `CannotStart`.
    """
    below = "/" + path.strip("/")
    if not re.fullmatch(r"(/[A-Za-z0-9._~-]+)+", below):
        raise ValueError(f'expected a path such as "/chat", found {path!r}')
    inner = create_app(config, hooks=hooks)

    async def page(request: web.Request) -> web.Response:
        query = f"?{request.query_string}" if request.query_string else ""
        # from where it is, as the browser knows it: there may be a proxy that takes a path away
        location = below.rpartition("/")[2] + "/" + query
        return web.Response(status=307, headers={"Location": location})

    if (config or Config()).server.web:
        app.router.add_get(below, page)
    app.add_subapp(below, inner)
    return inner


async def let_go(app: web.Application) -> None:
    """Close the connections of an application of `create_app`, over `drain.seconds`."""
    seconds = app[CONFIG].drain.seconds
    plain = [door.drain(seconds) for door in app[DOORS]]
    await asyncio.gather(app[SERVER].drain(seconds), *plain)


async def _shut(door: Door, _: web.Application) -> None:
    await door.shutdown()


def _verifier(config: Config) -> Verifier:
    try:
        return Verifier(config.auth, read_keys(config.auth))
    except (UnusableKey, ValueError) as error:
        raise CannotStart(str(error)) from error


def _issuer(auth: Auth, verifier: Verifier, metrics: Metrics) -> Issuer | None:
    if not auth.jwks_is_url:
        return None
    issuer = Issuer(
        auth.jwks,
        verifier.ring.publish,
        refresh=auth.jwks_refresh,
        cooldown=auth.jwks_cooldown,
        fetch=fetch,
        clock=time.time,
        count=metrics.count_key_fetch,
    )
    metrics.keys_fetched_at = lambda: issuer.fetched_at
    return issuer


# ---------------------------------------------------------------------------- the program


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
