"""The sessions of an Engine.IO server, from the first packet until the disconnect handler has run.

What a session needs of its server: limits, time, the handlers that its messages go to, and somebody
who sees to its end. Which requests open a session and may use it is in engineio.py; this module
knows no HTTP.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Final

import engineio

from sioserver.admission import Admission
from sioserver.config.schema import Limits
from sioserver.connections import eager
from sioserver.connections.slices import Slices
from sioserver.errors import DISCONNECTS
from sioserver.timers import Wheel
from sioserver.transport.edge import takes
from sioserver.transport.hooks import Hooks
from sioserver.transport.session import LINGER, Session
from sioserver.wire.strict import StrictJSON

DISCONNECT_GRACE: Final = 5.0
"""Seconds that the handlers of a client's last events have before its disconnect is told."""

STOP_GRACE: Final = 8.0
"""Seconds that all handlers together have when the server stops."""


class SessionServer(engineio.AsyncServer):
    """What `EngineServer` is built on: messages in, and the ends of sessions.

    More arguments than `engineio.AsyncServer`: `client_queue` (bytes that may wait for a client),
    `inbox` (events of a client that may wait for an earlier one), `upgrade_timeout` (seconds),
    `max_connections` (0: no limit), `admission` (who may come, in place of `max_connections`).
    """

    def __init__(
        self,
        *,
        client_queue: int = 1_048_576,
        inbox: int = 256,
        upgrade_timeout: float = 10.0,
        max_connections: int = 0,
        admission: Admission | None = None,
        **options: Any,
    ) -> None:
        options.setdefault("json", StrictJSON)
        options["async_mode"] = "aiohttp"
        super().__init__(**options)
        self.start_service_task = False  # each session has its own deadlines
        self.client_queue = client_queue
        self.offer_queue = client_queue // 2
        self.inbox = inbox
        self.upgrade_timeout = upgrade_timeout
        if admission is None:
            places = Limits(enabled=False, connections=max_connections, address_connections=0)
            admission = Admission(places, lambda limit: self.hooks.count("limits", limit))
        self.admission = admission
        self.wheel = Wheel()
        # connections that are over: many may end at once
        self.slices = Slices()
        self.trusted_handlers = False
        self.stopping = False
        # set by the layer above
        self.hooks = Hooks()
        # set by AsyncServer: takes messages at once, instead of the "message" handler; and lets go
        # of what it keeps for a session that has ended
        self.receiver: Callable[[Session, str | bytes], None] | None = None
        self.release: Callable[[Session], None] | None = None
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
        except Exception:  # a library user's handler raises what it likes
            self.logger.exception("%s handler error", event)
            return False if event == "connect" else None

    # ------------------------------------------------------------ the beginning

    def _begin(self, session: Session) -> None:
        self.hooks.on_opened(session)
        session.schedule_ping()

    def _discard(self, session: Session) -> None:
        self._free_place(session)
        session.closing = session.closed = True
        self._forget(session.sid)
        if self.release is not None:
            self.release(session)

    # ------------------------------------------------------------ the end

    def fetch(self, session: Session) -> list[str]:
        """The packets of the answer to a session's poll."""
        packets = session.fetch()
        if session.closed and not session.lingering:
            self.sockets.pop(session.sid, None)
        return packets

    def _free_place(self, session: Session) -> None:
        """Others may come in its place, whatever of the session is still to be told or fetched."""
        if session.has_place:
            session.has_place = False
            self.admission.leave(session.address)

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
        # what is left waits for polls that will not come
        self.sockets.clear()
        self.wheel.stop()
