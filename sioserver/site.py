"""Where the program accepts connections: at an address or a socket, with TLS or without.

Knows neither what is served nor for how long; connections are watched in
transport/http_connections.py.
"""

from __future__ import annotations

import asyncio
from typing import Any

from aiohttp import web

from sioserver.startup import BACKLOG
from sioserver.tls import HANDSHAKE_TIMEOUT, SHUTDOWN_TIMEOUT, Encryption
from sioserver.transport.http_connections import HttpConnections


class Site(web.BaseSite):
    """Where connections are accepted, and watched. aiohttp's own sites leave it to the event loop
    how long a client may take for TLS, which is a minute at its beginning and half of one at its
    end."""

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
        self._options = {**where, "backlog": BACKLOG}
        if encryption is not None:
            self._options |= {
                "ssl": encryption.context,
                "ssl_handshake_timeout": HANDSHAKE_TIMEOUT,
                "ssl_shutdown_timeout": SHUTDOWN_TIMEOUT,
            }

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
        self._server = await loop.create_server(factory, **self._options)
