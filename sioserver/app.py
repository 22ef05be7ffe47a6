"""Everything is put together here, once: `create_app` for an aiohttp application that somebody
mounts or runs. No decision is taken here that a test of a part could not see. How the program that
runs it begins and ends is in serve.py.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from http import HTTPStatus
from typing import Final

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
from sioserver.api.table import Cross, Route
from sioserver.api.visits import Visits
from sioserver.auth import Policy, Signer, Verifier
from sioserver.config import Config
from sioserver.config.schema import KEY_SOURCES, Auth
from sioserver.connections.recovery import Recovery
from sioserver.engine import NODE_ID_BYTES, create_engine
from sioserver.engine.base import Engine
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
from sioserver.startup import CannotStart, check_parser
from sioserver.transport.engineio import EngineServer
from sioserver.transport.namespace import RoomServer
from sioserver.transport.polling import Bypass
from sioserver.transport.routing import Router
from sioserver.webhooks import Webhooks

log = logging.getLogger(__name__)

NODE: Final = web.AppKey("node", Node)
ROOMS: Final = web.AppKey("rooms", RoomService)
SERVER: Final = web.AppKey("server", RoomServer)
METRICS: Final = web.AppKey("metrics", Metrics)
DOORS: Final = web.AppKey("doors", list[Door])
CONFIG: Final = web.AppKey("config", Config)

Prepare = Callable[[web.Request, web.StreamResponse], Awaitable[None]]
"""What is told of each answer before its head is written."""

EXPECTATION: Final = "Expectation failed"
"""How requests are counted that expect what nobody does; no middleware sees them."""


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
    eio, metrics.node = server.eio, peer.id
    door = None
    if config.gateway.enabled:
        door = Door(
            config,
            eio,
            admission,
            metrics,
            eio.wheel,
            eio.codec,
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
                eio.wheel,
                node.spawn,
                crowd,
            ),
        )
    router = Router(peer, engine.peer, eio, metrics, secret=config.cluster.secret, clock=time.time)

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

    path = "/" + config.server.path.strip("/")
    spared = _middlewares(config, eio, metrics, path, served)
    around_answers = _around_answers(config, eio, metrics, node)
    eio.bypass = Bypass((*spared, *around_answers), metrics.count_http, middleware.is_quiet)
    app = web.Application(middlewares=spared)
    app[NODE], app[ROOMS], app[SERVER], app[METRICS] = node, rooms, server, metrics
    app[CONFIG], app[DOORS] = config, [] if door is None else [door]
    app.cleanup_ctx.append(running)
    app.on_shutdown.append(stopping)
    app.on_response_prepare.extend(around_answers)
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
    callers = Callers(operator, policy, admission, metrics, time.time, eio.address_of)
    described = _described(config, rooms, operator, callers, budget)
    cross = Cross(eio.admit_origin, eio.fields_of)
    app.router.add_routes(table.register(described, metrics, cross))
    shown = callers.operator if config.server.metrics == "admin" else None
    app.router.add_routes(health.routes(node.ready, metrics, shown))
    if config.server.web:
        app.router.add_routes(
            page.routes(
                frame_ancestors=config.server.frame_ancestors,
                socket_path=path,
                transports=config.transport.transports,
            )
        )
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
    config = config or Config()
    inner = create_app(config, hooks=hooks)
    if not (config.auth.takes_tokens or config.auth.insecure_anonymous):
        # where the application listens is not known here: the program would not start in public
        log.warning(
            "%s: anybody who can reach it may join and use any name: set %s, or "
            "auth.insecure_anonymous = true if that is meant",
            below,
            KEY_SOURCES,
        )

    async def page(request: web.Request) -> web.Response:
        query = f"?{request.query_string}" if request.query_string else ""
        # from where it is, as the browser knows it: there may be a proxy that takes a path away
        location = below.rpartition("/")[2] + "/" + query
        return web.Response(status=307, headers={"Location": location})

    if config.server.web:
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


def _middlewares(
    config: Config, eio: EngineServer, metrics: Metrics, path: str, served: bool
) -> list[Middleware]:
    """What is around every handler; polls need not pass through any of it."""
    # clients come and go there, and anybody may: counters have that, not the log
    doors = (path, config.gateway.path) if config.gateway.enabled else (path,)
    around = middleware.middleware(metrics, quiet=doors, address=eio.address_of)
    if config.server.hosts:
        return [around, only(Listed(config.server.hosts), metrics, name_of=eio.host_of)]
    if served and is_loopback(config.server.host):
        local = only(Local(), metrics, name_of=eio.host_of, exempt=eio.comes_from_proxy)
        return [around, local]
    return [around]


def _around_answers(
    config: Config, eio: EngineServer, metrics: Metrics, node: Node
) -> list[Prepare]:
    """What every answer says, whoever gives it."""
    strict = headers.strict_transport(config.server.hsts)

    async def naming(_: web.Request, response: web.StreamResponse) -> None:
        response.headers["Server"] = SOFTWARE

    async def closing(_: web.Request, response: web.StreamResponse) -> None:
        if response.status == HTTPStatus.EXPECTATION_FAILED:
            metrics.count_request_refusal(EXPECTATION)
        if node.draining and response.status != 101:
            # the next request of the connection shall go to somebody who stays
            response.force_close()
            response.headers["Connection"] = "close"

    async def encrypting(request: web.Request, response: web.StreamResponse) -> None:
        if config.server.hsts and eio.scheme_of(request) == "https":
            response.headers[headers.STRICT_TRANSPORT] = strict

    return [naming, table.share, closing, encrypting]


def _described(
    config: Config, rooms: RoomService, operator: Admin, callers: Callers, budget: Budget
) -> list[Route]:
    """The HTTP API, with the description of itself."""
    visits = Visits(rooms.visitors, callers, budget, time.time)
    most_bytes = config.limits.max_payload
    bounds = Bounds(body=most_bytes, messages=config.rooms.history_page, page=most_bytes)
    described = [
        *admin.routes(operator, callers.operator),
        *moderation.routes(rooms.moderation, callers.operator),
        *Rooms(rooms, visits, bounds).routes(),
        *RoomOperations(rooms, visits, most_bytes).routes(),
        *RoomModeration(rooms.moderation, visits).routes(),
    ]
    described.append(openapi.route(described, lambda: operator.reachable))  # with itself
    return described
