"""Requests of sessions that live on another node are answered by that node.

A session's id begins with its node's, so any node can be asked for any session. Polls and posts
are relayed as HTTP requests. The connection of an upgrade to WebSocket is passed to a node of the
same machine as it is (handoff.py), and relayed byte by byte to any other (relay.py). What a request
means is not looked at here; how nodes find each other is the engine's business.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Any, Final, NamedTuple

import aiohttp
from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

from sioserver.errors import Refusal
from sioserver.metrics import Metrics
from sioserver.model import Peer
from sioserver.transport import caller, edge, handoff
from sioserver.transport.caller import CALLER_HEADER, Caller, Seal
from sioserver.transport.doors import Doors, descriptors_path, host_and_port, socket_path
from sioserver.transport.edge import on_connection_lost
from sioserver.transport.engineio import EngineServer
from sioserver.transport.relay import HOP_BY_HOP, Connect, Relay
from sioserver.websocket import takeover

log = logging.getLogger(__name__)

MAX_REQUESTS: Final = 20_000
"""Polls and posts that may be relayed at the same time; more are told to come again."""

NO_WAY: Final = "no_way"
"""The reason that is counted when a node lives, but cannot be reached from here."""

MAX_TOLD: Final = 1000
"""Nodes that cannot be reached of which the log has told; it is silent about more."""

MAX_RELAYS: Final = 10_000
"""The same for WebSockets that are relayed byte by byte; each costs two connections."""

CONNECT_TIMEOUT: Final = 3.0
"""Seconds that a node has to accept a connection."""

KEEP_ALIVE: Final = 60.0
"""Seconds that a connection between nodes is kept without a request: much less than the other
side keeps it, so that none is closed just when it is used again."""

PATIENCE: Final = 5.0
"""Seconds that a relayed request may take longer than a poll can: until its session's end."""

NOT_PASSED_ON: Final = HOP_BY_HOP | caller.OURS | {"expect", "proxy-connection"}
"""Header fields that concern one connection, or are ours to write."""

UPGRADING: Final = frozenset({"connection", "upgrade"})
"""Those of them that an upgrade cannot do without."""

ADDED_BY_AIOHTTP: Final = ("User-Agent", "Accept", "Accept-Encoding", "Content-Type")

UNREACHABLE: Final = (aiohttp.ClientError, TimeoutError, OSError)

TAG: Final = 4
"""Digits of a host's tag."""

Find = Callable[[str], Awaitable[Peer | None]]


class Way(NamedTuple):
    """How to reach a node: over its unix socket, or (empty) at its address."""

    node: str
    socket: str
    host: str = "localhost"
    port: int = 80

    @property
    def origin(self) -> str:
        """The beginning of its URLs."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"


class Router:
    """Passes requests on to the nodes that they belong to, and takes those of the others."""

    def __init__(
        self,
        me: Peer,
        find: Find,
        server: EngineServer,
        metrics: Metrics,
        *,
        secret: str,
        clock: Callable[[], float],
    ) -> None:
        """`me` is this node and where it listens for the others, `find` is the engine's `peer`;
        `secret` is known to the nodes alone, and needed only where one has an address."""
        self._me = me
        self._find = find
        self._server = server
        self._metrics = metrics
        self._seal = Seal(secret, clock)
        self._secret = bool(secret)
        self._doors = Doors(me, server.handle_request, self._seal, metrics)
        self._limit = server.ping_interval + server.ping_timeout + PATIENCE
        self._sessions: dict[str, aiohttp.ClientSession] = {}
        self._senders: dict[str, handoff.Sender] = {}
        self._relays: set[Relay] = set()
        self._told: set[str] = set()
        """Nodes without a way to them that the log has told of."""
        self._requests = 0
        self._polls: dict[int, tuple[web.Request, Way]] = {}
        """By the identity of the request, which has no hash."""
        self._tasks: set[asyncio.Task[None]] = set()
        metrics.relays = lambda: len(self._relays)

    async def start(self) -> None:
        """Take requests from the other nodes, and pass on to them. Raises OSError."""
        await self._doors.start()
        self._server.route = self.route
        self._server.carried = self._carried

    def _carried(self) -> list[Callable[[], None]]:
        releases = [partial(self._release, *poll) for poll in self._polls.values()]
        return [*releases, *(relay.close for relay in self._relays)]

    async def stop(self) -> None:
        """Let go of everything."""
        self._server.route, self._server.carried = None, list
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for relay in list(self._relays):
            relay.close()
        await self._doors.stop()
        for sender in self._senders.values():
            sender.close()
        await asyncio.gather(*(session.close() for session in self._sessions.values()))
        self._sessions.clear()
        self._senders.clear()

    # ------------------------------------------------------------ where to

    async def route(self, request: web.Request, node: str) -> web.StreamResponse | None:
        """Have the request answered by the node; None when there is no such node, or it died."""
        try:
            peer = await self._find(node)
        except Refusal:
            peer = None
        way = None if peer is None else self._way(peer)
        if way is None:
            if peer is None or (peer.directory and peer.directory == self._me.directory):
                self._metrics.count_forward_failure("unknown")  # it has gone
            else:
                self._no_way(peer)
            return None
        if way.socket and not (way.node in self._sessions or way.node in self._senders):
            await self._tidy()  # it may be there in the place of another
        try:
            if request.query.get("transport") == "websocket":
                return await self._move(request, way)
            return await self._ask(request, way)
        except UNREACHABLE as error:
            if request.transport is None or request.transport.is_closing():
                raise ConnectionResetError("the client has gone") from error
            self._metrics.count_forward_failure("unreachable")
            log.debug("the node %s does not answer: %s", node, error)
            await self._tidy()
            return None

    def _way(self, peer: Peer) -> Way | None:
        if peer.directory and peer.directory == self._me.directory:
            path = socket_path(peer.directory, peer.id)
            # another machine may have a directory of the same name
            if _exists(path):
                return Way(peer.id, path)
        if peer.address and self._secret:
            return Way(peer.id, "", *host_and_port(peer.address))
        return None

    def _no_way(self, peer: Peer) -> None:
        self._metrics.count_forward_failure(NO_WAY)
        if peer.id in self._told or len(self._told) >= MAX_TOLD:
            return
        self._told.add(peer.id)
        missing = "this one has no cluster.secret" if peer.address else "has no cluster.address"
        # put together here: the log shows one line of a kind in a few seconds
        log.warning(
            f"node {peer.id} serves the same rooms but {missing}: requests of its sessions that "
            "come here fail; set cluster.address and cluster.secret on every host (and on each "
            "server process of one host)"
        )

    def _busy(self, request: web.Request) -> web.Response:
        self._metrics.count_forward_failure("busy")
        return self._server.refuse(request, edge.BUSY)

    # ------------------------------------------------------------ polls and posts

    async def _ask(self, request: web.Request, way: Way) -> web.StreamResponse | None:
        origin, body = caller.caller_of(request), b""
        if request.method == "GET" and self._server.stopping:
            origin = origin._replace(note=caller.RELEASE)  # not to be waited for any more
        lost: ConnectionError | None = None
        if request.method == "POST":
            # the owner of the session has to know also of a body that did not come
            try:
                body = await self._server.read_body(request)
            except web.HTTPRequestEntityTooLarge:
                origin = origin._replace(note=caller.TOO_LARGE)
            except web.RequestPayloadError:
                origin = origin._replace(note=caller.MALFORMED)
            except (TimeoutError, web.HTTPRequestTimeout):
                origin = origin._replace(note=caller.TOO_SLOW)
            except ConnectionError as error:
                origin, lost = origin._replace(note=caller.LOST), error
        if self._requests >= MAX_REQUESTS:
            return self._busy(request)
        self._requests += 1
        try:
            answer = await self._relay_request(request, way, origin, body)
        finally:
            self._requests -= 1
        if lost is not None:
            raise lost
        if answer is not None:
            self._metrics.count_forward("polling")
        return answer

    def _release(self, request: web.Request, way: Way) -> None:
        """This node is stopping: have the owner let go of the poll. Breaking it off would be taken
        for a lost one, which ends the session."""
        if id(request) in self._polls:
            task = asyncio.create_task(self._ask_for_release(request, way), name="release")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _ask_for_release(self, request: web.Request, way: Way) -> None:
        origin = caller.caller_of(request)._replace(note=caller.RELEASE)
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT), self._request(request, way, origin, b""):
                pass
        except UNREACHABLE as error:
            log.debug("the node %s lets go of no poll: %s", way.node, error)

    async def _relay_request(
        self, request: web.Request, way: Way, origin: Caller, body: bytes
    ) -> web.Response | None:
        loop = asyncio.get_running_loop()
        scope = asyncio.timeout(self._limit)
        waiting = True

        def give_up() -> None:
            if waiting and not scope.expired():
                scope.reschedule(loop.time())

        if request.method == "GET":
            if request.transport is None:
                raise ConnectionResetError("the client has gone")  # nobody would tell us any more
            self._polls[id(request)] = request, way
            # so that the owner sees a lost poll, as if the client were its own
            on_connection_lost(request, give_up)
        try:
            async with scope, self._request(request, way, origin, body) as answer:
                data = await answer.read()
        finally:
            waiting = False
            self._polls.pop(id(request), None)
        if answer.status == 403:
            self._distrusted(way)
            return None
        response = web.Response(status=answer.status, reason=answer.reason, body=data)
        for name, value in answer.headers.items():
            if name.lower() not in NOT_PASSED_ON:
                response.headers.add(name, value)
        return response

    def _distrusted(self, way: Way) -> None:
        self._metrics.count_forward_failure("distrusted")
        log.warning(
            "the node at %s does not believe this one: cluster.secret must be the same and the "
            "clocks must not differ by more than %d seconds",
            way.origin,
            caller.SKEW,
        )

    def _request(
        self, request: web.Request, way: Way, origin: Caller, body: bytes
    ) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        """The request, to its owner."""
        url = URL(way.origin + request.rel_url.raw_path_qs, encoded=True)
        headers = CIMultiDict(
            (name, value)
            for name, value in request.headers.items()
            # the body has been unpacked
            if name.lower() not in NOT_PASSED_ON and name.lower() != "content-encoding"
        )
        headers.update(self._credentials(way, request.method, url.raw_path_qs, origin))
        return self._session(way).request(
            request.method,
            url,
            headers=headers,
            data=body if request.method == "POST" else None,
            allow_redirects=False,
        )

    def _credentials(self, way: Way, method: str, path: str, origin: Caller) -> dict[str, str]:
        if way.socket:
            return {CALLER_HEADER: caller.write(origin)}
        return self._seal.headers(method, path, origin)

    def _session(self, way: Way) -> aiohttp.ClientSession:
        """The connections to a node; those to other machines are kept by one session."""
        key = way.socket and way.node
        session = self._sessions.get(key)
        if session is None:
            connector: aiohttp.BaseConnector
            if way.socket:
                connector = aiohttp.UnixConnector(way.socket, limit=0, keepalive_timeout=KEEP_ALIVE)
            else:
                connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEP_ALIVE)
            session = self._sessions[key] = aiohttp.ClientSession(
                connector=connector,
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT),
                cookie_jar=aiohttp.DummyCookieJar(),
                skip_auto_headers=ADDED_BY_AIOHTTP,
                auto_decompress=False,
            )
            # A GET whose connection breaks is sent again otherwise: but a poll takes its packets
            # out of the session, and the client would never learn that some were lost.
            session._retry_connection = False
        return session

    async def _tidy(self) -> None:
        """Let go of the nodes of this machine that have gone."""
        gone = [
            node
            for node in {*self._sessions, *self._senders}
            if node and not _exists(socket_path(self._me.directory, node))
        ]
        for node in gone:
            if (sender := self._senders.pop(node, None)) is not None:
                sender.close()
        sessions = [self._sessions.pop(node, None) for node in gone]
        await asyncio.gather(*(session.close() for session in sessions if session is not None))

    # ------------------------------------------------------------ upgrades

    async def _move(self, request: web.Request, way: Way) -> web.StreamResponse | None:
        if request.body_exists:
            return self._server.refuse(request, edge.BAD_REQUEST)
        if way.socket and await self._hand_over(request, way):
            self._metrics.count_forward("handoff")
            return takeover.detached()
        if len(self._relays) >= MAX_RELAYS:
            return self._busy(request)
        relay = Relay(self._relays.discard)
        self._relays.add(relay)
        joined = False
        try:
            path = request.rel_url.raw_path_qs
            ours = self._credentials(way, request.method, path, caller.caller_of(request))
            answer = await relay.ask(self._connector(way), _head(request, ours))
            if answer is not None and answer.status == 403:
                self._distrusted(way)
                return None
            if answer is not None:
                return answer
            joined = relay.join(request)
        finally:
            if not joined:
                self._relays.discard(relay)
        if not joined:
            raise ConnectionResetError("one of the two has gone")
        self._metrics.count_forward("relay")
        return takeover.detached()

    async def _hand_over(self, request: web.Request, way: Way) -> bool:
        tcp, handler = request.transport, request.protocol
        if tcp is None or tcp.is_closing():
            raise ConnectionResetError("the client has gone")
        if tcp.get_extra_info("sslcontext") is not None or tcp.get_write_buffer_size():
            return False  # there is more to it than the connection
        # what comes from here on stays in the kernel for the owner
        tcp.pause_reading()
        sender = self._senders.get(way.node)
        if sender is None:
            path = descriptors_path(self._me.directory, way.node)
            sender = self._senders[way.node] = handoff.Sender(path)
        number = tcp.get_extra_info("socket").fileno()
        if not await sender.send(number, _head(request, {}) + handler._message_tail):
            if not tcp.is_closing():
                tcp.resume_reading()
            return False
        handler._message_tail = b""
        takeover.let_go(request)
        tcp.close()  # this copy of the descriptor: the connection lives on in the owner
        return True

    def _connector(self, way: Way) -> Connect:
        async def connect(protocol: Callable[[], asyncio.Protocol]) -> Any:
            loop = asyncio.get_running_loop()
            async with asyncio.timeout(CONNECT_TIMEOUT):
                if way.socket:
                    return await loop.create_unix_connection(protocol, way.socket)
                return await loop.create_connection(protocol, way.host, way.port)

        return connect


def _head(request: web.Request, ours: Mapping[str, str]) -> bytes:
    """The beginning of an upgrade, as it came but for what is ours to write."""
    path = request.rel_url.raw_path_qs
    lines = [f"{request.method} {path} HTTP/1.1".encode("utf-8", "surrogateescape")]
    lines += [
        name + b": " + value
        for name, value in request.raw_headers
        if name.decode("latin-1").lower() not in NOT_PASSED_ON - UPGRADING
    ]
    lines += [f"{name}: {value}".encode() for name, value in ours.items()]
    return b"\r\n".join(lines) + b"\r\n\r\n"


def _exists(path: str) -> bool:
    return os.path.exists(path)


def host_tag(host: str) -> str:
    """With what the ids of a host's nodes begin, when the others reach it by this name or address:
    a balancer can tell by it where a session lives (deploy/nginx.conf). Empty for an empty one."""
    return hashlib.sha256(host.encode()).hexdigest()[:TAG] if host else ""
