"""Tokens that expire on a live connection: a notice, then the end, unless a fresh one comes.

Reading and checking tokens is not its business; it only keeps the time.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from sioserver import wire
from sioserver.connections.clients import ConnectedClient
from sioserver.errors import Disconnect
from sioserver.timers import Wheel


class Expiry:
    """Watches the clients whose identity has an end."""

    def __init__(self, wheel: Wheel, clock: Callable[[], float], *, notice: float) -> None:
        """`notice`: seconds before the end at which a client is told."""
        self._wheel = wheel
        self._clock = clock
        self._notice = notice

    def watch(self, client: ConnectedClient) -> None:
        """The client has come, or has shown a fresh token."""
        self.forget(client)
        expires = client.identity.expires_at
        if expires is None:
            return
        notice = expires - self._clock() - self._notice
        if notice > 0:
            client.expiry = self._wheel.after(notice, partial(self._tell, client))
        else:
            self._tell(client)

    @staticmethod
    def forget(client: ConnectedClient) -> None:
        """The client has left."""
        if client.expiry is not None:
            client.expiry.cancel()
            client.expiry = None

    def _tell(self, client: ConnectedClient) -> None:
        expires = client.identity.expires_at
        assert expires is not None
        left = max(0.0, expires - self._clock())
        event = wire.notice_event(
            "token_expiring",
            "your token expires soon; send a fresh one with auth",
            expires_in=round(left, 3),
        )
        client.outbox.broadcast([client], event)
        client.expiry = self._wheel.after(left, partial(self._end, client))

    def _end(self, client: ConnectedClient) -> None:
        client.expiry = None
        client.outbox.close(client, Disconnect("token_expired"))
