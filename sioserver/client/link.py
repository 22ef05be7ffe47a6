"""One connection over python-socketio: the only module that knows that library.

It is used once, so that nothing of an old one can reach a new one, and tells one reason for its
end. It must not know what the events mean, but for the notice before an end, nor what comes after.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Literal

import socketio
from socketio.exceptions import SocketIOError

from sioserver.client import payloads

_wire_log: Final = logging.getLogger(f"{__name__}.wire")
_wire_log.setLevel(logging.CRITICAL)  # the libraries below warn of every connection that is lost

FAREWELL: Final = 2.0
"""Seconds that saying goodbye may take."""

Transport = Literal["polling", "websocket"]


@dataclass(frozen=True, slots=True)
class Address:
    """Where the room is, and how to get there."""

    url: str
    room: str
    path: str = "socket.io"
    transports: list[Transport] | None = None


class Link(socketio.AsyncClient):
    """`hear` gets the events, until the end; `lost` is called at the end, once.

    python-socketio's own reconnecting is not used: it does not come back after an Engine.IO CLOSE,
    and some ways of losing a connection end its tasks without a word.
    """

    def __init__(
        self, address: Address, hear: Callable[..., None], lost: Callable[[], None]
    ) -> None:
        super().__init__(
            reconnection=False, handle_sigint=False, logger=_wire_log, engineio_logger=_wire_log
        )
        loop = asyncio.get_running_loop()
        self.pid: str | None = None
        self.welcomed: asyncio.Future[None] = loop.create_future()
        """Whoever hears the events says so."""
        self.over: asyncio.Future[Exception] = loop.create_future()
        self._address = address
        self._room = f"/{address.room}"
        self._hear = hear
        self._lost = lost
        self._notice: dict[str, Any] = {}
        self._waiting: set[asyncio.Future[dict[str, Any]]] = set()
        self.on("*", self._event, namespace=self._room)
        self.on("disconnect", self._cut, namespace=self._room)
        self.on("connect_error", self._refused, namespace=self._room)

    async def open(self, auth: dict[str, Any]) -> None:
        await self.connect(
            self._address.url,
            auth=auth,
            transports=self._address.transports,
            namespaces=[self._room],
            socketio_path=self._address.path,
            wait=False,
        )
        reading: asyncio.Task[None] | None = self.eio.read_loop_task
        if reading is not None:
            reading.add_done_callback(self._read_ended)

    async def ask(self, event: str, *args: Any) -> dict[str, Any]:
        """The server's answer; ConnectionError when the connection ends before it has come."""
        waiter: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._waiting.add(waiter)
        try:
            await self.tell(event, *args, callback=partial(_answered, waiter))
            return await waiter
        finally:
            self._waiting.discard(waiter)

    async def tell(self, event: str, *args: Any, **options: Any) -> None:
        """Send it, or end with a ConnectionError."""
        if self.over.done():
            raise ConnectionError("the connection was lost")
        try:
            await self.emit(event, args, namespace=self._room, **options)
        except SocketIOError as error:
            self.end(ConnectionError(str(error)))
            raise ConnectionError(str(error)) from error

    def end(self, why: Exception) -> None:
        """The connection is over, `why` is the first that is told."""
        if self.over.done():
            return
        self.over.set_result(why)
        for waiter in self._waiting:
            if not waiter.done():
                waiter.set_exception(ConnectionError("the connection was lost"))
        self._lost()

    async def leave(self) -> None:
        """Say goodbye where that is possible, and let go of everything."""
        eio = self.eio
        goodbye = asyncio.create_task(self.disconnect())
        await asyncio.wait({goodbye}, timeout=FAREWELL)
        if eio.http is not None and not eio.http.closed:
            await eio.http.close()
        tasks = {goodbye, eio.read_loop_task, eio.write_loop_task} - {None}
        for task in tasks:
            task.cancel()
        # not for ever: wait_for, which they use, may swallow a cancellation (Python 3.11)
        await asyncio.wait(tasks, timeout=FAREWELL)
        for task in tasks:
            if task.done() and not task.cancelled():
                task.exception()  # whatever it is, the connection is over

    def _event(self, name: str, *args: Any) -> None:
        if self.over.done():
            return  # the next connection begins where this one got to
        if name == "notice" and args[0].get("reconnect") is False:
            self._notice = args[0]
        self._hear(name, *args)

    def _cut(self, reason: str = "lost") -> None:
        self.end(ConnectionError(reason))

    def _refused(self, answer: Any = None) -> None:
        self.end(payloads.rejection(answer))

    def _read_ended(self, reading: asyncio.Task[None]) -> None:
        error = None if reading.cancelled() else reading.exception()
        self.end(ConnectionError(repr(error)))

    async def _handle_connect(self, namespace: str | None, data: Any) -> None:
        self.pid = (data or {}).get("pid")
        await super()._handle_connect(namespace, data)  # type: ignore[misc]  # private, not in the stubs

    async def _handle_disconnect(self, namespace: str | None) -> None:
        # a DISCONNECT packet: the server does not want us back
        self.end(payloads.farewell(self._notice))


def _answered(waiter: asyncio.Future[dict[str, Any]], answer: dict[str, Any]) -> None:
    if not waiter.done():
        waiter.set_result(answer)
