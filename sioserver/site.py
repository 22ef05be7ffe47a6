"""Where the program accepts connections: at an address or a socket, with TLS or without.

Knows neither what is served nor for how long; connections are watched in
transport/http_connections.py.
"""

from __future__ import annotations

import asyncio
import os
import socket
from functools import partial
from typing import Any, cast

from aiohttp import web

from sioserver.startup import BACKLOG
from sioserver.tls import HANDSHAKE_TIMEOUT, SHUTDOWN_TIMEOUT, Encryption
from sioserver.transport.handshakes import Listener
from sioserver.transport.http_connections import HttpConnections


class Site(web.BaseSite):
    """Where connections are accepted, and watched. aiohttp's own sites leave it to the event loop
    how long a client may take for TLS, which is a minute at its beginning and half of one at its
    end, and how many may be at its beginning, which is any number."""

    def __init__(
        self,
        runner: web.BaseRunner,
        connections: HttpConnections,
        encryption: Encryption | None = None,
        **where: Any,
    ) -> None:
        """`where`: `host` and `port`, or `sock`."""
        super().__init__(runner, backlog=BACKLOG)
        self._connections = connections
        self._encryption = encryption
        self._where = where

    @property
    def name(self) -> str:
        """An address for messages; aiohttp asks for one."""
        return repr(self)

    async def start(self) -> None:
        """Listen. Raises OSError."""
        await super().start()
        assert self._runner.server is not None
        loop = asyncio.get_running_loop()
        factory = self._connections.of(self._runner.server)
        if self._encryption is None:
            self._server = await loop.create_server(factory, backlog=BACKLOG, **self._where)
            return
        shake = partial(
            loop.connect_accepted_socket,
            factory,
            ssl=self._encryption.context,
            ssl_handshake_timeout=HANDSHAKE_TIMEOUT,
            ssl_shutdown_timeout=SHUTDOWN_TIMEOUT,
        )
        bound = await _bound(factory, **self._where)
        for one in bound:
            one.listen(BACKLOG)
        # aiohttp asks it for its sockets, and to close
        self._server = cast(Any, Listener(bound, self._connections.handshakes, shake))


async def _bound(factory: Any, **where: Any) -> list[socket.socket]:
    """The sockets at an address, bound as the event loop does it. Raises OSError."""
    if "sock" in where:
        where["sock"].setblocking(False)
        return [where["sock"]]
    loop = asyncio.get_running_loop()
    server = await loop.create_server(factory, start_serving=False, **where)
    bound = [socket.socket(fileno=os.dup(one.fileno())) for one in server.sockets]
    server.close()
    for one in bound:
        one.setblocking(False)
    return bound
