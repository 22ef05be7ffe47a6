"""Watches the sessions from above: what has provably arrived at them, and what is to be counted.

An Engine.IO PONG proves everything that was written before its PING, a new poll the answer to the
one before; `Replay` keeps the proven positions. Decides nothing and sends nothing but pings.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from sioserver.connections.proofs import Proofs
from sioserver.hub import Hub
from sioserver.metrics import Metrics
from sioserver.replay import Replay
from sioserver.timers import Wheel
from sioserver.transport.clients import RoomConnection
from sioserver.transport.edge import TOKEN_IN_ADDRESS, TOO_LARGE
from sioserver.transport.hooks import Hooks
from sioserver.transport.session import Session

_LIMITS: Final = {"connect_timeout": "connect_timeout", "too_many_errors": "refused_rate"}
"""The limit that was reached when a session ends by this code."""


class Witness(Proofs, Hooks):
    """The rooms' hooks into Engine.IO."""

    def __init__(
        self,
        replay: Replay,
        hub: Hub,
        metrics: Metrics,
        wheel: Wheel,
        clock: Callable[[], float],
        *,
        pause: float,
        crowd: Callable[[], int] = lambda: 0,
        spend: Callable[[Session], None] = lambda session: None,
    ) -> None:
        """`spend` takes an event from what a session's client may do; the others as of `Proofs`."""
        super().__init__(replay, hub, wheel, clock, pause=pause, crowd=crowd)
        self._metrics = metrics
        self._spend = spend

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
