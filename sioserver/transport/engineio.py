"""The Engine.IO server (protocol v4): HTTP requests of clients, turned into sessions.

Which request may do what, as the reference implementation answers it. What becomes of a session
that a request has opened is in sessions.py, and what it does in session.py. Works under any aiohttp
application and also stands alone, with the handlers and methods of `engineio.AsyncServer`. Knows
nothing of Socket.IO.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from http import HTTPStatus
from typing import Any, Final

from aiohttp import web

from sioserver.admission import Full, whose
from sioserver.connections.inbox import resolve
from sioserver.ids import random_id
from sioserver.origins import Origins
from sioserver.transport import caller, edge, payload, polling, upgrade
from sioserver.transport.control import NOOP, Control
from sioserver.transport.edge import Edge, Refused, on_connection_lost
from sioserver.transport.http_connections import HttpConnection
from sioserver.transport.session import Overlap, Session
from sioserver.transport.sessions import SessionServer
from sioserver.websocket import deflate, takeover
from sioserver.websocket.connection import PROTOCOL_ERROR, Receiver, WebSocket
from sioserver.websocket.deflating import Codec

SID_LENGTH: Final = 24

NODE_ID: Final = re.compile("[0-9a-f]{8,32}")

Route = Callable[[web.Request, str], Awaitable[web.StreamResponse | None]]
"""Has a request answered by the node that its session belongs to; None: there is no such node."""


class EngineServer(SessionServer, Edge):
    """An Engine.IO server for aiohttp; arguments and methods as `engineio.AsyncServer`.

    More arguments, beside those of `SessionServer`: `trusted_proxies` (addresses whose
    X-Forwarded-* headers are believed), `poll_packets` (packets that one POST may bring),
    `body_timeout` (seconds), `node_id` (8 to 32 hexadecimal digits, unique among the nodes: session
    ids begin with it), `websocket` (who reads WebSockets: "picows", "aiohttp", or "auto", see
    `takeover.preferred`), `per_message_deflate` (compress messages of WebSockets: True, or a dict
    with some of the fields of `deflate.Settings`), `origins` (which pages may connect, besides the
    server's own; then `cors_allowed_origins` and `cors_credentials` mean nothing, and nobody brings
    credentials).
    """

    def __init__(
        self,
        *,
        trusted_proxies: Sequence[str] = (),
        origins: Origins | None = None,
        poll_packets: int = 10_000,
        body_timeout: float = 30.0,
        node_id: str = "",
        websocket: str = "auto",
        per_message_deflate: bool | Mapping[str, Any] | deflate.Settings = False,
        **options: Any,
    ) -> None:
        super().__init__(trusted_proxies=trusted_proxies, origins=origins, **options)
        self.poll_packets = poll_packets
        self.body_timeout = body_timeout
        self.node_id = node_id
        self._reader = takeover.reader(websocket)
        settings = deflate.settings(per_message_deflate)
        self.codec = None if settings is None else Codec(settings)
        # by servers that have a better place for tokens; what others put into the query is theirs
        self.refuses_tokens_in_addresses = False
        # set by the layer above
        self.route: Route | None = None
        self.bypass = polling.Bypass()  # what polls may be answered past
        # what is carried for sessions of other nodes now, as calls that end it
        self.carried: Callable[[], list[Callable[[], None]]] = list
        # set by servers that let every session in, instead of the "connect" handler: the environ
        # that it would be given takes as long to make as the rest of a handshake takes in Python
        self.welcome: Callable[[Session, web.Request], None] | None = None
        # polls that are answered when this turn of the loop ends
        self.turn = polling.Turn()

    # ------------------------------------------------------------ requests

    def attach(self, app: web.Application, engineio_path: str = "engine.io") -> None:
        """Serve below the path in an aiohttp application; closes its clients on shutdown."""
        app.router.add_route("*", f"/{engineio_path.strip('/')}/", self.handle_request)
        app.on_shutdown.append(self._on_shutdown)

    async def _on_shutdown(self, app: web.Application) -> None:
        await self.shutdown()

    def generate_id(self) -> str:
        """A session id that cannot be guessed: 144 random bits."""
        return random_id(SID_LENGTH)

    async def handle_request(self, request: web.Request) -> web.StreamResponse:
        """Answer an HTTP request."""
        if not self.admit_origin(request):
            return self.refuse(request, edge.BAD_ORIGIN)
        if request.method == "OPTIONS":
            return self.answer(request, b"")
        refused = self._check(request)
        if refused is edge.SESSION_UNKNOWN and self.route is not None:
            node = self._elsewhere(request)
            answer = None if node is None else await self.route(request, node)
            if answer is not None:
                return answer
        if refused is not None:
            return self._turn_away(request, refused)
        sid = request.query.get("sid")
        if sid is None:
            return await self._open(request)
        session = self.sockets[sid]
        if request.query["transport"] == "websocket":
            return self._upgrade(request, session)
        if request.method == "GET":
            return await self._poll(request, session)
        return await self._post(request, session)

    def _turn_away(self, request: web.Request, refused: Refused) -> web.Response:
        if refused is edge.SESSION_UNKNOWN:
            address = whose(self.address_of(request))
            now = asyncio.get_running_loop().time()
            if (full := self.admission.ask_for_unknown(address, now)) is not None:
                return self._full(request, full, address)
        return self.refuse(request, refused)

    def refuse(
        self, request: web.Request, refused: Refused, retry_after: float = 1.0
    ) -> web.Response:
        """An answer that says why not."""
        self.hooks.count("requests", refused.message)
        return super().refuse(request, refused, retry_after)

    def _refuse(self, request: web.Request, refused: Refused, counted: bool) -> web.Response:
        """The same; `counted`: as the end of the session, and what a client has done is counted
        once."""
        return super().refuse(request, refused) if counted else self.refuse(request, refused)

    def _check(self, request: web.Request) -> Refused | None:
        query = request.query
        transport = query.get("transport")
        if transport not in self.transports:
            return edge.TRANSPORT_UNKNOWN
        if "j" in query:
            return edge.BAD_REQUEST  # JSONP: scripts of any site could read the answers
        sid = query.get("sid")
        upgrading = request.headers.get("Upgrade", "").lower() == "websocket"
        if transport == "websocket" and not upgrading:
            return edge.BAD_REQUEST
        if sid is None:
            if request.method != "GET":
                return edge.BAD_METHOD
            if query.get("EIO") != "4":
                return edge.BAD_VERSION
            if self.stopping:
                return edge.STOPPING
            if self.refuses_tokens_in_addresses and edge.token_in_address(request) is not None:
                self.logger.warning("a token in the address was refused (auth.allow_query_token)")
                return edge.TOKEN_IN_ADDRESS
            return None
        session = self.sockets.get(sid)
        if session is None or not session.connected or self._is_anothers(session, request):
            return edge.SESSION_UNKNOWN
        if query.get("EIO", "4") != "4":
            return edge.BAD_VERSION
        if transport == "polling" and (session.upgraded or upgrading):
            return edge.BAD_REQUEST
        if request.method not in (("GET",) if transport == "websocket" else ("GET", "POST")):
            return edge.BAD_METHOD
        if session.closed and request.method == "POST":
            return edge.SESSION_UNKNOWN
        return None

    def _is_anothers(self, session: Session, request: web.Request) -> bool:
        """Does the request come from somebody else than the session's owner? Such a one is told
        what is told of sessions that never were."""
        what = session.binding.mismatch(self.binding_of(request))
        if what is not None:
            self.hooks.count("mismatches", what)
        return what is not None

    def _elsewhere(self, request: web.Request) -> str | None:
        """The other node that the request's session belongs to, by the session's id. One hop is
        enough: what another node has passed on goes no further."""
        node, dash, _ = request.query["sid"].partition("-")
        if not dash or node == self.node_id or NODE_ID.fullmatch(node) is None:
            return None
        return node if request.method in ("GET", "POST") and caller.CALLER not in request else None

    async def _open(self, request: web.Request) -> web.StreamResponse:
        over_websocket = request.query["transport"] == "websocket"
        client = self.address_of(request)
        address = whose(client)
        full = self.admission.enter(address, asyncio.get_running_loop().time())
        if full is not None:
            return self._full(request, full, address)
        sid = self.generate_id()
        session = Session(self, f"{self.node_id}-{sid}" if self.node_id else sid, address)
        session.binding = self.binding_of(request, client)
        self.sockets[session.sid] = session
        # the first packet, whatever the connect handler may send
        opening = self.dump(self._handshake(session, over_websocket)).decode()
        session.write(Control("0" + opening))
        try:
            accepted = await self._admit(session, request)
        except BaseException:  # this request is cancelled, where the application wants that
            self._discard(session)
            raise
        if session.closed:
            return self.refuse(request, edge.STOPPING)
        if accepted is not None and accepted is not True:
            self._discard(session)
            body = self.dump(accepted or "Unauthorized")
            return self.answer(request, body, 401, edge.JSON)
        if over_websocket:
            return self._take_over(request, session, partial(self._opened, session))
        session.connected = True
        self._begin(session)
        headers = {}
        if self.cookie:
            cookie = self.cookie
            if not isinstance(cookie, dict):
                cookie = {"name": cookie, "path": "/", "SameSite": "Lax"}
            headers["Set-Cookie"] = self._generate_sid_cookie(session.sid, cookie)
        return self.answer(request, payload.encode(session.fetch()), headers=headers)

    def _full(self, request: web.Request, full: Full, address: str | None) -> web.Response:
        if full.limit.startswith(("address_", "unknown_")):
            self.logger.warning(
                "limits.%s is reached by %s; if that is a proxy, name it in server.trusted_proxies "
                "and let it send X-Forwarded-For",
                full.limit,
                address,
            )
        return self.refuse(request, edge.FULL[full.limit], full.retry_after)

    async def _admit(self, session: Session, request: web.Request) -> Any:
        """None or True when the session may begin, else why not."""
        if self.welcome is None:
            return await self._trigger_event("connect", session.sid, self.environ_of(request))
        return self.welcome(session, request)

    def _opened(self, session: Session, ws: WebSocket) -> None:
        session.take(ws)
        self._begin(session)

    def _handshake(self, session: Session, over_websocket: bool) -> dict[str, Any]:
        upgrades = self.allow_upgrades and not over_websocket and "websocket" in self.transports
        interval = self.ping_interval + self.ping_interval_grace_period
        return {
            "sid": session.sid,
            "upgrades": ["websocket"] if upgrades else [],
            "pingTimeout": round(self.ping_timeout * 1000),
            "pingInterval": round(interval * 1000),
            "maxPayload": self.max_http_buffer_size,
        }

    def _upgrade(self, request: web.Request, session: Session) -> web.StreamResponse:
        probe = session.begin_upgrade() if self.allow_upgrades else None
        if probe is None:
            # as engine.io: accepted and closed, so that the client learns it
            return self._take_over(request, _Nobody(), self._refuse_upgrade)
        return self._take_over(request, probe, probe.opened)

    def _refuse_upgrade(self, ws: WebSocket) -> None:
        self.hooks.count("requests", upgrade.REFUSED)
        ws.fault(PROTOCOL_ERROR)

    def _take_over(
        self, request: web.Request, receiver: Receiver, opened: Callable[[WebSocket], None]
    ) -> web.StreamResponse:
        limit = self.max_http_buffer_size
        try:
            taken = takeover.take_over(request, receiver, limit, opened, self._reader, self.codec)
        except takeover.Malformed:
            self.hooks.count("requests", takeover.REFUSED)
            receiver.on_gone()
            return takeover.detached(HTTPStatus.BAD_REQUEST)
        if not taken:
            receiver.on_gone()
        return takeover.detached()

    async def _poll(self, request: web.Request, session: Session) -> web.StreamResponse:
        if caller.note_of(request) == caller.RELEASE:
            session.let_poll_go()
            return self.answer(request, payload.encode([NOOP]))
        polling.note(self, request, session)
        mark = request.query.get("t")
        repeated = session.answer_to(mark)
        if repeated is not None:
            return self.answer(request, repeated)
        waiting = asyncio.get_running_loop().create_future()
        try:
            if not session.poll(partial(resolve, waiting)):
                on_connection_lost(request, session.poll_lost)
                await waiting
        except Overlap:
            counted = session.broken("two polls at the same time")
            return self._refuse(request, edge.BAD_REQUEST, counted)
        except asyncio.CancelledError:  # where the application wants that
            session.abandon_poll()
            raise
        body = payload.encode(self.fetch(session))
        session.answered(mark, body)
        return self.answer(request, body)

    async def _post(self, request: web.Request, session: Session) -> web.StreamResponse:
        if session.posting:
            session.broken("two posts at the same time")
            return self.refuse(request, edge.BAD_REQUEST)
        session.posting = True
        try:
            # not request.content_type, which is this for requests that do not say
            if request.headers.get("Content-Type", "").startswith("application/octet-stream"):
                raise ValueError("binary bodies belong to protocol v3")
            body = await self._read(request)
            packets = payload.decode(body, self.poll_packets)
            polling.note(self, request, session, body)
            understood = await session.on_payload(packets)
        except (ValueError, web.RequestPayloadError) as error:
            if isinstance(error, payload.TooMany):
                self.hooks.count("limits", "poll_packets")
            return self._refuse(request, edge.BAD_REQUEST, session.broken(str(error)))
        except web.HTTPRequestEntityTooLarge:
            return self._refuse(request, edge.TOO_LARGE, session.broken("body too large"))
        except (TimeoutError, web.HTTPRequestTimeout):
            return self._refuse(request, edge.TOO_SLOW, session.broken("body too slow"))
        except ConnectionError:
            # half a body: nothing of it was handled, and the client has to know that it was lost
            session.end(self.reason.TRANSPORT_ERROR, "transport_close", flush=False)
            raise
        finally:
            session.posting = False
        if not understood:
            return self._refuse(request, edge.BAD_REQUEST, counted=True)
        return self.answer(request, b"ok", content_type=edge.HTML)

    async def _read(self, request: web.Request) -> bytes:
        note = caller.note_of(request)
        if note == caller.LOST:
            raise ConnectionResetError("the connection was lost on the way")
        if note == caller.MALFORMED:
            raise web.RequestPayloadError("it was malformed on the way")
        if note == caller.TOO_LARGE:
            raise web.HTTPRequestEntityTooLarge(self.max_http_buffer_size, 0)
        if note == caller.TOO_SLOW:
            raise TimeoutError
        return await self.read_body(request)

    async def read_body(self, request: web.Request) -> bytes:
        """The whole body: it comes in as many pieces as the network likes. Raises
        `web.HTTPRequestEntityTooLarge`, `web.RequestPayloadError`, ConnectionError and, when it is
        not whole in time, TimeoutError or (where connections are watched) `HTTPRequestTimeout`."""
        limit = self.max_http_buffer_size
        if (request.content_length or 0) > limit:
            raise web.HTTPRequestEntityTooLarge(limit, request.content_length or 0)
        if request.content.is_eof() or isinstance(request.protocol, HttpConnection):
            return await _read(request, limit)  # it is there, or somebody else looks at the clock
        try:
            async with asyncio.timeout(self.body_timeout):
                return await _read(request, limit)
        except TimeoutError:
            self.hooks.count("limits", "body_timeout")
            raise

    async def shutdown(self) -> None:
        """See `SessionServer.shutdown`."""
        await super().shutdown()
        if self.codec is not None:
            await self.codec.stop()


async def _read(request: web.Request, limit: int) -> bytes:
    body = bytearray()
    while chunk := await request.content.readany():
        body += chunk
        if len(body) > limit:
            raise web.HTTPRequestEntityTooLarge(limit, len(body))
    return bytes(body)


class _Nobody:
    """The receiver of a WebSocket that is closed at once."""

    def on_text(self, text: str) -> None: ...

    def on_binary(self, data: bytes) -> None: ...

    def on_gone(self) -> None: ...
