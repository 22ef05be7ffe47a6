"""What has provably arrived at connections: pings are asked for, and answers move positions.

An answer proves everything that was written before its ping, for TCP is ordered; `Replay`
keeps the proven positions. Decides nothing and sends nothing but pings.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial
from typing import Any, Final, Protocol

from sioserver.connections.clients import ConnectedClient
from sioserver.hub import Hub
from sioserver.replay import Replay
from sioserver.timers import Wheel

Sent = list[tuple[ConnectedClient, int]]
"""The offset that was written to each client."""

PROOFS: Final = 1000
"""Pings a second of one node whose only purpose is to prove something, at most. A ping, its answer
and the cursor that it moves cost more than the message that they are for; in a room of ten thousand
they were nine tenths of a delivery."""


class Session(Protocol):
    """A connection that can be pinged."""

    closed: bool
    ws: Any
    """None: it has no pings of its own, the next poll is the proof."""

    @property
    def owner(self) -> Any:
        """Has `clients` (a mapping to all clients of the connection), `confirming`, `pinged`."""

    def ping(self) -> None:
        """Ping now, unless an answer is being waited for."""


class Proofs:
    """Asks for proofs, and passes them on."""

    def __init__(
        self,
        replay: Replay,
        hub: Hub,
        wheel: Wheel,
        clock: Callable[[], float],
        *,
        pause: float,
        crowd: Callable[[], int],
    ) -> None:
        """`pause`: seconds between two pings whose only purpose is to prove something; `crowd`
        counts the connections, and when there are many the pause is longer: see `PROOFS`."""
        self._replay = replay
        self._hub = hub
        self._wheel = wheel
        self._clock = clock
        self._pause = pause
        self._crowd = crowd

    def confirm(self, session: Session) -> None:
        """Something durable was written: soon ask for the proof that it has arrived."""
        connection = session.owner
        if session.ws is None or connection.confirming:
            return
        connection.confirming = True
        pause = max(self._pause, self._crowd() / PROOFS)
        wait = connection.pinged + pause - self._clock()
        if pause > self._pause:
            # what everybody was sent at the same time is not asked for at the same time
            wait = max(wait, random.uniform(0, pause))  # noqa: S311
        if wait <= 0:
            self._ping(session)  # in the same write as what it is to prove
        else:
            # the clock may have been set back
            wait = min(wait, pause)
            self._wheel.after(wait, partial(self._ping, session))

    def confirm_now(self, session: Session) -> None:
        """A client of the session is about to leave, and the session stays: what was written to the
        client is proved by a ping from before that, and by no later one."""
        if session.ws is not None and self.written(session):
            session.owner.pinged = self._clock()
            session.ping()

    def _ping(self, session: Session) -> None:
        connection = session.owner
        connection.confirming = False
        # who joined and had missed nothing needs no proof, nor who gave it meanwhile
        if not session.closed and self.written(session):
            connection.pinged = self._clock()
            session.ping()

    def written(self, session: Session) -> Sent | None:
        """What was written to the session and is not proven; None: nothing."""
        sent = [
            (client, offset)
            for client in session.owner.clients.values()
            # one that is still joining has not been given all that the hub holds it to have
            if client.joined and (offset := self._hub.written(client)) > client.proven
        ]
        return sent or None

    def proven(self, session: Session, sent: Sent | None) -> None:
        """What `written` returned before has arrived."""
        for client, offset in sent or ():
            self._replay.delivered(client, offset)
        # of a polling client the next poll is the proof
        if session.ws is not None and self.written(session):
            self.confirm(session)
