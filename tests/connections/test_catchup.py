"""Clients that are behind: pace, fairness, bounds; and that nothing is missing or comes twice."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sioserver import wire
from sioserver.auth import Identity, Policy, Verifier
from sioserver.config import Config
from sioserver.connections import catchup
from sioserver.connections.catchup import FRUITLESS, LOOKS, READS, CatchUp, Watch
from sioserver.errors import Disconnect, Refusal
from sioserver.hub import Client, Hub
from sioserver.limits import Budget, NoAllowance, NoBucket
from sioserver.metrics import Metrics
from sioserver.model import Event, Position, User
from sioserver.rooms import RoomService
from sioserver.transport.clients import RoomClient, RoomConnection

from ..fakes import ANN, BEN, FakeEngine, Reader, diff

QUEUE = 16
"""What may wait for a session, in events: here each has the size 1."""


class FakeSession:
    """A session whose client takes what waits when the test says so. Packets are events."""

    def __init__(self) -> None:
        self.sid = "s"
        self.owner = RoomConnection(NoAllowance(), None)
        self.waiting: deque[tuple[str, Event]] = deque()
        self.most = 0
        self.closing = self.closed = self.watched = False
        self.ended = ""
        self.draining = 0
        self._moved = asyncio.Event()

    @property
    def queued(self) -> int:
        return len(self.waiting)

    def size(self, out: Any) -> int:
        return 1

    def write(self, out: Any) -> bool:
        self.waiting.append(out)
        self.most = max(self.most, self.queued)
        return True

    def offer(self, out: Any) -> bool:
        fits = not self.closing and (not self.waiting or self.queued < QUEUE // 2)
        return fits and self.write(out)

    async def drain(self, below: int) -> None:
        self.draining += 1
        while not self.closing and self.queued > below:
            self._moved.clear()
            await self._moved.wait()
        self.draining -= 1

    def take(self, count: int) -> list[tuple[str, Event]]:
        """What the client reads."""
        taken = [self.waiting.popleft() for _ in range(min(count, self.queued))]
        self._moved.set()
        return taken

    def end(self, reason: str, code: str) -> None:
        self.ended = self.ended or code
        self.closing = self.closed = True
        self._moved.set()


class FakeDeadline:
    def __init__(self, callback: Callable[[], None]) -> None:
        self.callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        self.callback = None


class FakeWheel:
    """Deadlines that are due when the test says so."""

    def __init__(self) -> None:
        self.deadlines: list[FakeDeadline] = []
        self.delays: list[float] = []

    def after(self, delay: float, callback: Callable[[], None]) -> FakeDeadline:
        self.delays.append(delay)
        self.deadlines.append(FakeDeadline(callback))
        return self.deadlines[-1]

    def turn(self) -> None:
        due, self.deadlines = self.deadlines, []
        for deadline in due:
            if deadline.callback is not None:
                deadline.callback()

    def __len__(self) -> int:
        return sum(deadline.callback is not None for deadline in self.deadlines)


class Scene:
    """A hub, a room service and an edge as `RoomServer` is one, on an engine without waiting."""

    def __init__(self, queue: int = QUEUE) -> None:
        self.engine = FakeEngine()
        config, self.metrics = Config(), Metrics()
        self.hub = Hub(self.metrics)
        self.engine.listener = self.hub
        engine: Any = self.engine
        self.rooms = RoomService(
            config,
            engine,
            self.hub,
            Verifier(config.auth),
            Policy(config),
            Budget(config.limits),
            self.metrics,
            lambda: 1_700_000_000.0,
        )
        self.wheel = FakeWheel()
        self.tasks: dict[str, asyncio.Task[None]] = {}
        self.written: list[FakeSession] = []
        wheel: Any = self.wheel
        self.catch_up = CatchUp(
            self.rooms.replay,
            wheel,
            self.spawn,
            lambda client, event: (client.namespace, event),
            self.written.append,
            lambda session: session.end("slow consumer", "slow"),
            queue=queue,
            slow_after=20.0,
        )

    def spawn(self, name: str, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        self.tasks[name] = asyncio.create_task(coroutine, name=name)
        return self.tasks[name]

    # the hub's outbox

    def broadcast(self, clients: Collection[Client], event: Event) -> Sequence[Client]:
        refused: list[Client] = []
        for one in clients:
            assert isinstance(one, RoomClient)
            out: Any = (one.namespace, event)
            if not one.session.offer(out) and not one.session.closing:
                refused.append(one)
        return refused

    def fell_behind(self, client: Client) -> None:
        assert isinstance(client, RoomClient)
        self.catch_up.add(client)

    def close(self, client: Client, ending: Disconnect) -> None:
        raise AssertionError(ending.code)

    # what a test does

    def client(self, session: FakeSession, user: User = ANN, room: str = "lobby") -> RoomClient:
        real: Any = session
        found = RoomClient(Identity(user), room, self, real, session.owner, f"/{room}", NoBucket())
        session.owner.clients[found.namespace] = found
        return found

    async def enter(self, client: RoomClient, since: Position | None = None) -> None:
        """As `RoomServer` lets a client in."""
        joined = await self.rooms.join(client, since)
        session = client.session
        outs = [joined.welcome(client, recovered=False, begins=joined.begins)]
        outs += [joined.gap] if joined.gap else []
        few = joined.missed is not None and len(joined.missed) <= self.catch_up.chunk
        outs += joined.missed if few and joined.missed else []
        for event in outs:
            out: Any = (client.namespace, event)
            session.write(out)
        if not few:
            self.rooms.replay.lag(client, joined.after.offset)
        if not few or not self.catch_up.go_live(client):
            self.catch_up.add(client)

    async def live(self, user: User = ANN, room: str = "lobby") -> tuple[FakeSession, RoomClient]:
        session = FakeSession()
        client = self.client(session, user, room)
        await self.enter(client)
        session.take(99)
        return session, client

    async def leave(self, session: FakeSession) -> None:
        session.end("transport close", "transport_close")
        for client in list(session.owner.clients.values()):
            del session.owner.clients[client.namespace]
            await self.rooms.leave(client)

    def post(self, count: int = 1) -> None:
        self.engine.post(count)
        self.engine.announce()

    async def settle(self) -> None:
        """Whatever can go on without the test has gone on."""
        for _ in range(60):
            await asyncio.sleep(0)


def offsets(taken: list[tuple[str, Event]]) -> list[int]:
    return [event.payload["offset"] for _, event in taken if event.name == "message"]


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    scene = Scene()
    yield scene
    for task in scene.tasks.values():
        task.cancel()
    await asyncio.gather(*scene.tasks.values(), return_exceptions=True)


# ---------------------------------------------------------------------------- pace


async def test_a_client_that_is_behind_gets_the_log_at_its_own_pace(scene: Scene) -> None:
    session, client = await scene.live()
    scene.post(40)
    await scene.settle()
    # half of the queue, and nothing more: neither buffered nor read
    assert (session.queued, client.offset, client.buffer) == (QUEUE // 2, 8, None)
    assert (scene.metrics.clients_behind, scene.metrics.catch_ups) == (1, 1)
    got = []
    while len(got) < 40:
        taken = session.take(1)
        got += offsets(taken)
        assert session.queued <= QUEUE // 2
        await scene.settle()
        assert session.queued <= QUEUE // 2 + 1
    assert got == [*range(1, 41)]
    assert scene.hub.is_live(client)
    scene.post()
    assert offsets(session.take(1)) == [41]
    await scene.settle()
    assert scene.metrics.clients_behind == 0
    assert all(task.done() for task in scene.tasks.values())
    assert not scene.catch_up._lines
    assert session in scene.written  # a proof is asked for


async def test_nothing_is_read_for_who_does_not_read(scene: Scene) -> None:
    reads: list[str] = []
    scene.engine.at = reads.append
    session, _ = await scene.live()
    reads.clear()
    scene.post(1000)
    await scene.settle()
    assert reads == []
    session.take(99)
    await scene.settle()
    assert reads.count("history begins") <= 3
    assert session.queued <= QUEUE // 2


async def test_a_long_replay_after_a_join_is_the_same(scene: Scene) -> None:
    session = FakeSession()
    scene.engine.post(100)
    scene.engine.announce()
    client = scene.client(session)
    await scene.enter(client, Position("a", 10))
    got = []
    while not scene.hub.is_live(client) or session.queued:
        got += offsets(session.take(3))
        await scene.settle()
    assert got == [*range(11, 101)]
    assert session.most <= QUEUE
    assert scene.metrics.catch_ups == 0


async def test_an_event_that_is_large_waits_until_it_fits(scene: Scene) -> None:
    session, client = await scene.live()
    scene.post(20)
    sizes = {13: QUEUE, 14: 3 * QUEUE}  # the latter never fits: it goes out when nothing waits
    alone: list[int] = []
    write = session.write

    def noted(out: Any) -> bool:
        if out[1].payload["offset"] in sizes and not session.queued:
            alone.append(out[1].payload["offset"])
        return write(out)

    session.size = lambda out: sizes.get(out[1].payload["offset"], 1)  # type: ignore[method-assign]
    session.write = noted  # type: ignore[method-assign]
    got = []
    while len(got) < 20:
        await scene.settle()
        got += offsets(session.take(1))
    assert got == [*range(1, 21)]
    assert alone == [13, 14]
    await scene.settle()
    assert scene.hub.is_live(client)


async def test_the_page_follows_what_fits(scene: Scene) -> None:
    limits: list[int] = []
    history = scene.engine.history

    async def noted(room: str, **options: Any) -> Any:
        limits.append(options["limit"])
        return await history(room, **options)

    scene = Scene(queue=4 * catchup.LARGEST_PAGE * 10)
    scene.engine.history, history = noted, scene.engine.history  # type: ignore[method-assign]
    session, client = await scene.live()
    scene.rooms.replay.lag(client, 0)
    scene.engine.post(2000)
    limits.clear()
    scene.catch_up.add(client)
    for _ in range(20):
        await scene.settle()
        session.take(9999)
    assert limits[:5] == [32, 64, 128, 256, 256]
    assert scene.hub.is_live(client)


# ---------------------------------------------------------------------------- many


async def test_rooms_of_a_connection_take_turns(scene: Scene) -> None:
    """One that is never done keeps no other from going on."""
    session = FakeSession()
    busy, other = scene.client(session, room="lobby"), scene.client(session, room="b")
    for client in (busy, other):
        await scene.enter(client)
    session.take(99)
    scene.engine.post(60)  # both rooms have this log
    for number in range(30):
        for room in ("lobby", "b"):
            scene.hub.on_message(room, "a", scene.engine.log[number])
    assert scene.metrics.clients_behind == 2
    assert len(scene.tasks) == 1
    got: dict[str, list[int]] = {"/lobby": [], "/b": []}
    while not scene.hub.is_live(other):
        if len(got["/b"]) < 50:
            scene.engine.post(4)  # faster than it reads: there is no end of it
        for namespace, event in session.take(2):
            if event.name == "message":
                got[namespace].append(event.payload["offset"])
        await scene.settle()
        assert abs(len(got["/b"]) - len(got["/lobby"])) <= QUEUE
    for came in got.values():
        assert came == [*range(1, len(came) + 1)]
        assert len(came) >= 50


async def test_few_pages_are_read_at_the_same_time(scene: Scene) -> None:
    sessions = [(await scene.live(User(f"u{n}", "U")))[0] for n in range(20)]
    scene.post(30)
    history, reading, most = scene.engine.history, 0, 0
    gate = asyncio.Event()

    async def slowly(room: str, **options: Any) -> Any:
        nonlocal reading, most
        reading += 1
        most = max(most, reading)
        await gate.wait()
        reading -= 1
        return await history(room, **options)

    scene.engine.history = slowly  # type: ignore[method-assign]
    for session in sessions:
        session.take(99)
    await scene.settle()
    assert reading == READS
    gate.set()
    for _ in range(40):
        await scene.settle()
        for session in sessions:
            session.take(99)
    assert most == READS
    assert scene.metrics.clients_behind == 0


async def test_who_comes_and_goes_does_not_make_the_line_longer(scene: Scene) -> None:
    session, client = await scene.live()
    scene.post(30)
    line = scene.catch_up._lines[client.session]
    for _ in range(50):
        del session.owner.clients[client.namespace]
        await scene.rooms.leave(client)
        client = scene.client(session)
        await scene.enter(client, Position("a", 0))
    assert len(line.clients) == 1
    assert scene.metrics.clients_behind == 1
    await scene.leave(session)
    await scene.settle()
    assert scene.metrics.clients_behind == 0


# ---------------------------------------------------------------------------- what goes wrong


@pytest.mark.parametrize("at", ["waiting", "reading"])
async def test_a_client_that_goes(scene: Scene, at: str) -> None:
    session, _ = await scene.live()
    scene.post(30)
    gate = asyncio.Event()
    history = scene.engine.history

    async def held(room: str, **options: Any) -> Any:
        await gate.wait()
        return await history(room, **options)

    scene.engine.history = held  # type: ignore[method-assign]
    if at == "reading":
        session.take(99)
        await scene.settle()
    await scene.leave(session)
    gate.set()
    await scene.settle()
    assert all(task.done() and not task.exception() for task in scene.tasks.values())
    assert (len(scene.hub), len(scene.wheel), scene.catch_up._lines) == (0, 0, {})
    assert session.queued <= QUEUE // 2


async def test_an_engine_that_is_away_is_asked_again(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catchup, "RETRY", 0.0)
    session, client = await scene.live()
    scene.post(30)
    history, failures = scene.engine.history, [Refusal("unavailable", retry_after=0.0001)] * 3

    async def away(room: str, **options: Any) -> Any:
        if failures:
            # nothing is kept meanwhile, neither before nor after
            raise failures.pop()
        return await history(room, **options)

    scene.engine.history = away  # type: ignore[method-assign]
    got = []
    async with asyncio.timeout(10):
        while not scene.hub.is_live(client) or session.queued:
            got += offsets(session.take(99))
            if failures:
                scene.post()
                assert len(client.buffer or ()) <= 1
            await asyncio.sleep(0.001)
    assert got == [*range(1, len(scene.engine.log) + 1)]
    assert len(got) > 31


async def test_a_fault_ends_the_connection_and_is_heard_of(scene: Scene) -> None:
    session, _ = await scene.live()
    scene.post(30)

    async def broken(room: str, **options: Any) -> Any:
        raise ZeroDivisionError

    scene.engine.history = broken  # type: ignore[method-assign]
    session.take(99)
    await scene.settle()
    (task,) = scene.tasks.values()
    assert isinstance(task.exception(), ZeroDivisionError)
    assert session.ended == "transport_close"  # it comes back, and is given what it missed
    assert scene.catch_up._lines == {}


async def test_who_cannot_go_live_is_to_come_again(scene: Scene) -> None:
    """More was announced than the log has: it is asked a few times, not for ever."""
    session, _ = await scene.live()
    scene.post(30)
    scene.engine.top, scene.engine.log = 20, scene.engine.log[:20]
    reads: list[str] = []
    scene.engine.at = reads.append
    while session.queued or not session.ended:
        session.take(99)
        await scene.settle()
        assert reads.count("history begins") < 40
    assert session.ended == "slow"
    assert reads.count("history begins") >= FRUITLESS


# ---------------------------------------------------------------------------- who stands still


async def test_who_takes_nothing_is_closed(scene: Scene) -> None:
    session, _ = await scene.live()
    scene.post(30)
    await scene.settle()
    assert session.watched
    for look in range(LOOKS):
        assert not session.ended
        assert scene.wheel.delays[-1] == 20.0 / LOOKS, look
        assert len(scene.wheel) == 1
        scene.wheel.turn()
        await scene.settle()
    assert session.ended == "slow"
    assert not session.watched
    assert len(scene.wheel) == 0


async def test_who_takes_little_is_not(scene: Scene) -> None:
    session, client = await scene.live()
    scene.post(30)
    await scene.settle()
    for _ in range(4):  # to where the next page would come
        for _ in range(LOOKS - 1):
            scene.wheel.turn()
        session.take(1)
        scene.wheel.turn()
    assert not session.ended
    await scene.settle()
    scene.wheel.turn()
    # a proof of something that the network had: nothing more leaves, and yet it is alive
    for _ in range(3 * LOOKS):
        client.proven += 1
        scene.wheel.turn()
    assert not session.ended


async def test_nobody_is_watched_who_is_not_behind(scene: Scene) -> None:
    session, _ = await scene.live()
    scene.post(5)
    await scene.settle()
    assert (len(scene.wheel), scene.wheel.delays, session.watched) == (0, [], False)
    scene.post(30)
    await scene.settle()
    assert session.watched
    while scene.metrics.clients_behind or session.queued:
        session.take(99)
        await scene.settle()
    assert (len(scene.wheel), session.watched) == (0, False)


async def test_what_is_added_hides_no_progress() -> None:
    """The least that has waited counts: answers may come on top."""
    session, wheel, stalled = FakeSession(), FakeWheel(), []
    me, my_wheel, event = session, wheel, wire.typing_event(BEN, on=True)
    for _ in range(8):
        session.write(("/", event))
    Watch(me, my_wheel, 1.0, stalled.append)  # type: ignore[arg-type]
    for _ in range(20):
        session.take(2)
        session.write(("/", event))
        wheel.turn()
        if session.queued < 2:
            break
        assert stalled == []
    for _ in range(LOOKS):
        session.write(("/", event))
        wheel.turn()
    assert stalled == [session]


# ---------------------------------------------------------------------------- what is ephemeral


async def test_the_counts_are_right_when_it_is_live_again(scene: Scene) -> None:
    session, client = await scene.live()
    scene.post(30)
    for number in range(5):
        scene.hub.on_presence("lobby", diff([], [], number, number))
    scene.hub.tell("lobby", wire.typing_event(BEN, on=True))
    scene.hub.tell("lobby", wire.typing_event(BEN, on=False))
    taken: list[tuple[str, Event]] = []
    while not scene.hub.is_live(client) or session.queued:
        taken += session.take(99)
        await scene.settle()
    states = [event for _, event in taken if event.name != "message"]
    assert [(event.name, event.payload.get("online")) for event in states] == [
        ("presence", 4),
        ("typing", None),
    ]
    assert states[1].payload["on"] is False


async def test_states_that_do_not_fit_are_told_later(scene: Scene) -> None:
    session, client = await scene.live()
    scene.post(9)
    for number in range(20):
        scene.hub.tell("lobby", wire.typing_event(User(f"u{number}", "U"), on=True))
    taken: list[tuple[str, Event]] = []
    while not scene.hub.is_live(client) or session.queued:
        taken += session.take(99)
        await scene.settle()
        assert len(taken) < 100
    users = [event.payload["user"] for _, event in taken if event.name == "typing"]
    assert {*users} == {f"u{number}" for number in range(20)}
    assert offsets(taken) == [*range(1, 10)]


# ---------------------------------------------------------------------------- whatever happens

MOVES = ("post", "announce", "take", "take", "take", "reconnect", "trim", "anew", "lose", "tell")


class Crowd:
    """Clients of one room, to whom things happen; each checks what it is told."""

    def __init__(self, during: list[int], clients: int = 3) -> None:
        self.scene = Scene()
        self.during = deque(during)
        self.scene.engine.at = self.in_between
        self.readers = [Reader(None) for _ in range(clients)]
        self.sessions: list[FakeSession] = []
        self.gone: list[FakeSession] = []

    def in_between(self, point: str) -> None:
        """While the log is read: something is posted, and some of it announced; or much is lost."""
        if not (self.during and point.startswith("history")):
            return
        engine, what = self.scene.engine, self.during.popleft()
        if what > 12:
            engine.begin_anew(engine.epoch + "x")
        if what > 11:
            engine.post(what % 3)
            engine.lose()
        else:
            engine.post(what % 3)
            engine.announce(what // 3)

    async def begin(self) -> None:
        for number, reader in enumerate(self.readers):
            self.sessions.append(FakeSession())
            await self.come(number, reader)

    async def come(self, number: int, reader: Reader) -> None:
        client = self.scene.client(self.sessions[number], User(f"u{number}", "U"))
        await self.scene.enter(client, reader.position)

    async def move(self, name: str, number: int) -> None:
        engine, who = self.scene.engine, number % len(self.readers)
        session = self.sessions[who]
        if name == "post":
            engine.post(number)
        elif name == "announce":
            engine.announce(number)
        elif name == "take":
            self.read(who, number)
        elif name == "trim" and engine.log:
            engine.trim(engine.log[0].offset + number)
        elif name == "anew" and number == 7:
            engine.begin_anew(engine.epoch + "x")
        elif name == "lose" and number % 3 == 0:
            engine.lose()
        elif name == "tell":
            self.scene.hub.tell("lobby", wire.typing_event(BEN, on=bool(number % 2)))
        elif name == "reconnect" or session.ended:
            await self.reconnect(who)
        await asyncio.sleep(0)
        if number % 2:
            await self.scene.settle()

    async def reconnect(self, who: int) -> None:
        await self.scene.leave(self.sessions[who])
        self.gone.append(self.sessions[who])
        self.sessions[who] = FakeSession()
        await self.come(who, self.readers[who])

    def read(self, who: int, count: int) -> None:
        events = [event for _, event in self.sessions[who].take(count)]
        self.readers[who].read(*(event for event in events if event.name != "typing"))

    async def end(self) -> None:
        """Everybody reads on, and has everything in the end."""
        self.scene.engine.at = lambda point: None
        self.scene.engine.post()
        self.scene.engine.announce()
        end = Position(self.scene.engine.epoch, self.scene.engine.top)
        for _ in range(200):
            await self.scene.settle()
            for who in range(len(self.readers)):
                self.read(who, 99)
                if self.sessions[who].ended:
                    await self.reconnect(who)
            if all(reader.position == end for reader in self.readers):
                break
        assert [reader.position for reader in self.readers] == [end] * len(self.readers)
        await self.scene.settle()
        assert self.scene.metrics.clients_behind == 0
        assert all(session.most <= QUEUE for session in (*self.sessions, *self.gone))
        for session in self.sessions:
            await self.scene.leave(session)
        await self.scene.settle()
        for task in self.scene.tasks.values():
            assert task.done()
            task.result()
        assert (len(self.scene.hub), self.scene.catch_up._lines) == (0, {})


async def happen(moves: list[tuple[str, int]], during: list[int]) -> None:
    crowd = Crowd(during)
    await crowd.begin()
    for name, number in moves:
        await crowd.move(name, number)
    await crowd.end()


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(MOVES), st.integers(0, 12)), max_size=80),
    st.lists(st.integers(0, 14), max_size=30),
)
def test_order_and_exactly_once_whatever_happens(
    moves: list[tuple[str, int]], during: list[int]
) -> None:
    asyncio.run(happen(moves, during))


SLOW: list[tuple[str, int]] = [("post", 12), ("announce", 12), ("take", 4)] * 6


@pytest.mark.parametrize("fault", ["skips one", "tells one twice", "goes live too early"])
def test_a_fault_is_seen(monkeypatch: pytest.MonkeyPatch, fault: str) -> None:
    asyncio.run(happen(SLOW, [4] * 9))  # no fault, no complaint
    lag, off = Hub.lag, {"skips one": 1, "tells one twice": -1}.get(fault)
    if off is not None:
        monkeypatch.setattr(
            Hub, "lag", lambda hub, who, offset: lag(hub, who, max(0, offset + off))
        )
    else:
        monkeypatch.setattr(Hub, "live", _live_at_once)
    with pytest.raises(AssertionError):
        asyncio.run(happen(SLOW, [4] * 9))


def _live_at_once(hub: Hub, client: Client) -> list[Any]:
    """Without what was announced while the log was read."""
    room = hub._rooms[client.room]
    hub._move(room, client)
    client.offset = max(client.offset, room.top)
    room.clients.setdefault(client.outbox, {})[client.id] = client
    return []
