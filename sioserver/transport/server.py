"""`AsyncServer`: the Socket.IO server (protocol v5), a drop-in for `socketio.AsyncServer`.

Same constructor, handlers, namespaces, rooms, sessions, acks; what differs is what the protocol
asks for and the stock server does not do: strict packets, one handler at a time per client and in
order, no event that runs the server's own handlers, no call that waits for a client that has gone.
Rooms with history are one floor up (namespace.py).
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any, Final

import socketio
from aiohttp import web
from socketio import exceptions
from socketio import packet as stock

from sioserver.transport import packet
from sioserver.transport.calls import Calls
from sioserver.transport.connection import Connection
from sioserver.transport.engineio import EngineServer
from sioserver.transport.frames import Outgoing
from sioserver.transport.handlers import Handlers
from sioserver.transport.manager import Manager
from sioserver.transport.session import Session
from sioserver.wire.strict import StrictJSON

__all__ = ["AsyncServer", "Connection"]

PACE: Final = 1.0
"""Seconds that an emit to a client that is far behind waits for it."""


PubSubManager: Final[Any] = socketio.async_pubsub_manager.AsyncPubSubManager


class AsyncServer(Handlers):
    """A Socket.IO server for aiohttp; arguments and methods as `socketio.AsyncServer`.

    More arguments: `connect_timeout` (seconds that a client has to join a namespace),
    `max_namespaces` (of one connection), and those of `EngineServer`.

    Events of one client are handled one after the other, in the order in which they were sent,
    with `async_handlers` either way; the connection is read on meanwhile, so a handler may `call`
    its own client.
    """

    manager_initialized: bool

    def __init__(
        self,
        client_manager: Any = None,
        logger: Any = False,
        serializer: Any = "default",
        json: Any = None,
        async_handlers: bool = True,
        always_connect: bool = False,
        namespaces: Any = None,
        *,
        connect_timeout: float = 10.0,
        max_namespaces: int = 1000,
        **options: Any,
    ) -> None:
        if serializer == "default":
            codec = {} if json is None else {"json": json}
            serializer = type("Packet", (packet.Packet,), codec)
        self.connect_timeout = connect_timeout
        self.max_namespaces = max_namespaces
        super().__init__(
            client_manager=Manager() if client_manager is None else client_manager,
            logger=logger,
            serializer=serializer,
            json=json,
            async_handlers=async_handlers,
            always_connect=always_connect,
            namespaces=namespaces,
            **options,
        )
        self.eio.receiver = self._receive
        self.eio.release = self._release
        self._connections: dict[str, Connection] = {}
        self._calls = Calls(self.manager)
        self._kicked: set[str] = set()
        # a codec or a serializer of somebody's own has to encode everything itself
        mine = issubclass(self.packet_class, packet.Packet)
        self._plain = mine and self.packet_class.json is StrictJSON

    def _engineio_server_class(self) -> type[EngineServer]:
        return EngineServer

    def attach(self, app: web.Application, socketio_path: str = "socket.io") -> None:
        """Serve below the path in an aiohttp application. A manager that shares its clients with
        other nodes' begins and ends with the application."""
        super().attach(app, socketio_path)
        if hasattr(self.manager, "start"):
            app.on_startup.append(lambda _: self.manager.start())
            app.on_cleanup.append(lambda _: self.manager.stop())

    # ------------------------------------------------------------ out

    def encode(
        self, kind: int, *, namespace: str | None = None, data: Any = None, id: int | None = None
    ) -> Outgoing:
        """Encode a Socket.IO packet."""
        if self._plain and data is not None:
            text = packet.plain(kind, namespace or "/", id, data)
            if text is not None:
                return Outgoing([text])
        return self._outgoing(self.packet_class(kind, namespace=namespace, data=data, id=id))

    def _outgoing(self, pkt: Any) -> Outgoing:
        encoded = pkt.encode()
        if not isinstance(encoded, list):
            return Outgoing([encoded])
        if len(encoded) > 1 + packet.MAX_ATTACHMENTS:
            # better told to who sends it than a connection closed by each who gets it
            raise ValueError(f"clients take at most {packet.MAX_ATTACHMENTS} attachments")
        return Outgoing(encoded)

    def encode_emitted(self, namespace: str, data: list[Any], ack: int | None) -> Outgoing:
        """Encode an event that a user of the server emits; `ack`: by which number it is asked to be
        acknowledged."""
        return self.encode(stock.EVENT, namespace=namespace, data=data, id=ack)

    def send_now(self, session: Session, kind: int, **fields: Any) -> None:
        """Encode a packet and write it to one client."""
        out = self.encode(kind, **fields)
        out.alone = True
        session.write(out)

    async def _send_packet(self, eio_sid: str, pkt: Any) -> None:
        session = self.eio.sockets.get(eio_sid)
        if session is not None:
            out = self._outgoing(pkt)
            out.alone = True
            session.write(out)

    async def emit(
        self,
        event: str,
        data: Any = None,
        to: Any = None,
        room: Any = None,
        skip_sid: Any = None,
        namespace: str | None = None,
        callback: Any = None,
        ignore_queue: bool = False,
    ) -> None:
        """Emit to one client, to a room or to everybody; see `socketio.AsyncServer.emit`.

        Emitting to one client waits a little while the client is far behind with reading.
        """
        recipient = to or room
        await super().emit(
            event,
            data,
            room=recipient,
            skip_sid=skip_sid,
            namespace=namespace,
            callback=callback,
            ignore_queue=ignore_queue,
        )
        if isinstance(recipient, str):
            eio_sid = self.manager.eio_sid_from_sid(recipient, namespace or "/")
            session = None if eio_sid is None else self.eio.sockets.get(eio_sid)
            if session is not None and session.queued * 2 > self.eio.client_queue:
                try:
                    await asyncio.wait_for(session.drain(), PACE)
                except TimeoutError:
                    pass  # with the next ones it will be closed as too slow

    # ------------------------------------------------------------ in

    async def _handle_eio_connect(self, eio_sid: str, environ: dict[str, Any]) -> None:
        if not self.manager_initialized:
            self.manager_initialized = True
            self.manager.initialize()
        self.environ[eio_sid] = environ
        session = self.eio.sockets[eio_sid]
        session.owner = self._connections[eio_sid] = self.new_connection()
        self._expect_connect(session)

    def new_connection(self) -> Connection:
        """The record of a new Engine.IO session."""
        return Connection()

    def _expect_connect(self, session: Session) -> None:
        """A client that is in no namespace has a while to join one."""
        connection: Connection = session.owner
        if connection.connect_due is not None:
            connection.connect_due.cancel()
        connection.connect_due = self.eio.wheel.after(
            self.connect_timeout, partial(self._check_joined, session, False)
        )

    def _check_joined(self, session: Session, last: bool) -> None:
        connection: Connection = session.owner
        connection.connect_due = None
        sids = [
            (self.manager.sid_from_eio_sid(session.sid, name), name)
            for name in connection.namespaces
        ]
        if any(sid is not None and self.manager.is_connected(sid, name) for sid, name in sids):
            return
        if connection.namespaces and not last:
            # about to be let in, perhaps; but who is always about to be shall not stay for that
            connection.connect_due = self.eio.wheel.after(
                self.connect_timeout, partial(self._check_joined, session, True)
            )
            return
        session.end(self.reason.SERVER_DISCONNECT, "connect_timeout")

    def _release(self, session: Session) -> None:
        if session.owner is not None:
            session.owner.release()

    def _receive(self, session: Session, data: str | bytes) -> None:
        """A message of the Engine.IO session: a Socket.IO packet, or an attachment of one."""
        connection: Connection = session.owner
        if connection.barred:
            return
        try:
            pkt = connection.complete(
                self.packet_class,
                data,
                self.eio.max_http_buffer_size,
                self.eio.wheel,
                partial(session.broken, "attachments did not come"),
            )
        except Exception as error:  # other serializers raise what they like
            session.broken(f"{type(error).__name__}: {error}"[:200])
            return
        if pkt is not None:
            self._dispatch(session, connection, pkt, len(data))

    def _dispatch(self, session: Session, connection: Connection, pkt: Any, size: int) -> None:
        namespace = pkt.namespace or "/"
        kind = pkt.packet_type
        if kind == stock.CONNECT:
            if namespace in connection.namespaces:
                session.broken("joined a namespace twice")
                return
            connection.namespaces.add(namespace)
            session.enqueue(size, self._handle_connect, session.sid, namespace, pkt.data)
        elif namespace not in connection.namespaces:
            if namespace not in connection.left:
                session.broken("a packet for a namespace that was not joined")
            else:
                self.eio.hooks.unasked(session, "late")
        elif kind in (stock.EVENT, stock.BINARY_EVENT):
            session.enqueue(size, self._handle_event, session.sid, namespace, pkt.id, pkt.data)
        elif kind in (stock.ACK, stock.BINARY_ACK):
            # not behind the events: a handler may be waiting for just this ack
            self.eio.start(self._handle_ack(session.sid, namespace, pkt.id, pkt.data))
        elif kind == stock.DISCONNECT:
            connection.leave(namespace)
            session.enqueue(
                size,
                self._handle_disconnect,
                session.sid,
                namespace,
                self.reason.CLIENT_DISCONNECT,
            )
        else:
            session.broken("a packet that only servers send")

    async def _handle_eio_message(self, eio_sid: str, data: Any) -> None:
        # only reached when somebody put this handler back; the receiver is the usual way
        session = self.eio.sockets.get(eio_sid)
        if session is not None:
            self._receive(session, data)

    # ------------------------------------------------------------ connecting

    async def _handle_connect(self, eio_sid: str, namespace: str, data: Any) -> None:
        session = self.eio.sockets.get(eio_sid)
        if session is None or session.closed:
            return
        connection: Connection = session.owner
        refusal = self._refuse_namespace(connection, namespace)
        sid = None if refusal else await self.manager.pre_connect(eio_sid, namespace)
        if sid is None:
            connection.leave(namespace)
            self.send_now(
                session,
                stock.CONNECT_ERROR,
                namespace=namespace,
                data=refusal or {"message": "Unable to connect"},
            )
            return
        if self.always_connect:
            self.send_now(session, stock.CONNECT, namespace=namespace, data={"sid": sid})
            await self.manager.connect(sid, namespace)
        refusal = await self._ask_connect_handler(namespace, sid, eio_sid, data)
        if refusal is not None:
            self._kicked.discard(sid)
            if self.manager.eio_sid_from_sid(sid, namespace) is None:
                return  # disconnected from inside the handler
            connection.leave(namespace)
            if self.always_connect:
                # without a payload, which clients take for a broken packet
                self.send_now(session, stock.DISCONNECT, namespace=namespace)
            else:
                self.send_now(session, stock.CONNECT_ERROR, namespace=namespace, data=refusal)
            await self.manager.disconnect(sid, namespace, ignore_queue=True)
            if not session.closed and not connection.namespaces and connection.connect_due is None:
                self._expect_connect(session)
            return
        if not self.always_connect:
            self.send_now(session, stock.CONNECT, namespace=namespace, data={"sid": sid})
            await self.manager.connect(sid, namespace)
        if self.manager.is_connected(sid, namespace):
            connection.namespaces.add(namespace)
        if sid in self._kicked:
            self._kicked.discard(sid)
            await self.disconnect(sid, namespace)
        elif connection.gone:
            # the handler took so long that the end of the connection has been told already
            await self._handle_disconnect(eio_sid, namespace, self.reason.TRANSPORT_CLOSE)

    def _refuse_namespace(self, connection: Connection, namespace: str) -> dict[str, Any] | None:
        if len(connection.namespaces) > self.max_namespaces:
            return {"message": "Too many namespaces"}
        if self.namespaces == "*" or namespace in self.namespaces:
            return None
        if namespace in self.handlers or namespace in self.namespace_handlers:
            return None
        return {"message": "Invalid namespace"}

    # ------------------------------------------------------------ leaving

    async def disconnect(
        self, sid: str, namespace: str | None = None, ignore_queue: bool = False
    ) -> None:
        """Disconnect a client; one whose connect handler still runs is disconnected after it."""
        namespace = namespace or "/"
        if self.manager.is_pre_connected(sid, namespace):
            self._kicked.add(sid)
            return
        if ignore_queue:
            here = self.manager.is_connected(sid, namespace)
        else:
            here = await self.manager.can_disconnect(sid, namespace)
        if not here:
            return
        eio_sid = self.manager.pre_disconnect(sid, namespace=namespace)
        session = self.eio.sockets.get(eio_sid)
        if session is not None:
            session.owner.leave(namespace)
            self.send_now(session, stock.DISCONNECT, namespace=namespace)
        await self._left(eio_sid, namespace, sid, self.reason.SERVER_DISCONNECT)

    async def _handle_disconnect(
        self, eio_sid: str, namespace: str, reason: str | None = None
    ) -> None:
        sid = self.manager.sid_from_eio_sid(eio_sid, namespace)
        if sid is None or not self.manager.is_connected(sid, namespace):
            return
        self.manager.pre_disconnect(sid, namespace=namespace)
        await self._left(eio_sid, namespace, sid, reason or self.reason.CLIENT_DISCONNECT)

    async def replaced(self, sid: str, namespace: str) -> None:
        """Another node has recovered this session. Only `RoomServer` recovers any."""

    async def _left(self, eio_sid: str | None, namespace: str, sid: str, reason: str) -> None:
        self._calls.abort(sid)
        session = self.eio.sockets.get(eio_sid)
        if session is not None and not session.closed and not session.owner.namespaces:
            self._expect_connect(session)
        try:
            await self._trigger_event("disconnect", namespace, sid, reason)
        except (Exception, asyncio.CancelledError):  # a library user's; it leaves nevertheless
            self.logger.exception("disconnect handler error")
        finally:
            await self.manager.disconnect(sid, namespace, ignore_queue=True)

    async def _handle_eio_disconnect(self, eio_sid: str, reason: str) -> None:
        connection = self._connections.pop(eio_sid, None)
        if connection is not None:
            connection.gone = True
            for namespace in self._namespaces_of(eio_sid, connection):
                await self._handle_disconnect(eio_sid, namespace, reason)
        self.environ.pop(eio_sid, None)

    def _namespaces_of(self, eio_sid: str, connection: Connection) -> list[str]:
        # also those that the client has left, if the handlers before that do not end
        known = getattr(self.manager, "namespaces_of", None)
        return list(connection.namespaces) if known is None else known(eio_sid)

    # ------------------------------------------------------------ events

    async def _handle_event(self, eio_sid: str, namespace: str, id: int | None, data: Any) -> None:
        sid = self.manager.sid_from_eio_sid(eio_sid, namespace)
        if sid is None or not self.manager.is_connected(sid, namespace):
            return
        try:
            result = await self._trigger_event(data[0], namespace, sid, *data[1:])
        except Exception:  # a library user's: no answer, as in the stock server
            self.logger.exception("event handler error")
            return
        if id is None or result is self.not_handled:
            return
        session = self.eio.sockets.get(eio_sid)
        if session is not None:
            if isinstance(result, tuple):
                answer = list(result)
            else:
                answer = [] if result is None else [result]
            self.send_now(session, stock.ACK, namespace=namespace, id=id, data=answer)

    async def _handle_ack(self, eio_sid: str, namespace: str, id: int | None, data: Any) -> None:
        sid = self.manager.sid_from_eio_sid(eio_sid, namespace)
        try:
            expected = (
                sid is not None
                and id is not None
                and await self.manager.trigger_callback(sid, id, data)
            )
        except Exception:  # a library user's callback raises what it likes
            self.logger.exception("ack callback error")
            return
        session = self.eio.sockets.get(eio_sid)
        if expected is False and session is not None:  # managers of somebody's own do not say
            self.eio.hooks.unasked(session, "ack")

    async def call(
        self,
        event: str,
        data: Any = None,
        to: str | None = None,
        sid: str | None = None,
        namespace: str | None = None,
        timeout: float = 60,
        ignore_queue: bool = False,
    ) -> Any:
        """Emit to one client and return what it acknowledges with.

        Raises `socketio.exceptions.TimeoutError`, and `DisconnectedError` as soon as the client
        leaves.
        """
        recipient = to or sid
        if recipient is None:
            raise ValueError("Cannot use call() to broadcast.")
        if not isinstance(self.manager, PubSubManager) and not any(
            self.manager.get_participants(namespace or "/", recipient)
        ):
            raise exceptions.DisconnectedError  # nobody else knows it
        emit = partial(
            self.emit,
            event,
            data=data,
            room=recipient,
            namespace=namespace,
            ignore_queue=ignore_queue,
        )
        args = await self._calls.ask(recipient, emit, timeout)
        return args if len(args) > 1 else args[0] if args else None
