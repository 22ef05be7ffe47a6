"""What an endpoint gets, when, and what becomes of it when the endpoint fails: with a real store
and a real receiver."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from sioserver.config import Config
from sioserver.config.schema import Store, Webhook, Webhooks
from sioserver.engine.embedded import EmbeddedEngine
from sioserver.errors import Refusal
from sioserver.metrics import Metrics
from sioserver.metrics.exposition import render, samples
from sioserver.model import Draft, Operation, User
from sioserver.webhooks import Webhooks as Senders
from sioserver.webhooks import sender
from tests.engine.conftest import Keep, Listener, until

from .kit import SECRET, Receiver, answers, hangs, verify

ANN = User("ann", "Ann")
GRACE = 5.0


class World:
    """A node with a store and one endpoint, which is a receiver of the test's."""

    def __init__(self, path: str | Path, receiver: Receiver, **endpoint: Any) -> None:
        values = {"name": "crm", "secret": SECRET, "rooms": ["a", "b", "many*"], "timeout": 20.0}
        hook = Webhook(url=receiver.url, **{**values, **endpoint})
        self.config = Config(webhooks=Webhooks(endpoints=[hook]))
        self.path = path
        self.receiver = receiver
        self.metrics = Metrics()
        self.now = 0.0
        self._tasks: set[asyncio.Task[None]] = set()
        self._posted = 0

    async def start(self) -> None:
        self.engine = EmbeddedEngine(
            Store(durability="normal"),
            grace=GRACE,
            path=self.path,
            endpoints=self.config.webhooks,
        )
        await self.engine.start(Listener())
        senders = Senders(self.config, self.engine, self.metrics, self.clock, self.spawn)
        assert self.engine.webhooks is not None
        senders.start(self.engine.webhooks)

    async def stop(self) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(result, Exception):
                raise result
        await self.engine.stop()

    def spawn(self, name: str, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(coroutine, name=name)
        self._tasks.add(task)
        return task

    def clock(self) -> float:
        return self.now or time.time()

    async def post(self, *bodies: Any, room: str = "a", keep: Keep | None = None) -> None:
        for body in bodies:
            self._posted += 1
            draft = Draft(f"m{self._posted}", ANN, body, int(self.clock() * 1000), resendable=False)
            await self.engine.publish(room, draft, keep or Keep())

    async def operate(self, kind: Any, offset: int) -> None:
        how: dict[str, Any] = {"edit": {"body": "better"}, "reaction": {"emoji": "👍"}}
        operation = Operation(
            kind=kind,
            user=ANN,
            at=int(self.clock() * 1000),
            offset=offset,
            id=None,
            author_only=False,
            **how.get(kind, {}),
        )
        await self.engine.operate("a", operation, Keep())

    def counted(self) -> dict[str, int]:
        """<result> -> how often, of events and requests."""
        found: dict[str, int] = {}
        for family in samples(self.metrics):
            if family.name in ("sioserver_webhook_events", "sioserver_webhook_requests"):
                for sample in family.samples:
                    assert sample.labels["webhook"] == "crm"
                    if sample.value:
                        found[sample.labels["result"]] = int(sample.value)
        return found


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sender, "FIRST_PAUSE", 0.02)
    monkeypatch.setattr(sender, "LOOK_EVERY", 0.2)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with Receiver() as receiver:
        yield receiver


@pytest.fixture
async def make(receiver: Receiver) -> AsyncIterator[Any]:
    made: list[World] = []

    async def make(path: str | Path = ":memory:", **endpoint: Any) -> World:
        world = World(path, receiver, **endpoint)
        made.append(world)
        await world.start()
        return world

    yield make
    for world in made:
        await world.stop()


async def test_messages_come_in_order_and_signed(make: Any, receiver: Receiver) -> None:
    world = await make(batch=3)
    await world.post(*range(10))
    await world.post("elsewhere", room="nobody asked")
    await receiver.until(lambda: len(receiver.events) == 10)
    assert receiver.bodies() == list(range(10))
    assert [event["message"]["offset"] for event in receiver.events] == list(range(1, 11))
    assert len({event["id"] for event in receiver.events}) == 10
    assert max(len(request["events"]) for request in receiver.requests) <= 3
    for headers, body in receiver.raw:
        verify(headers, body, time.time())
    await until(lambda: world.counted().get("taken") == 10, "they are counted")


async def test_only_what_it_wants(make: Any, receiver: Receiver) -> None:
    world = await make(events=["leave"])
    await world.post("hi")
    await world.engine.enter("a", ANN, "c1")
    await world.engine.sweep(1_700_000_000.0)
    await world.engine.exit("a", ANN.id, "c1", 1_700_000_000.0)
    await world.engine.sweep(1_700_000_000.0 + GRACE)
    await receiver.until(lambda: receiver.events)
    assert [(event["type"], event["user"]) for event in receiver.events] == [("leave", "ann")]


async def test_what_is_done_to_messages(make: Any, receiver: Receiver) -> None:
    go_on = asyncio.Event()

    async def not_yet(request: web.Request) -> web.Response:
        await go_on.wait()
        return web.Response(status=503)

    receiver.behaviour = not_yet
    world = await make(events=["message", "edit", "delete"])
    await world.post("one", "two")
    await receiver.until(lambda: receiver.requests)
    for kind, offset in (("edit", 1), ("reaction", 1), ("delete", 2)):
        await world.operate(kind, offset)
    await world.post("three")
    receiver.behaviour = None
    go_on.set()
    await receiver.until(lambda: receiver.bodies()[-1:] == ["three"])
    told = [(event["type"], int(event["position"].partition(".")[2])) for event in receiver.events]
    assert told == [("message", 1), ("message", 2), ("edit", 3), ("delete", 5), ("message", 6)]
    edit, delete = receiver.events[2]["edit"], receiver.events[3]["delete"]
    assert (edit["offset"], edit["body"], delete["offset"]) == (1, "better", 2)
    # what somebody has taken back is not sent any more
    assert receiver.bodies() == ["better", None, "three"]


async def test_who_comes_and_goes(make: Any, receiver: Receiver) -> None:
    world = await make()
    await world.engine.enter("a", ANN, "c1")
    await world.engine.sweep(1_700_000_000.0)
    await receiver.until(lambda: len(receiver.events) == 1)
    await world.engine.exit("a", ANN.id, "c1", 1_700_000_000.0)
    await world.engine.sweep(1_700_000_000.0 + GRACE)
    await receiver.until(lambda: len(receiver.events) == 2)
    join, leave = receiver.events
    assert (join["type"], leave["type"]) == ("join", "leave")
    assert join["generation"] < leave["generation"]


@pytest.mark.parametrize("status", [302, 400, 500])
async def test_what_is_not_taken_comes_again_until_it_is(
    make: Any, receiver: Receiver, status: int
) -> None:
    receiver.behaviour = answers(status)
    world = await make()
    await world.post("one", "two")
    await receiver.until(lambda: len(receiver.requests) >= 3)
    assert receiver.events == []
    receiver.behaviour = None
    await receiver.until(lambda: len(receiver.events) == 2)
    assert receiver.bodies() == ["one", "two"]
    assert world.counted()["status"] >= 2


async def test_one_that_hangs_keeps_no_room_waiting(make: Any, receiver: Receiver) -> None:
    receiver.behaviour = hangs
    world = await make(timeout=0.2, concurrency=2)
    for number in range(5):
        await asyncio.wait_for(world.post("hi", room=f"many{number}"), 20)
    await receiver.until(lambda: len(receiver.requests) >= 3)
    receiver.behaviour = None
    await receiver.until(lambda: len(receiver.events) >= 5)
    assert {event["room"] for event in receiver.events} == {f"many{n}" for n in range(5)}
    assert world.counted()["timeout"] >= 2


async def test_one_that_is_away(make: Any, receiver: Receiver) -> None:
    world = await make()
    await receiver.stop()
    await world.post(*range(3))
    await until(lambda: world.counted().get("unreachable", 0) >= 2, "it is tried again")
    await receiver.start()
    await receiver.until(lambda: len(receiver.events) >= 3)
    assert receiver.bodies() == [0, 1, 2]


async def test_a_room_that_fails_holds_up_no_other(make: Any, receiver: Receiver) -> None:
    async def not_a(request: web.Request) -> web.Response:
        told = receiver.requests[-1]["events"]
        if told[0]["room"] == "a":
            return web.Response(status=500)
        receiver.events += told
        return web.Response()

    receiver.behaviour = not_a
    world = await make()
    await world.post("poison")
    await receiver.until(lambda: receiver.requests)
    await world.post("fine", room="b")
    await until(lambda: receiver.bodies("b") == ["fine"], "the other room's is taken")


async def test_what_another_node_has_sent_meanwhile_is_not_rested_from(
    make: Any, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A room that failed here, and was then another's business, is this node's when it is due."""
    receiver.behaviour = answers(500)
    world = await make()
    marks = world.engine.webhooks
    claim, refused = marks.claim, []

    async def taken(lane: Any, room: str) -> Any:
        if receiver.requests and not refused:
            refused.append(room)
            return None
        return await claim(lane, room)

    monkeypatch.setattr(marks, "claim", taken)
    await world.post("one")
    await until(lambda: refused, "another has it")
    receiver.behaviour = None
    await world.post("two")
    await receiver.until(lambda: receiver.bodies()[-1:] == ["two"])


async def test_after_many_failures_it_is_left_alone(
    make: Any, receiver: Receiver, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sender, "LONGEST_REST", 3600.0)
    receiver.behaviour = answers(503)
    world = await make(concurrency=1)
    for number in range(8):
        await world.post("hi", room=f"many{number}")
    await until(lambda: 'webhook_open{webhook="crm"} 0.0' in rendered(world), "it is closed")
    assert "crm does not take events: the answer is 503; it is left alone" in caplog.text
    assert caplog.text.count("does not take events") == 2  # the first time, and then


async def test_when_it_takes_events_again_that_is_said(
    make: Any, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    receiver.behaviour = answers(503)
    world = await make()
    await world.post("hi")
    await until(lambda: 'webhook_open{webhook="crm"} 0.0' in rendered(world), "it is closed")
    receiver.behaviour = None
    await receiver.until(lambda: receiver.events)
    await until(lambda: "crm takes events again" in caplog.text, "it is said")
    assert 'webhook_open{webhook="crm"} 1.0' in rendered(world)


async def test_the_endpoint_says_when_to_come_again(make: Any, receiver: Receiver) -> None:
    receiver.behaviour = answers(429, **{"Retry-After": "3600"})
    world = await make()
    await world.post("hi")
    await receiver.until(lambda: receiver.requests)
    receiver.behaviour = None
    await world.post("other", room="b")
    await receiver.until(lambda: receiver.bodies("b") == ["other"])
    assert receiver.bodies("a") == []


async def test_what_is_too_old_is_dropped_and_the_rest_goes_on(
    make: Any, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    receiver.behaviour = answers(400)
    world = await make(give_up=60.0)
    world.now = 1_700_000_000.0
    await world.post("old")
    await receiver.until(lambda: receiver.requests)
    world.now += 100.0
    await world.post("new")
    await until(lambda: world.counted().get("dropped") == 1, "it is given up")
    receiver.behaviour = None
    await receiver.until(lambda: receiver.bodies() == ["new"])
    assert "1 events were not taken within 60 s and are dropped" in caplog.text


async def test_what_the_log_has_lost_is_said(make: Any, receiver: Receiver) -> None:
    receiver.behaviour = answers(500)
    world = await make()
    await world.post(0)
    await receiver.until(lambda: receiver.requests)
    short = Keep(history_length=3)
    await world.post(*range(1, 200), keep=short)
    receiver.behaviour = None
    await receiver.until(lambda: receiver.events and receiver.bodies()[-1:] == [199])
    gap = next(event for event in receiver.events if event["type"] == "gap")
    offsets = [one["message"]["offset"] for one in receiver.events if one["type"] == "message"]
    assert gap["to"] + 1 in offsets
    assert world.counted()["lost"] >= gap["to"] - gap["from"] + 1


async def test_what_is_done_to_messages_is_no_gap(make: Any, receiver: Receiver) -> None:
    world = await make(batch=2)
    await world.post("one")
    for n in range(5):
        await world.engine.operate(
            "a", Operation("reaction", ANN, 1, 1, None, False, emoji=f"e{n}"), Keep()
        )
    await world.post("two")
    await receiver.until(lambda: len(receiver.events) == 2)
    assert receiver.bodies() == ["one", "two"]
    assert [event["message"]["offset"] for event in receiver.events] == [1, 7]
    assert "lost" not in world.counted()


async def test_a_room_without_a_history_has_only_gaps(make: Any, receiver: Receiver) -> None:
    world = await make()
    await world.post(1, 2, keep=Keep(history_length=0))
    await receiver.until(lambda: receiver.events and receiver.events[-1]["to"] == 2)
    assert {event["type"] for event in receiver.events} == {"gap"}


async def test_large_events_go_one_by_one(make: Any, receiver: Receiver) -> None:
    receiver.behaviour = answers(500)
    world = await make()
    await world.post("x" * 700_000, "y" * 700_000)
    await receiver.until(lambda: receiver.requests)
    receiver.behaviour = None
    await receiver.until(lambda: len(receiver.events) == 2)
    assert {len(request["events"]) for request in receiver.requests} == {1}


async def test_what_waited_is_sent_after_a_restart(
    make: Any, receiver: Receiver, tmp_path: Path
) -> None:
    await receiver.stop()
    world = await make(tmp_path / "rooms.db")
    await world.post("one", "two")
    await until(lambda: world.counted().get("unreachable"), "it was tried")
    await world.stop()
    await receiver.start()
    await world.start()
    await receiver.until(lambda: receiver.bodies() == ["one", "two"])


async def test_a_store_that_is_away_for_a_moment(
    make: Any, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = await make()
    failures = 3

    async def away(*args: Any, **options: Any) -> Any:
        nonlocal failures
        if failures:
            failures -= 1
            raise Refusal("unavailable")
        return await history(*args, **options)

    history = world.engine.history
    monkeypatch.setattr(world.engine, "history", away)
    await world.post("hi")
    await receiver.until(lambda: receiver.bodies() == ["hi"])
    assert failures == 0


def rendered(world: World) -> str:
    return render(world.metrics)[0].decode()
