"""What stands in for the world in the tests of the core: a clock, an edge, an engine on a stage."""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from sioserver.auth import Identity
from sioserver.engine.base import Engine, EngineListener, Quota, Retention
from sioserver.engine.moderated import Rules
from sioserver.engine.tail import span
from sioserver.errors import Disconnect
from sioserver.hub import Client
from sioserver.model import (
    Counts,
    Draft,
    Event,
    Membership,
    Message,
    Page,
    Position,
    PresenceDiff,
    Published,
    User,
)

ANN = User("ann", "Ann")
BEN = User("ben", "Ben")
CAT = User("cat", "Cat")
GUEST = User("guest:1", "Guest", guest=True)


def message(offset: int, body: Any = None, user: User = BEN) -> Message:
    """Of a log that has nothing but messages."""
    return Message(f"m{offset}", offset, user.id, user.name, body, 1000 + offset, offset)


class FakeClock:
    """Seconds since 1970 that pass when the test says so."""

    def __init__(self, now: float = 1_700_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def pass_(self, seconds: float) -> None:
        self.now += seconds


class FakeOutbox:
    """An edge that writes down what each client is told. For a slow client there is no space."""

    def __init__(self) -> None:
        self.told: dict[str, list[Event]] = defaultdict(list)
        self.broadcasts: list[tuple[list[str], Event]] = []
        self.closed: list[tuple[Client, str]] = []
        self.slow: set[str] = set()
        self.behind: list[Client] = []

    def broadcast(self, clients: Collection[Client], event: Event) -> Sequence[Client]:
        self.broadcasts.append(([client.id for client in clients], event))
        for client in clients:
            if client.id not in self.slow:
                self.told[client.id].append(event)
        return [client for client in clients if client.id in self.slow]

    def fell_behind(self, client: Client) -> None:
        self.behind.append(client)

    def close(self, client: Client, ending: Disconnect) -> None:
        self.closed.append((client, ending.code))

    def offsets(self, client: Client) -> list[int]:
        """Of the messages that a client was given."""
        told = self.told[client.id]
        return [event.payload["offset"] for event in told if event.name == "message"]

    def names(self, client: Client) -> list[str]:
        return [event.name for event in self.told[client.id]]


def client(outbox: FakeOutbox, id: str = "c1", user: User = ANN, room: str = "lobby") -> Client:
    return Client(id, Identity(user), room, outbox)


class Reader:
    """A client that believes what it is told and checks that nothing is left out or comes twice."""

    def __init__(self, since: Position | None) -> None:
        self.position = since
        self.got: list[Position] = []
        self.gaps: list[tuple[int, int]] = []

    def read(self, *events: Event | None) -> None:
        for event in events:
            if event is not None:
                getattr(self, event.name)(event.payload, event.position)

    def welcome(self, payload: dict[str, Any], position: Position) -> None:
        self.position = position

    def gap(self, payload: dict[str, Any], position: Position) -> None:
        assert self.position is not None
        first, last = payload["from"], payload["to"]
        if first == 0:
            assert position.offset == last
        else:
            assert first == self.position.offset + 1 <= last
            assert position in (self.position, Position(self.position.epoch, last))
        self.gaps.append((first, last))
        self.position = position

    def message(self, payload: dict[str, Any], position: Position) -> None:
        assert self.position is not None
        assert position == Position(self.position.epoch, self.position.offset + 1)
        assert position.offset == payload["offset"]
        self.got.append(position)
        self.position = position


# -- engines --------------------------------------------------------------------------------------


class Gate:
    """A call of an engine that is held back."""

    def __init__(self, after: bool) -> None:
        self.after = after
        self.reached = asyncio.Event()
        self._passed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def open(self) -> None:
        self._passed.set_result(None)

    def fail(self, error: Exception) -> None:
        self._passed.set_exception(error)

    async def pass_(self) -> None:
        self.reached.set()
        await self._passed


class StagedEngine:
    """An engine whose next call of a method can be held back, before or after it is done."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._gates: dict[str, Gate] = {}

    def hold(self, method: str, *, after: bool = False) -> Gate:
        gate = self._gates[method] = Gate(after)
        return gate

    def fail(self, method: str, error: Exception) -> None:
        """The next call of the method fails."""
        self.hold(method).fail(error)

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._engine, name)
        gate = self._gates.pop(name, None)
        if gate is None:
            return method

        async def held(*args: Any, **options: Any) -> Any:
            if gate.after:
                result = await method(*args, **options)
                await gate.pass_()
                return result
            await gate.pass_()
            return await method(*args, **options)

        return held


class NothingDecided:
    """An engine's part of moderation, of a server without moderators."""

    def __init__(self) -> None:
        self.rules: dict[str, Rules] = {}

    async def look(self, room: str) -> Rules:
        return Rules()


def page_of(
    messages: list[Message],
    first: int,
    top: Position,
    *,
    after: int | None = None,
    before: int | None = None,
    limit: int = 99,
) -> Page:
    """A page of a log that has nothing but messages."""
    start, end = span(first, top.offset, after, before, limit)
    return Page(messages, first, top, top.offset, start, end)


class FakeEngine:
    """The least engine that keeps the contract, for one room, without threads and waiting.

    What it would announce waits until `announce` is called, and `at` is told when a call begins and
    when it ends, so that a test can let things happen there.
    """

    def __init__(self) -> None:
        self.listener: EngineListener | None = None
        self.epoch = "a"
        self.top = 0
        self.log: list[Message] = []
        self.waiting: deque[tuple[str, Message]] = deque()
        self.memberships: dict[str, Membership] = {}
        self.devices: dict[str, set[str]] = defaultdict(set)
        self.watched: list[str] = []
        self.advanced: list[tuple[str, int]] = []
        self.passed_on: list[tuple[str, Event]] = []
        self.listened: list[str] = []
        self.at: Callable[[str], object] = lambda point: None
        self.moderation = NothingDecided()
        self.webhooks = None

    # what the test does

    def post(self, count: int = 1) -> None:
        for _ in range(count):
            self.top += 1
            self.log.append(message(self.top))
            self.waiting.append((self.epoch, self.log[-1]))

    def drop_before(self, first: int) -> None:
        self.log = [kept for kept in self.log if kept.offset >= first]

    def trim(self, room: str | int, keep: Retention | None = None, now: float = 0) -> Any:
        """The engine's `trim`, which finds nothing to do; with an offset, `drop_before`."""
        if isinstance(room, int):
            return self.drop_before(room)
        return self.counts(room)

    def begin_anew(self, epoch: str) -> None:
        self.announce()
        self.epoch, self.top, self.log = epoch, 0, []
        self.memberships.clear()

    def announce(self, count: int | None = None) -> None:
        assert self.listener is not None
        for _ in range(len(self.waiting) if count is None else min(count, len(self.waiting))):
            epoch, announced = self.waiting.popleft()
            if self.watched:
                self.listener.on_message("lobby", epoch, announced)

    def lose(self) -> None:
        """What was not announced never will be: it is no longer kept, or its log is gone."""
        assert self.listener is not None
        self.waiting.clear()
        self.log = []
        if self.watched:
            self.listener.on_gap("lobby", Position(self.epoch, self.top))

    # what an engine does

    def watch(self, room: str) -> None:
        self.watched.append(room)

    def unwatch(self, room: str) -> None:
        self.watched.remove(room)

    def listen(self, room: str) -> None:
        self.listened.append(room)

    def unlisten(self, room: str) -> None:
        self.listened.remove(room)

    async def publish(self, room: str, draft: Draft, keep: Retention) -> Published:
        raise NotImplementedError

    async def join(self, room: str, user: User, quota: Quota) -> Membership:
        self.at("join begins")
        fresh = Membership(self.top, self.top, self.top, self.top)
        found = fresh if user.guest else self.memberships.setdefault(user.id, fresh)
        self.at("join ends")
        return found

    async def history(
        self,
        room: str,
        *,
        after: int | None = None,
        before: int | None = None,
        limit: int,
        ops: bool = False,
    ) -> Page:
        assert before is None
        assert ops  # nobody may miss what was done to a message
        self.at("history begins")
        if after is None:
            messages = self.log[-limit:] if limit else []
        else:
            messages = [found for found in self.log if found.offset > after][:limit]
        first = self.log[0].offset if self.log else self.top + 1
        page = page_of(messages, first, Position(self.epoch, self.top), after=after, limit=limit)
        self.at("history ends")
        return page

    async def enter(self, room: str, user: User, client: str) -> Counts:
        self.at("enter begins")
        self.devices[user.id].add(client)
        self.at("enter ends")
        return self._counts()

    async def exit(self, room: str, user_id: str, client: str, now: float) -> None:
        self.devices[user_id].discard(client)

    async def counts(self, room: str) -> Counts:
        return self._counts()

    def _counts(self) -> Counts:
        return Counts(sum(map(bool, self.devices.values())), len(self.memberships))

    def advance(self, room: str, user_id: str, offset: int) -> None:
        self.advanced.append((user_id, offset))

    def tell(self, room: str, event: Event) -> None:
        self.passed_on.append((room, event))


class NodeEngine:
    """An engine of which a node asks nothing but to live: it writes down what is called."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.failures: dict[str, list[Exception]] = defaultdict(list)
        self.trouble: str | None = None
        self.swept = asyncio.Condition()

    def _call(self, name: str) -> None:
        self.calls.append(name)
        if self.failures[name]:
            raise self.failures[name].pop(0)

    async def start(self, listener: EngineListener) -> None:
        self._call("start")

    async def stop(self) -> None:
        self._call("stop")

    async def sweep(self, now: float) -> None:
        async with self.swept:
            self.swept.notify_all()
        self._call("sweep")

    def ready(self) -> str | None:
        return self.trouble

    def stats(self) -> Mapping[str, float]:
        return {"rooms_cached": 3.0}

    async def sweeps(self, count: int) -> None:
        """Wait for that many sweeps from now on."""
        goal = self.calls.count("sweep") + count
        async with self.swept:
            await self.swept.wait_for(lambda: self.calls.count("sweep") >= goal)


def diff(joined: list[User], left: list[User], online: int, total: int) -> PresenceDiff:
    return PresenceDiff(Counts(online, total), joined, left)
