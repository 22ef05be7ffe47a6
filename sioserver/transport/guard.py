"""What the clients of a connection may ask for, how often, and when it has been too much.

Takes the price of each request from the connection's and the user's buckets, counts what is
refused, and says when a connection is to be put out. Knows neither what a request means nor how a
connection is ended.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from sioserver.errors import Refusal
from sioserver.limits import COSTS, JOIN_COST, LOT, Bucket, Budget
from sioserver.metrics import Metrics
from sioserver.model import User
from sioserver.transport.clients import RoomClient, RoomConnection
from sioserver.transport.session import Session


class Guard:
    """Stands in front of the requests."""

    def __init__(
        self,
        budget: Budget,
        metrics: Metrics,
        clock: Callable[[], float],
        expel: Callable[[Session], Coroutine[Any, Any, None]],
    ) -> None:
        """`expel` ends a whole connection, so that its client does not come back by itself."""
        self._budget = budget
        self._metrics = metrics
        self._clock = clock
        self._expel = expel

    # ------------------------------------------------------------ requests

    def connect(self, connection: RoomConnection) -> None:
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

    def event(self, connection: RoomConnection, client: RoomClient | None, name: object) -> None:
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
        connection: RoomConnection = session.owner
        if not connection.barred and connection.allowance.take(self._clock()):
            self.refused(session, connection, _too_fast("event_rate", 0.0))

    # ------------------------------------------------------------ refusals

    def refused(
        self, session: Session | None, connection: RoomConnection, refusal: Refusal
    ) -> bool:
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
