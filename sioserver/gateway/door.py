"""The door itself: an HTTP request becomes a plain WebSocket, or is told why not.

Knows HTTP and connections; what is said over them is not its business.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from functools import partial
from http import HTTPStatus
from typing import Any, Final, Protocol

from aiohttp import web

from sioserver.admission import Admission, whose
from sioserver.auth.bearer import bearer, token_in
from sioserver.config import Config
from sioserver.connections import eager
from sioserver.connections.draining import spread
from sioserver.connections.slices import Slices
from sioserver.errors import DISCONNECTS, Refusal
from sioserver.gateway.connection import PlainConnection, Talk
from sioserver.gateway.native import Json, Msgpack
from sioserver.gateway.native_talk import NativeTalk
from sioserver.gateway.rooms import PlainRooms
from sioserver.gateway.tutorial_talk import TutorialTalk
from sioserver.metrics import Metrics
from sioserver.timers import Wheel
from sioserver.websocket import takeover
from sioserver.websocket.connection import WebSocket
from sioserver.websocket.deflating import Codec

log = logging.getLogger(__name__)

TRANSPORT: Final = "raw"
"""How these connections are counted."""

SETTLED: Final = 5.0
"""Seconds that the handlers of a client's last frames have before it is gone."""

STOPPED: Final = 8.0
"""Seconds that all have together when the server stops."""


class Visitors(Protocol):
    """Who asks, as the edge that knows the proxies sees it."""

    def address_of(self, request: web.Request, /) -> str:
        """The client's address."""

    def admit_origin(self, request: web.Request, /) -> bool:
        """May a page of the request's origin ask?"""


class Door:
    """Lets plain WebSockets in. Satisfies `connection.Server`."""

    def __init__(
        self,
        config: Config,
        visitors: Visitors,
        admission: Admission,
        metrics: Metrics,
        wheel: Wheel,
        codec: Codec | None,
        make_rooms: Callable[[Callable[[], int]], PlainRooms],
    ) -> None:
        """`codec`: messages are compressed, with clients that can do that. `make_rooms` is given
        what counts the connections."""
        limits, transport = config.limits, config.transport
        self.inbox = limits.inbox
        self.inbox_bytes = limits.max_payload
        self.logger = log
        self.metrics = metrics
        self.wheel = wheel
        self.slices = Slices()
        self.client_queue = limits.client_queue
        self.offer_queue = limits.client_queue // 2
        self.ping_interval = transport.ping_interval
        self.ping_timeout = transport.ping_timeout
        self.heartbeat = config.gateway.heartbeat
        self.stopping = False
        self.connections: set[PlainConnection] = set()
        self._visitors = visitors
        self._admission = admission
        self._codec = codec
        self._reader = takeover.reader(transport.websocket)
        self._takes_query_tokens = config.auth.allow_query_token
        self._endings: set[asyncio.Task[None]] = set()
        self._rooms = make_rooms(lambda: len(self.connections))
        self.proofs = self._rooms.proofs
        self._plain = TutorialTalk(self._rooms, heartbeat=config.gateway.heartbeat > 0)
        codecs = (Json(), Msgpack())
        self._natives = {one.protocol: NativeTalk(self._rooms, one) for one in codecs}

    # ------------------------------------------------------------ requests

    async def handle(self, connection: PlainConnection, data: str | bytes) -> None:
        """A message has come."""
        if not connection.closed and not connection.barred:
            await connection.talk.hear(connection, data)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer an HTTP request. Raises `Refusal`."""
        protocol = self._check(request)
        address = whose(self._visitors.address_of(request))
        full = self._admission.enter(address, asyncio.get_running_loop().time())
        if full is not None:
            raise Refusal("too_many", "no more connections just now", retry_after=full.retry_after)
        talk: Talk = self._natives[protocol] if protocol else self._plain
        token = bearer(request.headers.get("Authorization")) or token_in(request.query)
        connection = PlainConnection(self, talk, address, self._rooms.allowance(), token)
        self.connections.add(connection)
        self.metrics.connection_opened(TRANSPORT)
        opened = partial(self._opened, connection)
        limit = self.inbox_bytes
        try:
            taken = takeover.take_over(
                request, connection, limit, opened, self._reader, self._codec, protocol
            )
        except takeover.Malformed:
            self.metrics.count_request_refusal(takeover.REFUSED)
            connection.end("", "transport_close", flush=False)
            return takeover.detached(HTTPStatus.BAD_REQUEST)
        if not taken:
            connection.end("", "transport_close", flush=False)
        return takeover.detached()

    def _check(self, request: web.Request) -> str:
        """The sub-protocol; raises `Refusal`."""
        if not self._visitors.admit_origin(request):
            raise Refusal("forbidden", "This origin is not allowed")
        if request.headers.get("Upgrade", "").strip().lower() != "websocket":
            raise Refusal("bad_request", "this address is for WebSockets: new WebSocket(...)")
        if self.stopping:
            raise Refusal("draining")
        if not self._takes_query_tokens and token_in(request.query) is not None:
            self.metrics.count_invalid_token("misplaced")
            raise Refusal(
                "bad_request",
                "a token does not belong into the address: send it in a frame, or as "
                "Authorization: Bearer",
            )
        offered = ",".join(request.headers.getall("Sec-WebSocket-Protocol", ()))
        protocols = [name.strip() for name in offered.split(",") if name.strip()]
        if not protocols:
            return ""
        for name in protocols:
            if name in self._natives:
                return name
        # browsers end a connection by themselves when none of what they offer is taken
        known = " and ".join(self._natives)
        raise Refusal("bad_request", f"the sub-protocols here are {known}, or none at all")

    def _opened(self, connection: PlainConnection, ws: WebSocket) -> None:
        if connection.talk is self._plain:
            self._plain.begin(connection)
        self._rooms.expect(connection)
        connection.begin(ws)
        if connection.talk is self._plain:
            connection.enqueue(0, self._plain.look, connection)

    # ------------------------------------------------------------ connections

    @staticmethod
    def start(coroutine: Coroutine[Any, Any, None], /) -> asyncio.Task[None] | None:
        """See `inbox.Server`: our handlers use nothing that needs a task before they first wait."""
        return eager.run_trusted(coroutine)

    def unasked(self, connection: PlainConnection, what: str) -> None:
        """See `connection.Server`: it costs as much as an event."""
        self.metrics.count_unasked(what)
        self._rooms.guard.spend(connection)

    def ended(self, connection: PlainConnection, code: str) -> None:
        """See `connection.Server`."""
        self.connections.discard(connection)
        self._admission.leave(connection.address)
        self.metrics.connection_closed(TRANSPORT)
        self.metrics.count_disconnect(code if code in DISCONNECTS else "transport_close")
        # a wait with a timeout needs a task, which a trusted coroutine is not before it waits
        start = eager.run if connection.handling else eager.run_trusted
        task = start(self._tell(connection))
        if task is not None:
            self._endings.add(task)
            task.add_done_callback(self._endings.discard)

    async def _tell(self, connection: PlainConnection) -> None:
        if connection.handling:
            try:
                await asyncio.wait_for(connection.settled(), SETTLED)
            except TimeoutError:
                log.warning("a handler of a client that has gone does not end")
        try:
            await self._rooms.gone(connection)
        except Exception:  # nobody waits for this; the user's lease in the store ends by itself
            log.exception("the end of a connection could not be told")

    # ------------------------------------------------------------ the end

    @property
    def queued(self) -> int:
        """Bytes that wait for clients."""
        return sum(connection.queued for connection in self.connections)

    async def drain(self, seconds: float) -> None:
        """Close the connections, spread over `seconds`: see `draining.spread`."""
        self.stopping = True
        await spread(
            [partial(connection.end, "", "shutdown") for connection in self.connections], seconds
        )

    async def shutdown(self) -> None:
        """Close them all, and wait a while until that is told."""
        self.stopping = True
        for connection in list(self.connections):
            connection.end("", "shutdown")
        if self._endings:
            await asyncio.wait(list(self._endings), timeout=STOPPED)
