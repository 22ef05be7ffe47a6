"""The Engine.IO server (protocol v4): HTTP requests of clients, turned into sessions.

Which request may do what, as the reference implementation answers it; the life of a session is in
session.py. Works under any aiohttp application and also stands alone, with the handlers and
methods of `engineio.AsyncServer`. Knows nothing of Socket.IO.
"""

from __future__ import annotations

import asyncio
import inspect
import re
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from functools import partial
from http import HTTPStatus
from typing import Any, Final

import engineio
from aiohttp import web

from sioserver.admission import Admission, Full, whose
from sioserver.config.schema import Limits
from sioserver.connections import eager
from sioserver.connections.inbox import resolve
from sioserver.connections.slices import Slices
from sioserver.errors import DISCONNECTS
from sioserver.ids import random_id
from sioserver.origins import Origins
from sioserver.timers import Wheel
from sioserver.transport import caller, edge, payload, polling, upgrade
from sioserver.transport.control import NOOP, Control
from sioserver.transport.edge import Edge, Refused, on_connection_lost, takes
from sioserver.transport.hooks import Hooks
from sioserver.transport.http_connections import HttpConnection
from sioserver.transport.session import LINGER, Overlap, Session
from sioserver.websocket import deflate, takeover
from sioserver.websocket.connection import PROTOCOL_ERROR, Receiver, WebSocket
from sioserver.websocket.deflating import Codec
from sioserver.wire.strict import StrictJSON

DISCONNECT_GRACE: Final = 5.0
"""Seconds that the handlers of a client's last events have before its disconnect is told."""

STOP_GRACE: Final = 8.0
"""Seconds that all handlers together have when the server stops."""

SID_LENGTH: Final = 24

NODE_ID: Final = re.compile("[0-9a-f]{8,32}")

Route = Callable[[web.Request, str], Awaitable[web.StreamResponse | None]]
"""Has a request answered by the node that its session belongs to; None: there is no such node."""


class EngineServer(Edge):
    """An Engine.IO server for aiohttp; arguments and methods as `engineio.AsyncServer`.

    More arguments: `trusted_proxies` (addresses whose X-Forwarded-* headers are believed),
    `client_queue` (bytes that may wait for a client), `inbox` (events of a client that may wait for
    an earlier one), `poll_packets` (packets that one POST may bring), `upgrade_timeout` and
    `body_timeout` (seconds), `max_connections` (0: no limit), `admission` (who may come, in place
    of `max_connections`), `node_id` (8 to 32 hexadecimal digits, unique among the nodes: session
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
        client_queue: int = 1_048_576,
        inbox: int = 256,
        poll_packets: int = 10_000,
        upgrade_timeout: float = 10.0,
        body_timeout: float = 30.0,
        max_connections: int = 0,
        admission: Admission | None = None,
        node_id: str = "",
        websocket: str = "auto",
        per_message_deflate: bool | Mapping[str, Any] | deflate.Settings = False,
        **options: Any,
    ) -> None:
        options.setdefault("json", StrictJSON)
        options["async_mode"] = "aiohttp"
        super().__init__(trusted_proxies, origins, **options)
        self.start_service_task = False  # each session has its own deadlines
        self.client_queue = client_queue
        self.offer_queue = client_queue // 2
        self.inbox = inbox
        self.poll_packets = poll_packets
        self.upgrade_timeout = upgrade_timeout
        self.body_timeout = body_timeout
        if admission is None:
            places = Limits(enabled=False, connections=max_connections, address_connections=0)
            admission = Admission(places, lambda limit: self.hooks.count("limits", limit))
        self.admission = admission
        self.node_id = node_id
        self._reader = takeover.reader(websocket)
        settings = deflate.settings(per_message_deflate)
        self.codec = None if settings is None else Codec(settings)
        self.wheel = Wheel()
        # connections that are over: many may end at once
        self.slices = Slices()
        self.trusted_handlers = False
        # by servers that have a better place for tokens; what others put into the query is theirs
        self.refuses_tokens_in_addresses = False
        self.stopping = False
        # set by the layer above
        self.hooks = Hooks()
        self.route: Route | None = None
        self.bypass = polling.Bypass()  # what polls may be answered past
        # what is carried for sessions of other nodes now, as calls that end it
        self.carried: Callable[[], list[Callable[[], None]]] = list
        # set by AsyncServer: takes messages at once, instead of the "message" handler; and lets go
        # of what it keeps for a session that has ended
        self.receiver: Callable[[Session, str | bytes], None] | None = None
        # set by servers that let every session in, instead of the "connect" handler: the environ
        # that it would be given takes as long to make as the rest of a handshake takes in Python
        self.welcome: Callable[[Session, web.Request], None] | None = None
        self.release: Callable[[Session], None] | None = None
        # polls that are answered when this turn of the loop ends
        self.turn = polling.Turn()
        # sessions that have ended, until their disconnect handler has run
        self._ending: dict[str, Session] = {}
        self._telling: dict[str, asyncio.Task[None]] = {}

    # ------------------------------------------------------------ messages

    def on(self, event: str, handler: Any = None) -> Any:
        """Register a handler; see `engineio.AsyncServer.on`."""
        if event == "message":
            self.receiver = None
        return super().on(event, handler)

    @property
    def inbox_bytes(self) -> int:
        """Bytes of a client that may wait for an earlier one."""
        return int(self.max_http_buffer_size)

    def start(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None] | None:
        """Run a handler's coroutine, at once if that is possible."""
        return (eager.run_trusted if self.trusted_handlers else eager.run)(coroutine)

    def deliver(self, session: Session, data: str | bytes) -> None:
        """A message has come."""
        if self.receiver is not None:
            self.receiver(session, data)
        else:
            size = len(data)
            if isinstance(data, str) and data[:1].isdigit() is False:
                # python-engineio hands JSON to its users decoded, and anything else as it is
                try:
                    data = engineio.packet.Packet.json.loads(data)
                except ValueError:
                    pass
            session.enqueue(size, self._trigger_event, "message", session.sid, data)

    async def _trigger_event(self, event: str, *args: Any, run_async: bool = False) -> Any:
        # The stock method calls a handler again with fewer arguments when it raises TypeError,
        # which hides the handler's own TypeErrors and runs it twice.
        handler = self.handlers.get(event)
        if handler is None:
            return None
        if event == "disconnect" and not takes(handler, len(args)):
            args = args[:1]
        try:
            result = handler(*args)
            return await result if inspect.isawaitable(result) else result
        except Exception:
            self.logger.exception("%s handler error", event)
            return False if event == "connect" else None

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

    def _discard(self, session: Session) -> None:
        self._free_place(session)
        session.closing = session.closed = True
        self._forget(session.sid)
        if self.release is not None:
            self.release(session)

    def _free_place(self, session: Session) -> None:
        """Others may come in its place, whatever of the session is still to be told or fetched."""
        if session.has_place:
            session.has_place = False
            self.admission.leave(session.address)

    def _opened(self, session: Session, ws: WebSocket) -> None:
        session.take(ws)
        self._begin(session)

    def _begin(self, session: Session) -> None:
        self.hooks.on_opened(session)
        session.schedule_ping()

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

    def fetch(self, session: Session) -> list[str]:
        """The packets of the answer to a session's poll."""
        packets = session.fetch()
        if session.closed and not session.lingering:
            self.sockets.pop(session.sid, None)
        return packets

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

    # ------------------------------------------------------------ the end of sessions

    def ended(self, session: Session, reason: str, code: str, *, lingers: bool) -> None:
        """A session is over; its last packets may still have to be fetched (`lingers`)."""
        self._free_place(session)
        self.hooks.count("disconnects", code if code in DISCONNECTS else "transport_close")
        if lingers:
            self.wheel.after(LINGER, partial(self._forget, session.sid))
        else:
            self._forget(session.sid)
        if self.release is not None:
            self.release(session)
        if session.connected:
            self.hooks.on_closed(session)
        self._ending[session.sid] = session
        # a wait with a timeout needs a task, which a trusted coroutine is not before it waits
        start = eager.run if session.handling else self.start
        task = start(self._tell(session, reason))
        if task is not None:
            self._telling[session.sid] = task
            task.add_done_callback(lambda _: self._telling.pop(session.sid, None))

    def _forget(self, sid: str) -> None:
        self.sockets.pop(sid, None)

    def _get_socket(self, sid: str) -> Session:
        # python-engineio calls the disconnect handler before it lets go of the session; handlers
        # read there what they had kept in it
        session: Session | None = self.sockets.get(sid) or self._ending.get(sid)
        if session is None or (session.closed and sid not in self._ending):
            raise KeyError("Session not found")
        return session

    def log_broken(self, session: Session, what: str) -> None:
        """A client broke the protocol. Anybody can make us say it, so it is said quietly."""
        self.logger.debug("a client broke the protocol: %s", what)

    async def _tell(self, session: Session, reason: str) -> None:
        try:
            if session.handling:
                try:
                    await asyncio.wait_for(session.settled(), DISCONNECT_GRACE)
                except TimeoutError:
                    self.logger.warning("a handler of a client that has gone does not end")
            await self._trigger_event("disconnect", session.sid, reason)
        finally:
            self._ending.pop(session.sid, None)

    async def told(self, session: Session) -> None:
        """Wait until the disconnect handler of a session has run."""
        task = self._telling.get(session.sid)
        if task is not None and task is not asyncio.current_task():
            await asyncio.wait([task])

    async def disconnect(self, sid: str | None = None) -> None:
        """Close a session, or all of them; waits for the disconnect handlers."""
        sessions = list(self.sockets.values()) if sid is None else [self.sockets.get(sid)]
        closing = [session.close() for session in sessions if session is not None]
        await asyncio.gather(*closing)

    async def shutdown(self) -> None:
        """Close every session so that its client comes back, and wait a while for the handlers."""
        self.stopping = True
        for session in list(self.sockets.values()):
            session.end(self.reason.SERVER_DISCONNECT, "shutdown")
        if self._telling:
            await asyncio.wait(list(self._telling.values()), timeout=STOP_GRACE)
        if self.codec is not None:
            await self.codec.stop()
        # what is left waits for polls that will not come
        self.sockets.clear()
        self.wheel.stop()


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
