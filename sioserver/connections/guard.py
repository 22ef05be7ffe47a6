"""What the clients of a connection may ask for, how often, and when it has been too much.

Takes the price of each request from the connection's and the user's buckets, counts what is
refused, and says when a connection is to be put out. Knows neither what a request means nor how a
connection is ended.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from sioserver.connections.clients import ConnectedClient
from sioserver.connections.inbox import Handler
from sioserver.errors import Refusal
from sioserver.limits import COSTS, JOIN_COST, LOT, Allowance, Bucket, Budget, NoAllowance
from sioserver.metrics import Metrics
from sioserver.model import User


class Spender(Protocol):
    """A connection, by what it may still do."""

    allowance: Allowance | NoAllowance
    barred: bool
    """It is to be closed; nothing of it is looked at any more."""


class Session(Protocol):
    """The way to a connection."""

    @property
    def owner(self) -> Any:
        """Its `Spender`."""

    def enqueue(self, size: int, handler: Handler, /, *args: Any) -> None:
        """Run `handler(*args)` behind what is being handled."""


class Guard:
    """Stands in front of the requests."""

    def __init__(
        self,
        budget: Budget,
        metrics: Metrics,
        clock: Callable[[], float],
        expel: Callable[[Any], Coroutine[Any, Any, None]],
    ) -> None:
        """`expel` is given a `Session` and ends it, the whole connection, so that its client does
        not come back by itself."""
        self._budget = budget
        self._metrics = metrics
        self._clock = clock
        self._expel = expel

    # ------------------------------------------------------------ requests

    def connect(self, connection: Spender) -> None:
        """A CONNECT has come. Raises `Refusal("rate_limited")`, as the others do."""
        if wait := connection.allowance.take(self._clock(), JOIN_COST):
            raise _too_fast("event_rate", wait)

    def join(self, user: User) -> Bucket:
        """It is this user's: the bucket for the events of all their connections."""
        now = self._clock()
        bucket = self._budget.user(user, now)
        if wait := bucket.take(now, JOIN_COST):
            raise _too_fast("user_event_rate", wait)
        return bucket

    def event(self, connection: Spender, client: ConnectedClient | None, name: object) -> None:
        """An event has come, for a room that the client is in; None: it is in no such room."""
        now, cost = self._clock(), COSTS.get(name, 1.0)
        if wait := connection.allowance.take(now, cost):
            raise _too_fast("event_rate", wait)
        if client is None:
            return
        client.owed += cost
        if client.owed >= LOT:
            if wait := client.bucket.take(now, client.owed):
                client.owed -= cost
                raise _too_fast("user_event_rate", wait)
            client.owed = 0.0

    def spend(self, session: Session) -> None:
        """Something has come that asks for nothing, so that nobody can be told to slow down."""
        connection: Spender = session.owner
        if not connection.barred and connection.allowance.take(self._clock()):
            self.refused(session, connection, _too_fast("event_rate", 0.0))

    # ------------------------------------------------------------ refusals

    def refused(self, session: Session | None, connection: Spender, refusal: Refusal) -> bool:
        """A request is to be refused. False: nobody is told. It was once too often, and the
        connection will be closed instead; or it is over (then there is no session)."""
        self._metrics.count_refusal(refusal.code)
        if refusal.limit is not None:
            self._metrics.count_limit(refusal.limit)
        if session is None:
            return False
        if connection.allowance.refused(refusal.code, self._clock()):
            return True
        if not connection.barred:
            connection.barred = True
            session.enqueue(0, self._expel, session)  # we may be in the middle of a request
        return False


def _too_fast(limit: str, wait: float) -> Refusal:
    return Refusal("rate_limited", retry_after=wait, limit=limit)
