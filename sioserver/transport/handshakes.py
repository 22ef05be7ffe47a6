"""Connections that have not finished their TLS handshake: accepted, counted and bounded.

The event loop's own servers tell nobody of a connection before its handshake is over. Knows sockets
and addresses; neither certificates nor what is said over the connections afterwards.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, Final

from sioserver.admission import Places, whose
from sioserver.config.schema import Limits
from sioserver.transport.address import Proxies

log = logging.getLogger(__name__)

AT_ONCE: Final = 64
"""Connections that are accepted before those that are here go on: in a storm the rest waits in the
kernel, and not for a processor while the time of its handshake runs."""

PAUSE: Final = 1.0
"""Seconds without accepting, after the process had no file or no memory for one more."""

NO_RESOURCES: Final = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)

Shake = Callable[[socket.socket], Awaitable[object]]
"""Does the handshake on a new connection, which is its own from then on. Raises OSError."""


class Handshakes:
    """Those that are under way.

    When there is no place, the oldest is closed for the new one: an honest client is done within a
    second, and who says nothing has the oldest soon. One of an address that has its share is closed
    at once, and nobody else loses anything; `trusted_proxies` are many clients each and have none.
    """

    def __init__(
        self,
        limits: Limits,
        proxies: Proxies,
        hit: Callable[[str], object],
        *,
        short: Callable[[], bool] = lambda: False,
    ) -> None:
        """`hit` is told of each limit that was reached. `short`: are open files short?"""
        self._hit = hit
        self._proxies = proxies
        self._short = short
        self._places = Places(limits.tls_handshakes, limits.address_tls_handshakes)
        self._under_way: dict[asyncio.Task[None], str | None] = {}  # oldest first

    def __len__(self) -> int:
        return len(self._under_way)

    def begin(self, connection: socket.socket, peer: Any, shake: Shake) -> None:
        """A connection was accepted from `peer` (as `socket.accept` gives it)."""
        address = self._address(peer)
        if self._places.full_for(address):
            self._hit("address_tls_handshakes")
            connection.close()
            return
        if self._under_way and (self._places.full or self._short()):
            self._hit("tls_handshakes")
            oldest = next(iter(self._under_way))
            self._end(oldest)
            oldest.cancel()
        task = asyncio.get_running_loop().create_task(_shaken(connection, shake))
        self._places.take(address)
        self._under_way[task] = address
        task.add_done_callback(partial(self._over, connection))

    def _over(self, connection: socket.socket, task: asyncio.Task[None]) -> None:
        self._end(task)
        if task.cancelled():
            connection.close()  # it may not have been taken over yet

    def _end(self, task: asyncio.Task[None]) -> None:
        if task in self._under_way:
            self._places.free(self._under_way.pop(task))

    def _address(self, peer: Any) -> str | None:
        if not isinstance(peer, tuple) or self._proxies.trusted(peer[0]):
            return None
        return whose(peer[0])


async def _shaken(connection: socket.socket, shake: Shake) -> None:
    try:
        await shake(connection)
    except OSError as error:
        # anybody can make these, and whoever shakes hands has counted why
        log.debug("a TLS handshake came to nothing: %s", error)


class Listener:
    """Accepts connections for `Handshakes`, in place of the server that the event loop has. Closing
    it ends no handshake: who was accepted is served."""

    def __init__(
        self, listeners: Sequence[socket.socket], handshakes: Handshakes, shake: Shake
    ) -> None:
        """`listeners` listen, do not block, and are closed with this."""
        self.sockets = list(listeners)
        self._handshakes = handshakes
        self._shake = shake
        self._loop = asyncio.get_running_loop()
        self._pauses: dict[socket.socket, asyncio.TimerHandle] = {}
        for listener in self.sockets:
            self._resume(listener)

    def close(self) -> None:
        """No more are accepted. Called more than once without harm."""
        for listener in self.sockets:
            pause = self._pauses.pop(listener, None)
            if pause is None:
                self._loop.remove_reader(listener)
            else:
                pause.cancel()
            listener.close()
        self.sockets.clear()

    def _resume(self, listener: socket.socket) -> None:
        self._pauses.pop(listener, None)
        self._loop.add_reader(listener, self._accept, listener)

    def _accept(self, listener: socket.socket) -> None:
        for _ in range(AT_ONCE):
            try:
                connection, peer = listener.accept()
            except (BlockingIOError, InterruptedError):
                return
            except ConnectionAbortedError:  # it has gone already
                continue
            except OSError as error:
                if error.errno not in NO_RESOURCES:
                    raise
                # it would be ready, and fail, without end
                log.error("no connection can be accepted for a moment: %s", error)
                self._loop.remove_reader(listener)
                self._pauses[listener] = self._loop.call_later(
                    PAUSE, partial(self._resume, listener)
                )
                return
            connection.setblocking(False)
            self._handshakes.begin(connection, peer, self._shake)
