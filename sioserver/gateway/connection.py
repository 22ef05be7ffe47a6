"""One plain WebSocket: what waits for it is bounded, what it sends is handled in order, and it is
asked whether it is still there.

What its frames mean is its talk's business, who may open it the door's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Coroutine
from logging import Logger
from typing import Any, Final, Protocol

from sioserver.connections.farewell import close_frame
from sioserver.connections.inbox import Inbox, resolve
from sioserver.connections.proofs import Proofs
from sioserver.connections.slices import Slices
from sioserver.gateway.clients import PlainClient
from sioserver.gateway.frames import Frames
from sioserver.hub import Device
from sioserver.ids import random_id
from sioserver.limits import Allowance, NoAllowance
from sioserver.metrics import Metrics
from sioserver.model import Event
from sioserver.timers import Deadline, Wheel
from sioserver.websocket.connection import WebSocket
from sioserver.websocket.frames import frame

PING: Final = 0x89
"""First byte of a ping frame."""


class Talk(Protocol):
    """A dialect: what the frames of a connection mean, and how events are written."""

    async def hear(self, connection: PlainConnection, data: str | bytes) -> None:
        """A message has come."""

    def encode(self, event: Event, room: str, but: Collection[str] = ()) -> Frames:
        """An event, as the clients of the room are told; `but`: users of whose coming nothing is
        said."""

    async def end(self, client: PlainClient, ending: Any) -> None:
        """End the client: `ending` is a `Disconnect`."""

    def may_stay(self, connection: PlainConnection) -> bool:
        """Has it done in time what it has to do?"""

    def gone(self, connection: PlainConnection) -> bool:
        """The connection is over. True: for good, as far as its user is concerned."""


class Server(Protocol):
    """What all connections have in common."""

    inbox: int
    logger: Logger
    metrics: Metrics
    wheel: Wheel
    slices: Slices
    proofs: Proofs
    client_queue: int
    offer_queue: int
    ping_interval: float
    ping_timeout: float
    heartbeat: float

    @property
    def inbox_bytes(self) -> int:
        """See `inbox.Server`."""

    def start(self, coroutine: Coroutine[Any, Any, None], /) -> asyncio.Task[None] | None:
        """See `inbox.Server`."""

    async def handle(self, connection: PlainConnection, data: str | bytes, /) -> None:
        """A message has come."""

    def unasked(self, connection: PlainConnection, what: str, /) -> None:
        """It sent something that nobody asked for."""

    def ended(self, connection: PlainConnection, code: str, /) -> None:
        """It is over."""


class PlainConnection(Inbox):
    """See the module. Satisfies what `connections/` asks of a session and of its owner."""

    __slots__ = (
        "_answer_due",
        "_beat",
        "_number",
        "_ping_due",
        "_sent",
        "_sent_beat",
        "_unread",
        "address",
        "allowance",
        "barred",
        "clients",
        "closed",
        "closing",
        "confirming",
        "device",
        "due",
        "heartbeat",
        "made_up",
        "pinged",
        "server",
        "sid",
        "state",
        "strict",
        "subject",
        "talk",
        "token",
        "watched",
        "ws",
    )

    server: Server

    def __init__(
        self,
        server: Server,
        talk: Talk,
        address: str | None,
        allowance: Allowance | NoAllowance,
        token: str | None,
    ) -> None:
        """`address`: under what it is counted; it has a place there. `token`: one that came with
        the request."""
        super().__init__()
        self.server = server
        self.talk = talk
        self.address = address
        self.allowance = allowance
        self.token = token
        self.sid = random_id(16)
        self.ws: WebSocket | None = None
        self.clients: dict[str, PlainClient] = {}
        # what the talk knows of it
        self.state: Any = None
        # a guest is the same as long as the connection lasts
        self.made_up = random_id(12)
        self.subject: str | None = None
        self.device = Device()
        self.barred = self.closing = self.closed = False
        self.watched = False
        # a ping that proves what has arrived: when the last was sent, is one under way
        self.pinged = 0.0
        self.confirming = False
        # it has to be in a room, or to be let in, by then
        self.due: Deadline | None = None
        self.heartbeat: Frames | None = None
        """Sent as a sign of life, in place of WebSocket pings; answered with `alive`."""
        self.strict = True
        """Only `alive` answers a heartbeat; else the pong of a ping beside it does too."""
        self._beat: Deadline | None = None
        self._ping_due = self._answer_due = False
        self._number = 0
        self._sent: Any = None
        self._sent_beat: Any = None
        self._unread = False

    @property
    def owner(self) -> PlainConnection:
        """It is session and owner in one."""
        return self

    def begin(self, ws: WebSocket) -> None:
        """The WebSocket is there."""
        self.ws = ws
        ws.on_pong = self._on_pong
        if self._paused:
            ws.pause_reading()
        if self.heartbeat is None:
            self._beat_in(self.server.ping_interval)
        else:
            self._beat_in(self.server.heartbeat)

    # ------------------------------------------------------------ out

    def write(self, out: Frames, droppable: bool = False) -> bool:
        """Send it. Nothing is queued beyond the limit: something droppable is dropped then, and for
        anything else the connection is closed as too slow. False: it was not sent."""
        ws = self.ws
        if self.closing or ws is None:
            return False
        limit = self.server.client_queue
        if not out.frames or (ws.send(out, limit) if ws.deflates else ws.write(out.frames, limit)):
            return True
        if droppable:
            self.server.metrics.count_drop("slow")
        else:
            self.closing = True  # once; and not from inside a loop over the clients
            self.server.metrics.count_limit("client_queue")
            asyncio.get_running_loop().call_soon(self.end, "", "slow")
        return False

    def offer(self, out: Frames) -> bool:
        """Send what the client can do without for now, if it fits into half of the queue. False: it
        was not sent, and nothing else happens."""
        ws = self.ws
        if self.closing or ws is None:
            return False
        if not out.frames:
            return True
        limit = self.server.offer_queue
        return ws.send(out, limit) if ws.deflates else ws.write(out.frames, limit)

    @staticmethod
    def size(out: Frames) -> int:
        """Bytes that it takes in the queue."""
        return len(out.frames)

    @property
    def queued(self) -> int:
        """Bytes that wait for the client."""
        return 0 if self.ws is None else self.ws.backlog

    async def drain(self, below: int) -> None:
        """Wait until no more than `below` bytes wait, or it is over."""
        while self.ws is not None and not self.closing and self.queued > below:
            await self.ws.drained(below)

    # ------------------------------------------------------------ signs of life

    def _beat_in(self, seconds: float) -> None:
        self._beat = (
            self.server.wheel.after(seconds, self._beats)
            if self._beat is None
            else self._beat.moved(seconds)
        )

    def _beats(self) -> None:
        self._beat = None
        if self._answer_due and self._inbox and self.heartbeat is not None:
            self._unread = True  # an answer in the dialect's own frames waits for its turn
        if self._answer_due and not (self._unread or self.watched):
            self.server.slices.run(self._silent)
            return
        if self._answer_due:
            # it is us who do not read the answer, or the question is still on its slow way
            self._unread = self._paused
            self._beat_in(self.server.ping_timeout)
        elif self.heartbeat is None:
            self._answer_due = True
            self._beat_in(self.server.ping_timeout)
            self.ping()
        else:
            self._answer_due = True
            self._unread = self._paused
            self._sent_beat = self.server.proofs.written(self)
            self.write(self.heartbeat)
            self._beat_in(self.server.heartbeat)
            if not self.strict:
                self.ping()

    def _silent(self) -> None:
        if self._answer_due:  # it has not come while this waited for its slice
            self.end("", "ping_timeout", flush=False)

    def alive(self) -> None:
        """The client has answered its heartbeat."""
        if not self._answer_due:
            self.server.unasked(self, "pong")
            return
        self._answer_due = False
        sent, self._sent_beat = self._sent_beat, None
        self.server.proofs.proven(self, sent)

    def become(self, talk: Talk, heartbeat: Frames | None) -> None:
        """It speaks another dialect than was thought."""
        self.talk, self.heartbeat, self.state = talk, heartbeat, None
        self._answer_due = False
        if heartbeat is None:
            self._beat_in(self.server.ping_interval)

    def ping(self) -> None:
        """Ping now, unless an answer is being waited for; it proves that everything that was
        written before has arrived."""
        if self.closing or self._ping_due or self.ws is None:
            return
        self._ping_due = True
        self._unread = self._paused
        self._sent = self.server.proofs.written(self)
        self._number = (self._number + 1) % 2**32
        self.ws.write(frame(PING, self._number.to_bytes(4, "big")))
        self.server.metrics.pings += 1

    def _on_pong(self, payload: bytes) -> None:
        if not self._ping_due or payload != self._number.to_bytes(4, "big"):
            self.server.unasked(self, "pong")  # proves nothing and keeps nobody alive
            return
        self._ping_due = False
        if self.heartbeat is None:
            self._answer_due = False
            self._beat_in(self.server.ping_interval)
        elif not self.strict:
            self._answer_due = False
        sent, self._sent = self._sent, None
        self.server.proofs.proven(self, sent)

    # ------------------------------------------------------------ in

    def on_text(self, text: str) -> None:
        """A text message has come."""
        if not self.closed:
            self.enqueue(len(text), self.server.handle, self, text)

    def on_binary(self, data: bytes) -> None:
        """A binary message has come."""
        if not self.closed:
            self.enqueue(len(data), self.server.handle, self, data)

    def on_gone(self) -> None:
        """The WebSocket is over."""
        self.server.slices.run(self._gone)

    def _gone(self) -> None:
        code = "transport_close"
        if self.ws is not None:
            code = "parse_error" if self.ws.faulty else "left" if self.ws.said else code
        self.end("", code, flush=False)

    def broken(self) -> None:
        """It has sent what is no frame of its dialect."""
        self.end("", "parse_error")

    def pause_reading(self) -> None:
        """Too much waits (limits.inbox)."""
        self.server.metrics.count_limit("inbox")
        self._unread = True
        if self.ws is not None:
            self.ws.pause_reading()

    def resume_reading(self) -> None:
        """Go on after `pause_reading`."""
        if self._answer_due and not self.closed:
            self._beat_in(self.server.ping_timeout)  # only now can the answer be read
        if self.ws is not None:
            self.ws.resume_reading()

    # ------------------------------------------------------------ the end

    def end(self, reason: str, code: str, *, flush: bool = True) -> None:
        """Close it. `code` is a key of the table of disconnects; `flush`: the client still gets
        what was written, and a close frame with the number."""
        if self.closed:
            return
        self.closing = self.closed = True
        for deadline in (self._beat, self.due):
            if deadline is not None:
                deadline.cancel()
        self._beat = self.due = None
        self._sent = self._sent_beat = None
        if self.ws is not None:
            if flush:
                self.ws.close(*close_frame(code))
            else:
                self.ws.abort()
        resolve(self._on_room)
        self.server.ended(self, code)
