"""`ClusterManager`: python-socketio's own API across all nodes, and for programs outside of them.

What `AsyncServer` is asked for (emit, call, enter_room, disconnect, ...) is done for the clients
of this node here, and told to the other nodes as python-socketio's managers do it, so that
`socketio.AsyncRedisManager(url, write_only=True)` in any program reaches every client. Ephemeral:
nothing here is stored, and what is told while Redis is away is gone. Durable messages are the
engine's, and go another way.
"""

from __future__ import annotations

import asyncio
import inspect
import itertools
import logging
import secrets
import time
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any, Final

import socketio

from sioserver.config.schema import Redis
from sioserver.engine.redis_feed import Feed
from sioserver.signature import LONGEST_HEAD, Signatures, Untrusted
from sioserver.transport import bus_messages
from sioserver.transport.bus_messages import (
    Callback,
    CloseRoom,
    Disconnect,
    Emit,
    EnterRoom,
    LeaveRoom,
    Message,
    Replaced,
)
from sioserver.transport.emitter import Emitter
from sioserver.transport.manager import Manager

log = logging.getLogger(__name__)

ACKS: Final = 10_000
"""Acks of clients of other nodes that are waited for; more, and the oldest are forgotten."""

HOSTS: Final = 1000
"""Senders whose last message is remembered."""

TASKS: Final = 1000
"""Handlers that may run at a time for what was heard; more, and nothing is heard until one ends."""

LARGEST: Final = 8_388_608
"""Bytes that a message may have, or twice `max_payload` if that is more (an ack in base64): whoever
can publish would stop all nodes for as long as they take to read it."""

STOP_GRACE: Final = 5.0
"""Seconds that they have when the server stops."""

# The stubs describe what users of python-socketio call; who extends it needs more.
PubSub: Any = socketio.async_pubsub_manager.AsyncPubSubManager


def names(prefix: str) -> tuple[str, str]:
    """The channel of python-socketio's managers, and the key of the Node emitter: the defaults of
    both for the default prefix, so that programs need not name any; else the prefix itself."""
    return ("socketio", "socket.io") if prefix == Redis().prefix else (prefix, prefix)


def _uncounted(what: str) -> None: ...


class ClusterManager(PubSub, Manager):
    """A client manager for `AsyncServer`: `AsyncServer(client_manager=ClusterManager(Redis(url)))`.

    `emit`, `enter_room`, `leave_room`, `close_room` and `disconnect` reach the clients of this node
    in any case; that the others could not be told is logged, and counted as "lost". Only where
    somebody waits for an answer (`call`, `emit(callback=...)`) is it raised: ConnectionError.
    `count` is also called for "heard", "ignored" (not well-formed, or reserved), "skipped",
    "unanswered" (an ack that is waited for no longer), "overflow" and "reconnected"; with a
    `bus_secret`, also for each of `signature.REASONS`.
    """

    name = "redis"

    def __init__(self, config: Redis, count: Callable[[str], None] = _uncounted) -> None:
        channel, key = names(config.prefix)
        super().__init__(channel=channel)
        self._count = count
        self._emitter = Emitter(self, key, lambda: self.server.eio.max_http_buffer_size, count)
        self._feed = Feed(
            config,
            name=f"bus-{self.host_id[:8]}",
            channels=[channel],
            patterns=self._emitter.patterns,
            hear=self._hear,
            count=count,
        )
        self._signatures = (
            Signatures(
                config.bus_secret,
                config.old_bus_secrets,
                sender=secrets.token_urlsafe(12),
                clock=time.time,
            )
            if config.bus_secret
            else None
        )
        # how our own events begin, which come back to us as well
        self._own = f'{{"host_id":"{self.host_id}","method":"emit"'.encode()
        self._published = 0
        self._told = True
        self._complained = False
        self._last_heard: dict[str, int] = {}
        """host_id -> number of its last message. One that was published twice is heard once."""
        self._ack_numbers = itertools.count(1)
        self._acks: dict[int, Callable[..., Any]] = {}
        """What to call when a client of another node has acknowledged. By number: it may be known
        by no other name here."""
        self._ack_of: dict[int, int] = {}
        """id() of what to call -> number."""
        self._tasks: set[asyncio.Task[None]] = set()

    # ------------------------------------------------------------ living

    def initialize(self) -> None:
        """Begin to hear, if nobody called `start` before the first client came."""
        self._keep(asyncio.ensure_future(self._feed.start()))

    async def start(self) -> None:
        """Begin to hear; raises `StoreError` when there is no Redis."""
        await self._feed.start()

    async def stop(self) -> None:
        """Hear no more, and let what was heard be done."""
        await self._feed.stop()
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=STOP_GRACE)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    def _run(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Do it, waiting for nothing: handlers of the server's users take as long as they like."""
        task = self.server.eio.start(coroutine)
        if task is not None:
            self._keep(task)

    def _keep(self, task: asyncio.Task[None]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a message of another node could not be handled", exc_info=error)

    # ------------------------------------------------------------ telling

    async def emit(
        self,
        event: str,
        data: Any,
        namespace: str | None = None,
        room: Any = None,
        skip_sid: Any = None,
        callback: Any = None,
        to: Any = None,
        **options: Any,
    ) -> None:
        """See `socketio.AsyncServer.emit`. Raises ConnectionError (see above), and ValueError for
        an event that is too large for the other nodes (`LARGEST`)."""
        namespace, room = namespace or "/", to or room
        here = isinstance(room, str) and self.eio_sid_from_sid(room, namespace) is not None
        if here or options.get("ignore_queue"):
            # a client of this node: nobody else need know
            await Manager.emit(self, event, data, namespace, room, skip_sid, callback)
            return
        number = None
        if callback is not None:
            if not isinstance(room, str):
                raise ValueError("a callback is for the ack of one client, or of one room's first")
            number = self._expect(callback)
        message = bus_messages.emit(
            event,
            data,
            namespace,
            room=room,
            skip_sid=skip_sid,
            callback=None if number is None else (room, namespace, number),
        )
        on_ack = None if number is None else partial(self._acknowledged, number)
        await Manager.emit(self, event, data, namespace, room, skip_sid, on_ack)
        if not await self._publish(message) and number is not None:
            self._forget(number)
            raise ConnectionError("the other nodes cannot be told just now")

    def replaced(self, sid: str, namespace: str) -> None:
        """See `Manager.replaced`."""
        message = {"method": "replaced", "sid": sid, "namespace": namespace}
        self._keep(asyncio.ensure_future(self._tell(message)))

    async def _tell(self, message: dict[str, Any]) -> None:
        await self._publish(message)

    async def _publish(self, data: dict[str, Any]) -> bool:
        """Tell the other nodes. False: perhaps they were not told."""
        self._published += 1
        text = self.json.dumps({"host_id": self.host_id, **data, "n": self._published})
        payload = text.encode()
        if len(payload) > self._largest():
            raise ValueError(
                f"{len(payload)} bytes are too many to tell the other nodes, "
                f"{self._largest()} are allowed"
            )
        if self._signatures is not None:
            payload = self._signatures.sign(self.channel, payload)
        try:
            await self._feed.publish(self.channel, payload)
        except ConnectionError as error:
            if self._told:
                self._told = False  # said once, not with each
                log.warning("other nodes are not told what is emitted: %s", error)
            # It fails at once while Redis is away: whoever emits in a loop and never waits would
            # not let it come back.
            await asyncio.sleep(0)
            return False
        self._told = True
        return True

    def _largest(self) -> int:
        return max(LARGEST, 2 * int(self.server.eio.max_http_buffer_size))

    # ------------------------------------------------------------ acks

    def _expect(self, callback: Callable[..., Any]) -> int:
        """Call it when the ack of this number comes."""
        number = next(self._ack_numbers)
        self._acks[number] = callback
        self._ack_of[id(callback)] = number
        if len(self._acks) > ACKS:
            self._forget(next(iter(self._acks)))
            self._count("unanswered")
        return number

    def _forget(self, number: int) -> Callable[..., Any] | None:
        callback = self._acks.pop(number, None)
        if callback is not None and self._ack_of.get(id(callback)) == number:
            del self._ack_of[id(callback)]
        return callback

    def forget_callback(self, callback: Callable[..., Any]) -> None:
        """Whoever waited for the ack does so no longer."""
        number = self._ack_of.get(id(callback))
        if number is not None and self._acks.get(number) is callback:
            self._forget(number)

    async def _acknowledged(self, number: int, *args: Any) -> None:
        """A client has acknowledged. Of several, only the first is waited for."""
        callback = self._forget(number)
        if callback is not None:
            result = callback(*args)
            if inspect.isawaitable(result):
                await result

    async def _return_callback(
        self, host_id: str, sid: str, namespace: str, callback_id: int, *args: Any
    ) -> None:
        """A client here has acknowledged what another node waits for."""
        answer = bus_messages.callback(sid, namespace, callback_id, args)
        await self._publish({**answer, "host_id": host_id})

    # ------------------------------------------------------------ hearing

    async def _hear(self, channel: str, payload: bytes) -> None:
        signatures = self._signatures
        try:
            if len(payload) > LARGEST and len(payload) > self._largest() + LONGEST_HEAD:
                raise ValueError(f"{len(payload)} bytes are too many")
            if signatures is not None:
                if signatures.is_own(payload):
                    return
                payload = signatures.verify(channel, payload)
            if channel != self.channel:
                await self._emitter.hear(channel, payload)
                return
            if payload.startswith(self._own):
                return  # without reading it first: half of what a busy node hears
            message = bus_messages.read(payload, self.json.loads)
            if self._is_new(message):
                await self._obey(message)
                self._count("heard")
        except ValueError as error:
            self._count(error.reason if isinstance(error, Untrusted) else "ignored")
            level = logging.DEBUG if self._complained else logging.WARNING
            self._complained = True  # the others are counted
            log.log(level, "ignored what came on %.200r: %s", channel, error)
        except Exception:  # the messages behind it are heard
            log.exception("what came on %.200r could not be handled", channel)
        while len(self._tasks) >= TASKS:
            await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)

    def _is_new(self, message: Message) -> bool:
        if isinstance(message, Callback):
            return bool(message.host_id == self.host_id)  # it says who waits, not who answers
        host = message.host_id
        if host == self.host_id:
            return False
        if not message.n:
            return True
        last = self._last_heard.pop(host, 0)  # the latest goes last
        self._last_heard[host] = max(last, message.n)
        if len(self._last_heard) > HOSTS:
            del self._last_heard[next(iter(self._last_heard))]
        return message.n > last

    async def _obey(self, message: Message) -> None:
        namespace = message.namespace or "/"
        match message:
            case Emit():
                if namespace not in self.rooms:
                    return
                on_ack = None
                if message.callback is not None:
                    on_ack = partial(self._return_callback, message.host_id, *message.callback)
                await Manager.emit(
                    self,
                    message.event,
                    bus_messages.arguments(message.data),
                    namespace,
                    message.room,
                    message.skip_sid,
                    on_ack,
                )
            case Callback():
                self._keep(asyncio.ensure_future(self._acknowledged(message.id, *message.args)))
            case Disconnect():
                self._run(self.server.disconnect(message.sid, namespace, ignore_queue=True))
            case Replaced():
                self._run(self.server.replaced(message.sid, namespace))
            case CloseRoom():
                self.basic_close_room(message.room, namespace)
            case EnterRoom() if self._has(message.sid, namespace):
                self.basic_enter_room(message.sid, namespace, message.room)
            case LeaveRoom() if self._has(message.sid, namespace):
                self.basic_leave_room(message.sid, namespace, message.room)

    def _has(self, sid: str, namespace: str) -> bool:
        return bool(self.is_connected(sid, namespace) or self.is_pre_connected(sid, namespace))

    # ------------------------------------------------------------ for the emitter

    async def deliver(
        self,
        event: Any,
        arguments: tuple[Any, ...],
        namespace: str,
        rooms: Sequence[Any] | None,
        skip: set[str],
        volatile: bool,
    ) -> None:
        """See `emitter.Clients`."""
        await Manager.emit(
            self, event, arguments, namespace, rooms, skip_sid=skip, volatile=volatile
        )

    def end(self, sid: str, namespace: str, close: bool) -> None:
        """See `emitter.Clients`."""
        self._run(self._end(sid, namespace, close))

    async def _end(self, sid: str, namespace: str, close: bool) -> None:
        eio_sid = self.eio_sid_from_sid(sid, namespace)
        if close and eio_sid is not None:
            for one in self.namespaces_of(eio_sid):
                other = self.sid_from_eio_sid(eio_sid, one)
                if other is not None:
                    await self.server.disconnect(other, one, ignore_queue=True)
            await self.server.eio.disconnect(eio_sid)
        else:
            await self.server.disconnect(sid, namespace, ignore_queue=True)
