"""Watches the sessions from above: what has provably arrived at them, and what is to be counted.

An Engine.IO PONG proves everything that was written before its PING, a new poll the answer to the
one before; `RoomService` keeps the proven positions. Decides nothing and sends nothing but pings.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial
from typing import Final

from sioserver.hub import Hub
from sioserver.metrics import Metrics
from sioserver.rooms import RoomService
from sioserver.timers import Wheel
from sioserver.transport.clients import RoomClient, RoomConnection
from sioserver.transport.edge import TOKEN_IN_ADDRESS, TOO_LARGE
from sioserver.transport.hooks import Hooks
from sioserver.transport.session import Session

Sent = list[tuple[RoomClient, int]]
"""The offset that was written to each client."""

PROOFS: Final = 1000
"""Pings a second of one node whose only purpose is to prove something, at most. A ping, its answer
and the cursor that it moves cost more than the message that they are for; in a room of ten thousand
they were nine tenths of a delivery."""

_LIMITS: Final = {"connect_timeout": "connect_timeout", "too_many_errors": "refused_rate"}
"""The limit that was reached when a session ends by this code."""


class Witness(Hooks):
    """The rooms' hooks into Engine.IO."""

    def __init__(
        self,
        rooms: RoomService,
        hub: Hub,
        metrics: Metrics,
        wheel: Wheel,
        clock: Callable[[], float],
        *,
        pause: float,
        crowd: Callable[[], int] = lambda: 0,
        spend: Callable[[Session], None] = lambda session: None,
    ) -> None:
        """`pause`: seconds between two pings whose only purpose is to prove something; `crowd`
        counts the sessions, and when there are many the pause is longer: see `PROOFS`. `spend`
        takes an event from what a session's client may do."""
        self._rooms = rooms
        self._hub = hub
        self._metrics = metrics
        self._wheel = wheel
        self._clock = clock
        self._pause = pause
        self._crowd = crowd
        self._spend = spend

    # ------------------------------------------------------------ what has arrived

    def confirm(self, session: Session) -> None:
        """Something durable was written: soon ask for the proof that it has arrived."""
        connection: RoomConnection = session.owner
        if session.ws is None or connection.confirming:
            return  # the next poll is the proof
        connection.confirming = True
        pause = max(self._pause, self._crowd() / PROOFS)
        wait = connection.pinged + pause - self._clock()
        if pause > self._pause:
            # what everybody was sent at the same time is not asked for at the same time
            wait = max(wait, random.uniform(0, pause))  # noqa: S311
        if wait <= 0:
            self._ping(session, connection)  # in the same write as what it is to prove
        else:
            # the clock may have been set back
            wait = min(wait, pause)
            self._wheel.after(wait, partial(self._ping, session, connection))

    def _ping(self, session: Session, connection: RoomConnection) -> None:
        connection.confirming = False
        # who joined and had missed nothing needs no proof, nor who gave it meanwhile
        if not session.closed and self.written(session):
            connection.pinged = self._clock()
            session.ping()

    def written(self, session: Session) -> Sent | None:
        """See `Hooks.written`."""
        connection: RoomConnection = session.owner
        sent = [
            (client, offset)
            for client in connection.clients.values()
            # one that is still joining has not been given all that the hub holds it to have
            if client.joined and (offset := self._hub.written(client)) > client.proven
        ]
        return sent or None

    def proven(self, session: Session, sent: Sent | None) -> None:
        """See `Hooks.proven`."""
        for client, offset in sent or ():
            self._rooms.delivered(client, offset)
        # of a polling client the next poll is the proof
        if session.ws is not None and self.written(session):
            self.confirm(session)

    # ------------------------------------------------------------ what is counted

    def on_opened(self, session: Session) -> None:
        """See `Hooks.on_opened`."""
        connection: RoomConnection = session.owner
        connection.transport = "websocket" if session.upgraded else "polling"
        self._metrics.connection_opened(connection.transport)

    def on_upgraded(self, session: Session) -> None:
        """See `Hooks.on_upgraded`."""
        connection: RoomConnection = session.owner
        before, connection.transport = connection.transport, "websocket"
        self._metrics.connection_upgraded(before, connection.transport)
        if self.written(session):
            # the last poll was not followed by another one that would prove it
            self.confirm(session)

    def on_closed(self, session: Session) -> None:
        """See `Hooks.on_closed`."""
        connection: RoomConnection = session.owner
        if connection.transport:  # else it never got so far
            self._metrics.connection_closed(connection.transport)
            connection.transport = ""

    def unasked(self, session: Session, what: str) -> None:
        """See `Hooks.unasked`."""
        self._metrics.count_unasked(what)
        self._spend(session)

    def count(self, what: str, label: str) -> None:
        """See `Hooks.count`."""
        match what, label:
            case "dropped", _:
                self._metrics.count_drop(label)
            case "limits", _:
                self._metrics.count_limit(label)
            case "disconnects", _:
                self._metrics.count_disconnect(label)
                if limit := _LIMITS.get(label):
                    self._metrics.count_limit(limit)
            case "requests", _:
                self._metrics.count_request_refusal(label)
                if label == TOKEN_IN_ADDRESS.message:
                    self._metrics.count_invalid_token("misplaced")
                if label == TOO_LARGE.message:
                    self._metrics.count_limit("max_payload")
            case "mismatches", _:
                self._metrics.count_mismatch(label)
            case "pings", "sent":
                self._metrics.pings += 1
