"""The inbox of a connection: what a client sent is handled one thing at a time, in order.

Nothing is queued while nothing waits: the handler runs at once. The client is not read any further
while too much waits. Knows neither packets nor transports.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from logging import Logger
from typing import Any, Protocol

TURN = 64
"""Handlers that run one after the other before the event loop gets its turn: picows hands over all
the frames of a read in one call, and a flood would keep everybody else waiting."""

Handler = Callable[..., Coroutine[Any, Any, None]]


class Server(Protocol):
    """What the inboxes of an edge have in common."""

    inbox: int
    """Things that may wait in one."""
    logger: Logger

    @property
    def inbox_bytes(self) -> int:
        """How large they may be together."""

    def start(self, coroutine: Coroutine[Any, Any, None], /) -> asyncio.Task[None] | None:
        """Run a handler's coroutine, at once if that is possible; None when it has ended."""


class Inbox:
    """What a connection is built on: its incoming half."""

    __slots__ = ("_handling", "_inbox", "_inbox_bytes", "_on_room", "_paused", "_ran", "_stepping")

    server: Server
    closed: bool

    def __init__(self) -> None:
        self._handling: asyncio.Task[None] | None = None
        self._stepping = False
        self._ran = 0
        # made when something has to wait, which seldom happens: an empty one takes 600 bytes
        self._inbox: deque[tuple[Handler, tuple[Any, ...], int]] | None = None
        self._inbox_bytes = 0
        self._paused = False
        self._on_room: asyncio.Future[None] | None = None

    def pause_reading(self) -> None:
        """Too much waits (limits.inbox): read no more of the client for now."""
        raise NotImplementedError

    def resume_reading(self) -> None:
        """Go on after `pause_reading`."""
        raise NotImplementedError

    def enqueue(self, size: int, handler: Handler, *args: Any) -> None:
        """Run `handler(*args)` when all that came before has been handled; `size` in bytes.

        The client is not read any further while too much waits.
        """
        if self._idle() and not self._inbox:
            self._step(handler, args)
            if self._inbox and self._handling is None:
                self._next()  # it enqueued something itself
            return
        if self._inbox is None:
            self._inbox = deque()
        self._inbox.append((handler, args, size))
        self._inbox_bytes += size
        if not self._paused and self._full():
            self._paused = True
            self.pause_reading()

    def _idle(self) -> bool:
        return self._handling is None and not self._stepping and self._ran < TURN

    def _turn(self) -> None:
        self._ran = 0
        self._next()

    def _full(self) -> bool:
        return self._inbox is not None and (
            len(self._inbox) >= self.server.inbox or self._inbox_bytes >= self.server.inbox_bytes
        )

    def _step(self, handler: Handler, args: tuple[Any, ...]) -> None:
        self._ran += 1
        if self._ran == TURN:
            asyncio.get_running_loop().call_soon(self._turn)
        self._stepping = True
        try:
            task = self.server.start(handler(*args))
        except asyncio.CancelledError:
            task = None  # it waited for something that had been cancelled
        except Exception:  # what the client sent behind it is handled
            self.server.logger.exception("a handler failed")
            task = None
        finally:
            self._stepping = False
        if task is not None:
            self._handling = task
            task.add_done_callback(self._stepped)

    def _stepped(self, task: asyncio.Task[None]) -> None:
        self._handling = None
        if not task.cancelled() and (error := task.exception()) is not None:
            self.server.logger.error("a handler failed", exc_info=error)
        self._next()

    def _next(self) -> None:
        while self._inbox and self._idle():
            handler, args, size = self._inbox.popleft()
            self._inbox_bytes -= size
            self._step(handler, args)
        if not self._inbox:
            self._inbox = None
        if self._paused and not self._full():
            self._paused = False
            self.resume_reading()
            resolve(self._on_room)

    async def room_in_inbox(self) -> None:
        """Wait until the client may send more."""
        while self._paused and not self.closed:
            if self._on_room is None or self._on_room.done():
                self._on_room = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._on_room)

    async def settled(self) -> None:
        """Wait until everything that the client sent has been handled."""
        while self._inbox or self._handling is not None:
            if (task := self._handling) is not None:
                await asyncio.wait([task])
            await asyncio.sleep(0)  # let the next one begin

    @property
    def handling(self) -> bool:
        """Is something that the client sent being handled?"""
        return self._stepping or self._handling is not None or bool(self._inbox)


def resolve(future: asyncio.Future[None] | None) -> None:
    """Let go of whoever waits for the future."""
    if future is not None and not future.done():
        future.set_result(None)
