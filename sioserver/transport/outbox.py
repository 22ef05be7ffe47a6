"""What the hub has for clients over Socket.IO: told to many at once, or to one that is put out.

An event is encoded once for each namespace and the same packet is written to every session. It
knows neither what an event means nor how a client comes in; what one that is behind is given, and
when, is `CatchUp`'s business.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Coroutine, Sequence
from typing import Any, Final, cast

from sioserver.connections.catchup import CatchUp, Spawn
from sioserver.connections.farewell import AT_ONCE
from sioserver.errors import Disconnect
from sioserver.hub import Client
from sioserver.metrics import Metrics
from sioserver.model import Event
from sioserver.replay import Replay
from sioserver.timers import Wheel
from sioserver.transport.clients import RoomClient
from sioserver.transport.frames import Outgoing
from sioserver.transport.session import Session

_NOTHING: Final = Outgoing([])


class RoomOutbox:
    """See `Outbox`: of all clients of a `RoomServer`."""

    def __init__(
        self,
        replay: Replay,
        metrics: Metrics,
        wheel: Wheel,
        spawn: Spawn,
        *,
        encode: Callable[[str, Event], Outgoing],
        written: Callable[[Session], None],
        end: Callable[[RoomClient, Disconnect], Coroutine[Any, Any, None]],
        queue: int,
        slow_after: float,
    ) -> None:
        """`encode` makes a packet of an event in a namespace; `written` is called when something
        durable was written to a session; `end` tells a client why and lets it go. `queue` and
        `slow_after`: see `CatchUp`."""
        self._metrics = metrics
        self._spawn = spawn
        self._encode = encode
        self._written = written
        self._end = end
        self.catch_up = CatchUp(
            replay,
            wheel,
            spawn,
            lambda client, event: encode(client.namespace, event),
            written,
            self._stalled,
            queue=queue,
            slow_after=slow_after,
        )

    def broadcast(self, clients: Collection[Client], event: Event) -> Sequence[Client]:
        """See `Outbox`."""
        outs: dict[str, Outgoing] = {}
        namespace, out = None, _NOTHING
        unconfirmed: list[Session] = []
        ephemeral = event.position is None
        refused: list[Client] = []
        for client in cast("Collection[RoomClient]", clients):
            if client.namespace != namespace:  # a room has one; the root room, and one of two, two
                namespace = client.namespace
                if namespace not in outs:
                    outs[namespace] = self._encode(namespace, event)
                out = outs[namespace]
            session = client.session
            if session.offer(out):
                if not ephemeral and not client.connection.confirming:
                    unconfirmed.append(session)
            elif not session.closing:
                refused.append(client)
        # behind the loop: a connection that is in the room twice gets the event twice
        for session in unconfirmed:
            self._written(session)
        return refused

    def fell_behind(self, client: Client) -> None:
        """See `Outbox`."""
        assert isinstance(client, RoomClient)
        self._metrics.count_limit("client_queue")
        self.catch_up.add(client)

    def _stalled(self, session: Session) -> None:
        self._metrics.count_limit("slow_after")
        session.end("slow consumer", "slow")

    def close(self, client: Client, ending: Disconnect) -> None:
        """See `Outbox`."""
        assert isinstance(client, RoomClient)
        # not from inside a loop over clients; and in order behind what the client sent, unless its
        # token is no good any more, or it is put out: whatever that waits for, it is told nothing
        # meanwhile
        if ending.code in AT_ONCE and client.sid and client.session.handling:
            self._spawn("end", self._end(client, ending))
        else:
            client.session.enqueue(0, self._end, client, ending)
