"""Clients that are behind: they are given the log again, each at its own pace, until they are live.

A replay after a join that is too long to be written at once, and a live client that reads more
slowly than its room writes, are the same thing here. Nothing is read from the log for a connection
before it has taken most of what was written, so what waits for it stays bounded, however far behind
it is; and one that takes nothing at all is closed. Knows sessions and rooms; what is told, and
whether it is complete, is `Replay`'s business.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final, Protocol

from sioserver.connections.clients import ConnectedClient
from sioserver.errors import Refusal
from sioserver.model import Event
from sioserver.replay import Replay
from sioserver.timers import Deadline, Wheel

CHUNK: Final = 262_144
"""Bytes that are written to a connection at once, at most: then it is its next room's turn, and
other connections'."""

FIRST_PAGE: Final = 32
LARGEST_PAGE: Final = 256
"""Messages that are read at once: as many as fit into a chunk, which the page before shows."""

READS: Final = 4
"""Pages that are read at the same time, for all connections: a crowd that comes to life again must
not keep the engine from what is posted."""

FRUITLESS: Final = 3
"""Pages without anything new after which a client that still cannot go live is to come again."""

LOOKS: Final = 4
"""How often it is looked, within `slow_after`, whether a connection has taken something."""

RETRY: Final = 1.0
"""Seconds until the log is read again, when the engine cannot be asked now."""

BELOW: Final = 65_536
"""Bytes that may still wait when a long replay goes on."""

Spawn = Callable[[str, Coroutine[Any, Any, None]], object]


class Session(Protocol):
    """A connection that is written to. `out` is an event as its edge has encoded it."""

    sid: str
    closing: bool
    watched: bool
    """It is looked at whether it takes what waits for it: see `Watch`."""

    @property
    def owner(self) -> Any:
        """Has `clients`, a mapping to all clients of the connection."""

    @property
    def queued(self) -> int:
        """Bytes that wait for the client."""

    def size(self, out: Any, /) -> int:
        """Bytes that it takes in the queue."""

    def write(self, out: Any, /) -> bool:
        """Send it, or close a connection for which too much waits. False: it was not sent."""

    def offer(self, out: Any, /) -> bool:
        """Send it if it fits into half of the queue. False: it was not sent."""

    async def drain(self, below: int, /) -> None:
        """Wait until no more than `below` bytes wait, or the connection is over."""

    def end(self, reason: str, code: str, /) -> None:
        """Close the connection; `code` is a key of the table of disconnects."""


class Line:
    """A connection and its clients that are behind."""

    __slots__ = ("below", "clients", "fruitless", "page", "session")

    def __init__(self, session: Session, below: int) -> None:
        self.session = session
        # each gets a turn, one after the other
        self.clients: deque[ConnectedClient] = deque()
        # bytes that may still wait when the next turn comes
        self.below = below
        self.page = FIRST_PAGE
        self.fruitless = 0


class CatchUp:
    """Brings clients that are behind to the top of their rooms' logs."""

    def __init__(
        self,
        replay: Replay,
        wheel: Wheel,
        spawn: Spawn,
        encode: Callable[[Any, Event], Any],
        written: Callable[[Any], None],
        stalled: Callable[[Any], None],
        *,
        queue: int,
        slow_after: float,
    ) -> None:
        """`spawn(name, coroutine)` runs a task; `encode(client, event)` makes what is written to a
        client's session; `written` is called when something durable was
        written to a session, `stalled` when a session is to be closed because it has taken nothing
        for `slow_after` seconds. `queue`: bytes that may wait for a session."""
        self._replay = replay
        self._wheel = wheel
        self._spawn = spawn
        self._encode = encode
        self._written = written
        self._stalled = stalled
        self._queue = queue
        self._slow_after = slow_after
        self.chunk = min(CHUNK, queue // 4)
        """Bytes that may be written to a connection at once."""
        self._below = min(BELOW, self.chunk)
        self._lines: dict[Session, Line] = {}
        self._reads = asyncio.Semaphore(READS)

    def add(self, client: ConnectedClient) -> None:
        """The client is behind: it is given the log when its connection has space, and made live
        in the end."""
        session = client.session
        line = self._lines.get(session)
        if line is None:
            line = self._lines[session] = Line(session, self._below)
            self._spawn(f"catch-up {session.sid}", self._serve(line))
        else:
            # who leaves and comes back time and again must not make it longer
            line.clients = deque(other for other in line.clients if other.here)
        line.clients.append(client)

    def few(self, client: ConnectedClient, events: Sequence[Event] | None) -> list[Any] | None:
        """The events as they are written to the client's session, unless they are too much to be
        written at once: by themselves, or beside what waits already of other rooms, which are often
        joined all at the same time."""
        if events is None:
            return None
        session = client.session
        outs: list[Any] = []
        space = min(self.chunk, self._queue // 2 - session.queued)
        for event in events:
            outs.append(self._encode(client, event))
            space -= session.size(outs[-1])
            if space < 0:
                return None
        return outs

    def go_live(self, client: ConnectedClient) -> bool:
        """The client has the whole log: hand out what was announced since it was read. False: it
        is behind (again), and has to be added."""
        session, replay, known = client.session, self._replay, client.offset
        for number, event in replay.states(client):
            if not session.offer(self._encode(client, event)):
                replay.lag(client, known)
                return False
            client.told_states = number
        rest = replay.go_live(client)
        for event in rest or ():
            if not session.offer(self._encode(client, event)):
                rest = None
                break
            assert event.position is not None
            known = event.position.offset
        if rest is None:
            replay.lag(client, known)
            return False
        self._written(session)
        return True

    # ------------------------------------------------------------ one connection

    async def _serve(self, line: Line) -> None:
        session = line.session
        try:
            while True:
                await self._drained(session, line.below)
                # also when that took no time: who takes everything at once must not keep the loop
                await asyncio.sleep(0)
                if session.closing or not line.clients:
                    return
                client = line.clients.popleft()
                if client.here and not await self._turn(line, client):
                    line.clients.append(client)
        except BaseException:
            # better to come again than to wait for something that does not come
            session.end("transport error", "transport_close")
            raise
        finally:
            del self._lines[session]

    async def _drained(self, session: Session, below: int) -> None:
        """Wait until no more than `below` bytes wait for the session, or it is over."""
        if session.queued <= below:
            return
        watch = Watch(session, self._wheel, self._slow_after / LOOKS, self._stalled)
        try:
            await session.drain(below)
        finally:
            watch.stop()

    async def _turn(self, line: Line, client: ConnectedClient) -> bool:
        """Give a client the next page. True when it is live, or gone."""
        session, replay = client.session, self._replay
        try:
            async with self._reads:
                missed = await replay.catch_up(client, line.page)
        except Refusal as refusal:
            if not client.here or not refusal.temporary:
                return True
            await asyncio.sleep(refusal.retry_after or RETRY)
            return False
        # nothing is awaited from here on: what is announced meanwhile waits for the client
        written = told = 0
        line.below = self._below
        for event in missed.events:
            assert event.position is not None
            out = self._encode(client, event)
            size = session.size(out)
            if written and written + size > self.chunk:
                break
            queued = session.queued
            if queued and queued + size > self._queue:
                if not told:
                    line.below = min(self._below, max(0, self._queue - size))
                break
            session.write(out)
            replay.handed(client, event.position)
            written += size
            told += 1
        if told:
            self._written(session)
        if told < len(missed.events):
            line.page = min(max(2, told), LARGEST_PAGE)
        else:
            line.page = min(2 * line.page, LARGEST_PAGE)
            if client.offset >= missed.top.offset:
                return self._reached_top(line, client, bool(told))
        replay.lag(client, client.offset)
        return False

    def _reached_top(self, line: Line, client: ConnectedClient, news: bool) -> bool:
        if self.go_live(client):
            line.fruitless = 0
            return True
        line.fruitless = 0 if news else line.fruitless + 1
        if line.fruitless >= FRUITLESS:
            self._stalled(client.session)
        return False


class Watch:
    """Looks whether a session takes what waits for it: bytes leave, or proofs come."""

    __slots__ = (
        "_deadline",
        "_idle",
        "_least",
        "_pause",
        "_proven",
        "_session",
        "_stalled",
        "_wheel",
    )

    def __init__(
        self, session: Session, wheel: Wheel, pause: float, stalled: Callable[[Session], None]
    ) -> None:
        """`stalled` is called after `LOOKS` looks, `pause` seconds apart, that saw nothing."""
        self._session = session
        self._wheel = wheel
        self._pause = pause
        self._stalled = stalled
        self._idle = 0
        self._least = session.queued
        self._proven = self._proofs()
        session.watched = True
        self._deadline: Deadline = wheel.after(pause, self._look)

    def stop(self) -> None:
        """Look no more."""
        self._session.watched = False
        self._deadline.cancel()

    def _look(self) -> None:
        queued, proven = self._session.queued, self._proofs()
        moves = queued < self._least or proven != self._proven
        self._least, self._proven = min(queued, self._least), proven
        self._idle = 0 if moves else self._idle + 1
        if self._idle >= LOOKS:
            self._stalled(self._session)
        else:
            self._deadline = self._wheel.after(self._pause, self._look)

    def _proofs(self) -> int:
        return sum(client.proven for client in self._session.owner.clients.values())
