"""Rooms on Socket.IO: every namespace is a room.

`RoomServer` lets clients in and out: CONNECT joins and replays what was missed, events go to
`requests`, `Refusal`s become acks. What the hub announces becomes packets in `outbox`; what a room
allows is decided below; how a packet travels, next door.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

from aiohttp import web
from msgspec.structs import asdict
from socketio import packet as stock

from sioserver import private, wire
from sioserver.admission import Admission
from sioserver.auth import GUEST, Identity
from sioserver.auth.bearer import bearer
from sioserver.config import Config
from sioserver.config.schema import Deflate
from sioserver.connections.catchup import Spawn
from sioserver.connections.draining import spread
from sioserver.connections.entry import Entry
from sioserver.connections.expiry import Expiry
from sioserver.connections.guard import Guard
from sioserver.connections.recovery import Claim, Recovery, verdict
from sioserver.errors import Disconnect, InvalidToken, Refusal
from sioserver.hub import Hub
from sioserver.limits import Budget
from sioserver.metrics import Metrics
from sioserver.model import Event
from sioserver.origins import Origins
from sioserver.replay import Joined
from sioserver.requests import Pages, Requests
from sioserver.rooms import RoomService
from sioserver.transport.clients import RoomClient, RoomConnection
from sioserver.transport.edge import token_in_address
from sioserver.transport.frames import Outgoing
from sioserver.transport.manager import Manager
from sioserver.transport.outbox import RoomOutbox
from sioserver.transport.packet import MAX_ATTACHMENTS, Packet
from sioserver.transport.server import AsyncServer
from sioserver.transport.session import Session
from sioserver.transport.witness import Witness

log = logging.getLogger(__name__)

NO_ACK: Final = 0
"""The number of an ack that nobody waits for: real ones begin at 1."""

MAX_SAID: Final = 128
"""Characters of an event's name that are said when it was refused: a client may have made it up,
and as long as it likes."""


class RoomServer(AsyncServer):
    """The Socket.IO edge of the rooms."""

    manager: Manager

    def __init__(
        self,
        config: Config,
        rooms: RoomService,
        hub: Hub,
        budget: Budget,
        admission: Admission,
        recovery: Recovery,
        metrics: Metrics,
        clock: Callable[[], float],
        spawn: Spawn,
        node_id: str = "",
        client_manager: Manager | None = None,
    ) -> None:
        limits, transport = config.limits, config.transport
        super().__init__(
            client_manager=client_manager,
            async_mode="aiohttp",
            serializer=Packet,
            namespaces="*",
            origins=Origins(config.server.origins, anybody=config.server.insecure_any_origin),
            trusted_proxies=config.server.trusted_proxies,
            ping_interval=transport.ping_interval,
            ping_timeout=transport.ping_timeout,
            transports=list(transport.transports),
            max_http_buffer_size=limits.max_payload,
            client_queue=limits.client_queue,
            inbox=limits.inbox,
            poll_packets=limits.poll_packets,
            upgrade_timeout=limits.upgrade_timeout,
            body_timeout=limits.body_timeout,
            websocket=transport.websocket,
            per_message_deflate=_compression(config.deflate),
            admission=admission,
            node_id=node_id,
            connect_timeout=limits.connect_timeout,
            max_namespaces=limits.rooms_per_connection,
            logger=log,
            engineio_logger=log,
        )
        self._config = config
        self._rooms = rooms
        self._budget = budget
        self._entry = Entry(rooms.identities, admission, clock)
        self._recovery = recovery
        self._metrics = metrics
        self._clock = clock
        # our handlers use nothing that needs a task before they first wait
        self.eio.trusted_handlers = True
        self.eio.refuses_tokens_in_addresses = not config.auth.allow_query_token
        self.eio.welcome = self._welcome
        self._guard = Guard(budget, metrics, clock, self._expel)
        wheel = self.eio.wheel
        self._witness = Witness(
            rooms.replay,
            hub,
            metrics,
            wheel,
            clock,
            pause=config.delivery.confirm,
            crowd=lambda: len(self.eio.sockets),
            spend=self._guard.spend,
        )
        self.eio.hooks = self._witness
        self._outbox = RoomOutbox(
            rooms.replay,
            metrics,
            wheel,
            spawn,
            encode=self.encode_event,
            written=self._witness.confirm,
            end=self._end,
            queue=limits.client_queue,
            slow_after=limits.slow_after,
        )
        self._catch_up = self._outbox.catch_up
        self._expiry = Expiry(wheel, clock, notice=config.auth.expiry_notice)
        pages = Pages(
            messages=config.rooms.history_page,
            binaries=MAX_ATTACHMENTS,
            # half of what may wait for a client, or what comes next would close it as too slow
            bytes=min(limits.max_payload, limits.client_queue // 2),
        )
        self._requests = Requests(rooms, clock, pages, self._expiry.watch)
        if self.eio.codec is not None:
            self.eio.codec.bytes = metrics.deflate_bytes
            metrics.deflate_now = self.eio.codec.now
        metrics.queue_bytes = lambda: sum(session.queued for session in self.eio.sockets.values())

    # ------------------------------------------------------------ connections

    def _welcome(self, session: Session, request: web.Request) -> None:
        token = bearer(request.headers.get("Authorization"))
        if token is None and self._config.auth.allow_query_token:
            token = token_in_address(request) or None
        session.owner = self._connections[session.sid] = RoomConnection(
            self._budget.connection(self._clock()), token
        )
        self._expect_connect(session)

    def _release(self, session: Session) -> None:
        connection: RoomConnection | None = session.owner
        if connection is not None:
            self._entry.leave(connection)
        super()._release(session)

    def _connection(self, eio_sid: str | None) -> RoomConnection | None:
        connection = self._connections.get(eio_sid or "")
        assert connection is None or isinstance(connection, RoomConnection)
        return connection

    async def drain(self, seconds: float) -> None:
        """Close the connections, spread over `seconds`: see `draining.spread`."""
        self.eio.stopping = True
        endings: list[Callable[[], None]] = [
            partial(session.end, self.reason.SERVER_DISCONNECT, "shutdown")
            for session in self.eio.sockets.values()
        ]
        await spread([*endings, *self.eio.carried()], seconds)

    # ------------------------------------------------------------ joining

    async def _handle_connect(self, eio_sid: str, namespace: str, data: Any) -> None:
        session = self.eio.sockets.get(eio_sid)
        if session is None or session.closed:
            return
        connection: RoomConnection = session.owner
        refusal: Refusal
        try:
            await self._join(session, connection, namespace, data)
            return
        except InvalidToken as error:
            refusal = error
            if error.reason != "expired":
                # the client is not told, but whoever set the tokens up wants to know
                log.warning("a token was refused (%s): %s", error.reason, error.detail)
        except Refusal as error:
            refusal = error
        except Exception:  # the client is told that it is our fault
            log.exception("a client could not be let into %.140r", namespace)
            refusal = Refusal("internal")
        connection.leave(namespace)
        if not self._guard.refused(session, connection, refusal):
            return
        self.send_now(
            session,
            stock.CONNECT_ERROR,
            namespace=namespace,
            data={"message": refusal.message, "data": wire.refusal_body(refusal)},
        )
        self._expect_another(session, connection)

    async def _join(
        self, session: Session, connection: RoomConnection, namespace: str, data: Any
    ) -> None:
        self._guard.connect(connection)
        if len(connection.namespaces) > self.max_namespaces:
            raise Refusal(
                "too_many",
                f"a connection has at most {self.max_namespaces} rooms",
                limit="rooms_per_connection",
            )
        name = wire.check_room(self._name(namespace))
        hello = wire.parse_hello(data, connection.token)
        claim = self._recovery.read(hello.pid, name, self._clock())
        identity = await self._identify(session, connection, hello, claim)
        if claim is not None and claim.user != identity.user.id:
            claim = None
        if connection.gone:
            return
        bucket = self._guard.join(identity.user)
        room = self._rooms.find(name, identity.user)
        client = RoomClient(identity, room, self._outbox, session, connection, namespace, bucket)
        client.address = session.address
        connection.clients[namespace] = client
        try:
            await self._rooms.admit(client)
            if private.is_session(room):
                await self._let_into_session(client)
                return
            joined = await self._rooms.join(client, hello.offset or hello.position)
            await self._rooms.check(client)
            await self._let_in(client, claim, hello, joined)
        except BaseException as error:
            if isinstance(error, Refusal) and not client.here:
                return  # it is gone, or has been told why it was ended
            await self._leave(client)
            raise

    async def _identify(
        self,
        session: Session,
        connection: RoomConnection,
        hello: wire.Hello,
        claim: Claim | None,
    ) -> Identity:
        """Who is it? A guest who can show a recovery token is the guest it was made for."""
        if claim is not None and claim.user.startswith(GUEST) and hello.token is None:
            connection.made_up = claim.user.removeprefix(GUEST)
            hello = wire.Hello(user=hello.user, name=hello.name or claim.name)
        identity = await self._entry.identify(session.address, hello, connection.made_up)
        self._entry.admit(connection, identity, over=session.closed)
        return identity

    async def _let_in(
        self, client: RoomClient, claim: Claim | None, hello: wire.Hello, joined: Joined
    ) -> None:
        """Tell the client what it is told first: see `Joined`. If it missed much, it is behind."""
        session, namespace = client.session, client.namespace
        # what goes out before CONNECT has to be little: clients keep it aside without noting its
        # positions, so what is cut off there would come a second time
        missed = self._catch_up.few(client, joined.missed)
        recovered = (
            claim is not None
            and hello.offset is not None
            and joined.recovered
            and missed is not None
        )
        if claim is not None:
            await self._replace(client, claim.sid)
            if not client.here:
                return
        self._metrics.count_recovery(verdict(joined, hello, recovered=recovered))
        if claim is not None and hello.pid is not None and missed is not None and recovered:
            client.sid, pid = claim.sid, hello.pid
            self._write(session, missed)
        else:
            client.sid = self.eio.generate_id()
            user = client.user
            # of others than guests the name comes with every connect
            name = user.name if user.guest else ""
            room = self._name(namespace)
            issued = Claim(user.id, name, room, client.sid, int(self._clock()))
            pid = self._recovery.issue(issued)
        await self._enter(client, {"sid": client.sid, "pid": pid})
        begins = joined.top if recovered else joined.begins
        welcome = joined.welcome(client, recovered=recovered, begins=begins)
        session.write(self.encode_event(namespace, welcome))
        if not recovered:
            if joined.gap is not None:
                session.write(self.encode_event(namespace, joined.gap))
            if missed is not None:
                self._write(session, missed)
        if missed is None:
            self._rooms.replay.lag(client, joined.after.offset)
        live = missed is not None and self._catch_up.go_live(client)
        self._metrics.clients += 1
        self._expiry.watch(client)
        if not live:
            self._catch_up.add(client)

    async def _let_into_session(self, client: RoomClient) -> None:
        rooms = await self._rooms.sessions.enter(client)
        await self._rooms.check(client)
        if not client.here:
            return
        client.sid = self.eio.generate_id()
        await self._enter(client, {"sid": client.sid})
        for event in self._rooms.sessions.go_live(client, rooms):
            client.session.write(self.encode_event(client.namespace, event))
        self._metrics.clients += 1
        self._expiry.watch(client)

    async def _enter(self, client: RoomClient, answer: dict[str, str]) -> None:
        """Register the client under its sid and tell it so. Does not wait."""
        namespace = client.namespace
        await self.manager.pre_connect(client.session.sid, namespace, client.sid)
        await self.manager.connect(client.sid, namespace)
        self.send_now(client.session, stock.CONNECT, namespace=namespace, data=answer)

    async def _replace(self, client: RoomClient, sid: str) -> None:
        """The session is recovered here: close the connection that still holds its id."""
        old = self._holder(client.namespace, sid)
        if old is None:
            self.manager.replaced(sid, client.namespace)
        while old is not None:
            if old.connection is client.connection:  # under the room's other name
                await self._end(old, Disconnect("replaced"))
            else:
                await self._cut_off(old)
            old = self._holder(client.namespace, sid)

    async def replaced(self, sid: str, namespace: str) -> None:
        """Another node has recovered this session: close the connection that holds it here."""
        old = self._holder(namespace, sid)
        if old is not None:
            await self._cut_off(old)

    async def _cut_off(self, old: RoomClient) -> None:
        # at first, so that nothing that ends later takes the new one's entry along
        await self._leave(old)
        old.session.end(self.reason.SERVER_DISCONNECT, "replaced", flush=False)

    def _holder(self, namespace: str, sid: str) -> RoomClient | None:
        root = "/" + self._config.rooms.root
        for name in (root, "/") if namespace in (root, "/") else (namespace,):
            connection = self._connection(self.manager.eio_sid_from_sid(sid, name))
            if connection is not None:
                return connection.clients.get(name)
        return None

    def _name(self, namespace: str) -> str:
        """What the client calls its room."""
        return namespace[1:] or self._config.rooms.root

    @staticmethod
    def _write(session: Session, outs: Sequence[Outgoing]) -> None:
        for out in outs:
            session.write(out)

    # ------------------------------------------------------------ leaving

    async def _handle_disconnect(
        self, eio_sid: str, namespace: str, reason: str | None = None
    ) -> None:
        connection = self._connection(eio_sid)
        client = None if connection is None else connection.clients.get(namespace)
        if connection is not None and client is not None:
            await self._leave(client)
            self._expect_another(client.session, connection)

    async def _handle_eio_disconnect(self, eio_sid: str, reason: str) -> None:
        connection = self._connection(eio_sid)
        if connection is not None:
            del self._connections[eio_sid]
            connection.gone = True
            for client in list(connection.clients.values()):
                await self._leave(client)

    async def disconnect(
        self, sid: str, namespace: str | None = None, ignore_queue: bool = False
    ) -> None:
        """End a client's connection to its room, for good (as a library user asks for it), on
        whatever node it is."""
        namespace = namespace or "/"
        connection = self._connection(self.manager.eio_sid_from_sid(sid, namespace))
        client = None if connection is None else connection.clients.get(namespace)
        if client is not None:
            await self._end(client, Disconnect("kicked"))
        elif not ignore_queue:
            await self.manager.can_disconnect(sid, namespace)  # which tells the others

    async def _leave(self, client: RoomClient, *, for_good: bool = False) -> None:
        """The client is over. Called more than once without harm."""
        if not client.here:
            return
        del client.connection.clients[client.namespace]
        self._rooms.forget(client)
        self._expiry.forget(client)
        if client.sid:
            self._metrics.clients -= client.joined
            await self.manager.disconnect(client.sid, client.namespace, ignore_queue=True)
        await self._rooms.leave(client, for_good=for_good)

    async def _end(self, client: RoomClient, ending: Disconnect) -> None:
        session, namespace = client.session, client.namespace
        if ending.reconnect:
            session.end(self.reason.SERVER_DISCONNECT, ending.code)
            return
        if not client.here:
            return
        if not session.closed:
            self._metrics.count_disconnect(ending.code)
            session.write(self.encode_event(namespace, wire.farewell(ending)))
            self.send_now(session, stock.DISCONNECT, namespace=namespace)
        client.connection.leave(namespace)
        await self._leave(client, for_good=ending.code == "left")
        self._expect_another(session, client.connection)

    def _expect_another(self, session: Session, connection: RoomConnection) -> None:
        """A client in no room does not stay for ever."""
        if not session.closed and not connection.namespaces:
            self._expect_connect(session)

    # ------------------------------------------------------------ packets

    def encode_event(self, namespace: str, event: Event) -> Outgoing:
        """An event as a packet; a position goes last, as a string, where clients look for it."""
        data: list[Any] = [event.name, *event.before, event.payload]
        if event.position is not None:
            data.append(str(event.position))
        return self.encode(stock.EVENT, namespace=namespace, data=data)

    def encode_emitted(self, namespace: str, data: list[Any], ack: int | None) -> Outgoing:
        """See `AsyncServer`."""
        if ack is None and isinstance(data[-1], str):
            # Stock clients would take the last string (be it the event's own name) for the position
            # to recover from. Where an ack is asked for, a function comes last instead; which
            # client answers to this one, if any does, is of no interest.
            ack = NO_ACK
        return super().encode_emitted(namespace, data, ack)

    # ------------------------------------------------------------ requests

    async def _handle_event(self, eio_sid: str, namespace: str, id: int | None, data: Any) -> None:
        connection = self._connection(eio_sid)
        if connection is None or connection.barred:
            return
        name, args = data[0], data[1:]
        self._metrics.count_event(name if isinstance(name, str) else "other")
        refusal = None
        answer: dict[str, Any] = {}
        client = connection.clients.get(namespace)
        try:
            self._guard.event(connection, client, name)
            if client is None:
                raise Refusal("not_member")
            answer = await self._requests.answer(client, name, args)
        except Refusal as error:
            refusal = error
            if client is not None and isinstance(error, InvalidToken):
                # who is here is looked at however many were bad, but a guess is a guess
                self._entry.note(client.session.address, error)
        except Exception:  # the client is told that it is our fault
            log.exception("the event %.64r failed", name)
            refusal = Refusal("internal")
        session = self.eio.sockets.get(eio_sid)
        if refusal is not None:
            if not self._guard.refused(session, connection, refusal):
                return
            answer = wire.refusal_answer(refusal)
        if session is None:
            return
        if id is not None:
            self.send_now(session, stock.ACK, namespace=namespace, id=id, data=[answer])
        elif refusal is not None:
            # nobody waits for an answer, but somebody may be looking
            said = name[:MAX_SAID] if isinstance(name, str) else name
            notice = wire.notice_event(refusal.code, refusal.message, event=said)
            session.write(self.encode_event(namespace, notice), droppable=True)

    async def _expel(self, session: Session) -> None:
        """End a whole connection, so that its client does not come back by itself."""
        connection: RoomConnection = session.owner
        ending = Disconnect("too_many_errors")
        for client in list(connection.clients.values()):
            if client.sid:  # it has been let in
                session.write(self.encode_event(client.namespace, wire.farewell(ending)))
                self.send_now(session, stock.DISCONNECT, namespace=client.namespace)
            await self._leave(client)
        session.end(self.reason.SERVER_DISCONNECT, ending.code)


def _compression(wanted: Deflate) -> dict[str, Any] | bool:
    """The settings in the words of `AsyncServer`."""
    settings = asdict(wanted)
    return settings.pop("enabled") and settings
