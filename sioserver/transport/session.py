"""An Engine.IO session: one client, over polling, over a WebSocket, or on its way to it.

The state machine of protocol v4: what may be sent where, pings, upgrade, closing. Outgoing packets
are written straight to the WebSocket or wait, in a buffer with a limit, for the next poll;
incoming ones are handled in order (inbox.py). HTTP is next door (engineio.py, polling.py), the
server that they have in common too (sessions.py); what the messages mean is nobody's business here.
"""

from __future__ import annotations

import asyncio
import base64
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from engineio.async_socket import AsyncSocket
from engineio.packet import MESSAGE as MESSAGE_PACKET

from sioserver.connections.farewell import close_frame
from sioserver.connections.inbox import Inbox, resolve
from sioserver.timers import Deadline
from sioserver.transport.control import CLOSE, MESSAGE, NOOP, PING_PACKET, PONG, Control
from sioserver.transport.frames import Outgoing
from sioserver.transport.upgrade import Probe
from sioserver.websocket import connection as websocket
from sioserver.websocket.frames import BINARY, TEXT, frame

if TYPE_CHECKING:
    from sioserver.transport.binding import Binding
    from sioserver.transport.heads import Head
    from sioserver.transport.sessions import SessionServer

UPGRADE_NOOP: Final = 0.1
"""Seconds that a poll may wait while an upgrade is under way (as engine.io): the client pauses
polling and cannot go on before its last poll is answered."""

LINGER: Final = 10.0
"""Seconds that the last packets of a closed polling session wait for the poll that fetches them."""

DRAINED: Final = 65_536
"""Bytes that may still wait when a long replay goes on."""

POLL_PACKETS: Final = 16
"""Packets in the answer to a poll: python-engineio clients refuse payloads with more."""

NO_FAREWELL: Final = frozenset({"left", "shutdown", "slow"})
"""Ends of a polling session that are told by no CLOSE packet. A client that left wants no answer; a
client that shall come back finds its session gone with its next poll, for python-engineio's client
takes a CLOSE for an end that is meant for good and does not reconnect."""


class Overlap(Exception):
    """Two requests of one kind at the same time: the client has lost its mind."""


class Session(Inbox, AsyncSocket):
    """One client of the Engine.IO server; `sid` is its id."""

    __slots__ = (
        "_beat",
        "_buffer",
        "_buffered",
        "_last_poll",
        "_on_drain",
        "_ping_due",
        "_poll",
        "_probe",
        "_sent",
        "_unread",
        "address",
        "binding",
        "closed",
        "closing",
        "connected",
        "has_place",
        "heads",
        "last_ping",
        "malformed",
        "owner",
        "posting",
        "server",
        "session",
        "sid",
        "upgraded",
        "upgrading",
        "watched",
        "ws",
    )

    server: SessionServer

    def __init__(self, server: SessionServer, sid: str, address: str | None = None) -> None:
        """`address`: under what it is counted (`admission.whose`); it has a place there."""
        super().__init__()
        self.address = address
        self.has_place = True
        # what python-engineio and its users look at
        self.server = server
        self.sid = sid
        self.last_ping: float | None = None
        self.connected = False
        self.upgrading = False
        self.upgraded = False
        self.closing = False
        self.closed = False
        self.malformed = False
        self.session: dict[str, Any] = {}
        # the layer above keeps what it knows of the client here
        self.owner: Any = None
        # out: straight to the WebSocket, or buffered for the next poll
        self.ws: websocket.WebSocket | None = None
        self._buffer: deque[str] = deque()
        self._buffered = 0
        self._on_drain: asyncio.Future[None] | None = None
        self._poll: Callable[[], None] | None = None
        self._last_poll: tuple[str, bytes] | None = None
        self.posting = False
        # whose it is; set by who opens it
        self.binding: Binding
        # what its requests look like, by their method
        self.heads: dict[bytes, Head] | None = None
        self._probe: Probe | None = None
        # heartbeat: the next ping, or the end of the wait for a pong
        self._beat: Deadline | None = None
        self._ping_due = False
        self._unread = False
        self._sent: Any = None
        # somebody looks that it takes what waits for it, so a late pong is no bad sign
        self.watched = False

    # ------------------------------------------------------------ out

    def write(self, out: Outgoing, droppable: bool = False) -> bool:
        """Send a packet. Nothing is queued beyond the limit: a droppable packet is then dropped,
        and for any other the session is closed as too slow. False when it was not sent."""
        ws = self.ws
        if self.closing:
            return False  # nothing may go out behind a packet that did not
        if ws is not None:
            limit = self.server.client_queue
            sent = ws.send(out, limit) if ws.deflates else ws.write(out.frames, limit)
            return sent or self._overflow(droppable)
        return self._keep(out, self.server.client_queue) or self._overflow(droppable)

    def offer(self, out: Outgoing) -> bool:
        """Send a packet that the client can do without for now, if it fits into half of the queue:
        the other half is for pings, and for answers to what the client asks. False: it was not
        sent, and nothing else happens."""
        ws = self.ws
        if self.closing:
            return False
        if ws is not None:
            limit = self.server.offer_queue
            return ws.send(out, limit) if ws.deflates else ws.write(out.frames, limit)
        return self._keep(out, self.server.offer_queue)

    def _keep(self, out: Outgoing, limit: int) -> bool:
        """Keep a packet for the next poll. False, when what waits would be more than `limit`."""
        packets = out.packets
        size = sum(map(len, packets))
        if self._buffered + size > limit and self._buffered:
            return False
        self._buffer.extend(packets)
        self._buffered += size
        self._wake_poll()
        return True

    def _overflow(self, droppable: bool) -> bool:
        if droppable:
            self.server.hooks.count("dropped", "slow")
        elif not self.closing:
            self.closing = True  # once; and not from inside a broadcast's loop over the clients
            self.server.hooks.count("limits", "client_queue")
            asyncio.get_running_loop().call_soon(self.end, "slow consumer", "slow")
        return False

    def size(self, out: Outgoing) -> int:
        """Bytes that the packet takes in the queue."""
        return sum(map(len, out.packets)) if self.ws is None else len(out.frames)

    async def send(self, pkt: Any) -> None:
        """Send an `engineio.packet.Packet`."""
        if pkt.packet_type == MESSAGE_PACKET and isinstance(pkt.data, (bytes, bytearray)):
            out = Outgoing([bytes(pkt.data)])
        else:
            text = pkt.encode(b64=True)
            out = Outgoing([text[1:]]) if text[0] == MESSAGE else Control(text)
        out.alone = True
        self.write(out)

    @property
    def queued(self) -> int:
        """Bytes that wait for the client."""
        return self._buffered + (self.ws.backlog if self.ws is not None else 0)

    async def drain(self, below: int = DRAINED) -> None:
        """Wait until the client has taken most of what was written (no more than `below` bytes are
        left), or the session is over."""
        while not self.closing and self.queued > below:
            if self.ws is not None:
                await self.ws.drained(below)
            else:
                self._on_drain = self._on_drain or asyncio.get_running_loop().create_future()
                await asyncio.shield(self._on_drain)

    # ------------------------------------------------------------ heartbeat

    def schedule_ping(self) -> None:
        """Ping the client after the usual pause."""
        self._ping_due = False
        self._beat_in(self.server.ping_interval)

    def _beat_in(self, seconds: float) -> None:
        # one deadline, put off with each ping and each pong: setting one costs ten times as much,
        # and clients in busy rooms are pinged every second
        if self._beat is None:
            self._beat = self.server.wheel.after(seconds, self._beats)
        else:
            self._beat = self._beat.moved(seconds)

    def _beats(self) -> None:
        self._beat = None
        if not self._ping_due:
            self.ping()
        elif self._unread or self.watched:
            # it is us who do not read the answer, or did not for some of the time; or the ping is
            # still on its slow way
            self._unread = self._paused
            self._beat_in(self.server.ping_timeout)
        else:
            self.server.slices.run(self._silent)

    def _silent(self) -> None:
        if not self._ping_due:
            return  # the answer has come while this waited for its slice
        self.server.hooks.count("pings", "timeout")
        self.end(self.server.reason.PING_TIMEOUT, "ping_timeout", flush=False)

    def ping(self) -> None:
        """Ping now, unless an answer is being waited for. The answer proves that everything that
        was written before has arrived."""
        if self.closing or self._ping_due:
            return
        self._ping_due = True
        self._unread = self._paused
        self._sent = self.server.hooks.written(self)
        self.write(PING_PACKET)
        self.server.hooks.count("pings", "sent")
        self._beat_in(self.server.ping_timeout)

    def _pong(self) -> None:
        if not self._ping_due:
            self.server.hooks.unasked(self, "pong")  # proves nothing and keeps nobody alive
            return
        sent, self._sent = self._sent, None
        self.schedule_ping()
        # also with nothing to prove: something may have been written since, and its own ping was
        # left out because this one was under way
        self.server.hooks.proven(self, sent)

    # ------------------------------------------------------------ in

    def on_text(self, text: str) -> None:
        """An Engine.IO packet has come over the WebSocket."""
        if self.closed:
            return
        kind = text[:1]
        if kind == MESSAGE:
            self.server.deliver(self, text[1:])
        elif text == PONG:
            self._pong()
        elif text == CLOSE:
            self.end(self.server.reason.CLIENT_DISCONNECT, "left")
        elif text == NOOP:
            self.server.hooks.unasked(self, "noop")
        else:
            self.broken("unknown packet")

    def on_binary(self, data: bytes) -> None:
        """A binary message has come over the WebSocket."""
        if not self.closed:
            self.server.deliver(self, data)

    def on_gone(self) -> None:
        """The WebSocket is over."""
        self.server.slices.run(self._gone)

    def _gone(self) -> None:
        if self.ws is not None and self.ws.faulty:
            self.malformed = True
            self.end(self.server.reason.TRANSPORT_ERROR, "parse_error", flush=False)
        else:
            self.end(self.server.reason.TRANSPORT_CLOSE, "transport_close", flush=False)

    async def on_payload(self, packets: list[str | bytes]) -> bool:
        """The packets of a POST, in order. False when the client has broken the protocol.

        Takes as long as the inbox is full: the answer to the POST is what the client waits for.
        """
        for packet in packets:
            if self._paused:
                await self.room_in_inbox()
            if self.closed:
                break
            if isinstance(packet, bytes):
                self.on_binary(packet)
            elif packet[:1] not in (MESSAGE, PONG, CLOSE):
                self.broken("unknown packet")
            else:
                self.on_text(packet)
        await self.room_in_inbox()
        return not self.malformed

    def broken(self, what: str) -> bool:
        """The client broke the protocol: close, as the reference implementation does. True: that is
        what ended the session, and it was counted; False: it was over already."""
        if self.closed:
            return False
        self.malformed = True
        self.server.log_broken(self, what)
        waiting = self.ws is not None or self._poll is not None
        self.end(self.server.reason.TRANSPORT_ERROR, "parse_error", flush=waiting)
        return True

    def pause_reading(self) -> None:
        """Read no more of the client for now; a polling client waits for the answer to its POST."""
        self.server.hooks.count("limits", "inbox")
        self._unread = True
        if self.ws is not None:
            self.ws.pause_reading()

    def resume_reading(self) -> None:
        """Go on after `pause_reading`."""
        if self._ping_due and not self.closed:
            self._beat_in(self.server.ping_timeout)  # only now can the answer be read
        if self.ws is not None:
            self.ws.resume_reading()

    # ------------------------------------------------------------ polling

    def poll(self, wake: Callable[[], None]) -> bool:
        """A poll has come. True: `fetch` what it gets; False: there is nothing yet, and `wake` is
        called (perhaps more than once) when it is time to. Raises `Overlap`."""
        if self._poll is not None:
            raise Overlap
        if self._sent is not None and not self._ping_due:
            # a new poll: the answer to the one before has arrived
            sent, self._sent = self._sent, None
            self.server.hooks.proven(self, sent)
        if self._buffer or self.closed:
            return True
        self._poll = wake
        if self.upgrading:
            self.server.wheel.after(UPGRADE_NOOP, self._upgrade_noop)
        return False

    def fetch(self) -> list[str]:
        """The packets of the answer to the poll; it waits no longer."""
        self._poll = None
        packets: list[str] = []
        while self._buffer and len(packets) < POLL_PACKETS:
            packets.append(self._buffer.popleft())
            self._buffered -= len(packets[-1])
        if self._buffered <= DRAINED:
            self._drained()
        if not self._buffer and not self._ping_due:
            self._sent = self.server.hooks.written(self)
        return packets or [NOOP]

    def abandon_poll(self) -> None:
        """Nobody waits for packets any more, and none were on their way."""
        self._poll = None

    def poll_lost(self) -> None:
        """The request of the poll that waits has been given up."""
        # a packet that this poll would have carried could be lost: better to come back and recover
        if self._poll is not None:
            self.end(self.server.reason.TRANSPORT_ERROR, "transport_close", flush=False)
            self._poll = None

    def answered(self, mark: str | None, body: bytes) -> None:
        """This is the answer to the poll of this mark: a client gives each request another `t`."""
        self._last_poll = (mark, body) if mark else None

    def answer_to(self, mark: str | None) -> bytes | None:
        """The answer that a poll had already.

        HTTP clients repeat a GET by themselves when the connection breaks before its answer has
        come (RFC 9110, 9.2.2), and a node that passes polls on may die with an answer. Taken for
        the next poll, it would prove that an answer has arrived which nobody ever saw.
        """
        last = self._last_poll
        return last[1] if last is not None and last[0] == mark else None

    @property
    def polling(self) -> bool:
        """Does a poll wait?"""
        return self._poll is not None

    @property
    def lingering(self) -> bool:
        """Are there packets that a further poll has to fetch?"""
        return bool(self._buffer)

    def _wake_poll(self) -> None:
        if self._poll is not None:
            self._poll()

    def _drained(self) -> None:
        resolve(self._on_drain)
        self._on_drain = None

    def let_poll_go(self) -> None:
        """Answer the poll that waits now, with nothing if there is nothing."""
        self._wake_poll()

    def release_poll(self) -> None:
        """An upgrade has begun: let go of the poll soon, for the client waits for it before it
        goes on."""
        self.upgrading = True
        self.server.wheel.after(UPGRADE_NOOP, self._upgrade_noop)

    def _upgrade_noop(self) -> None:
        if self.upgrading:
            self._wake_poll()

    # ------------------------------------------------------------ upgrade

    def begin_upgrade(self) -> Probe | None:
        """Who receives a new WebSocket of this session; None while there is one already."""
        if self.upgraded or self._probe is not None or self.closed:
            return None
        self._probe = Probe(self)
        self.server.admission.occupy(self.address)
        return self._probe

    def end_upgrade(self, ws: websocket.WebSocket | None) -> None:
        """The probe is over: go on over the WebSocket, or (None) over polling as before."""
        self._probe = None
        self.server.admission.leave(self.address)
        self.upgrading = False
        if ws is None or self.closed:
            if ws is not None:
                ws.close()
            return
        self.take(ws)
        self._wake_poll()
        self.server.hooks.on_upgraded(self)

    def take(self, ws: websocket.WebSocket) -> None:
        """This WebSocket is the session's transport from now on."""
        self.ws = ws
        self._last_poll = None
        self.heads = None
        self.upgraded = True
        self.connected = True
        while self._buffer:
            ws.write(_frame_of(self._buffer.popleft()))
        self._buffered = 0
        self._drained()  # whoever waits looks at the WebSocket now
        if self._paused:
            ws.pause_reading()

    # ------------------------------------------------------------ closing

    def end(self, reason: str, code: str, *, flush: bool = True) -> None:
        """Close the session. `reason` is what the application's disconnect handler is told, `code`
        a key of the table of disconnects; `flush`: the client still gets what was written."""
        if self.closed:
            return
        self.closing = self.closed = True
        if self._beat is not None:
            self._beat.cancel()
            self._beat = None
        self._sent = None
        if self._probe is not None:
            self._probe.give_up()
        if self.ws is not None:
            if flush:
                self.ws.close(*close_frame(code))
            else:
                self.ws.abort()
        elif not flush or not self.connected:
            self._buffer.clear()
        elif code not in NO_FAREWELL:
            self._buffer.append(CLOSE)
        self._buffered = sum(map(len, self._buffer))
        self._wake_poll()
        resolve(self._on_room)
        self._drained()
        self.server.ended(self, reason, code, lingers=self.ws is None and bool(self._buffer))

    async def close(
        self, wait: bool = True, abort: bool = False, reason: str | None = None
    ) -> None:
        """Close the session (python-engineio's signature); waits for the disconnect handler."""
        self.end(reason or self.server.reason.SERVER_DISCONNECT, "kicked", flush=not abort)
        if not self.handling:
            # a handler that closes its own session would wait for itself
            await self.server.told(self)


def _frame_of(packet: str) -> bytes:
    """The WebSocket frame of a packet that had been encoded for polling."""
    if packet[0] == "b":
        return frame(BINARY, base64.b64decode(packet[1:]))
    return frame(TEXT, packet.encode())
