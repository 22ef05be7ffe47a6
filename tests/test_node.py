"""The life of a node: in which order, and what happens when something goes wrong."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator

import pytest

from sioserver.admission import Watermark
from sioserver.config import Config
from sioserver.config.schema import Presence
from sioserver.engine.base import StoreError
from sioserver.errors import Refusal
from sioserver.hub import Hub
from sioserver.metrics import Metrics
from sioserver.metrics.exposition import render
from sioserver.node import Node

from .fakes import FakeClock, FakeOutbox, NodeEngine, client

CONFIG = Config(presence=Presence(batch=0.001))


@pytest.fixture
def engine() -> NodeEngine:
    return NodeEngine()


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def hub(metrics: Metrics) -> Hub:
    return Hub(metrics)


@pytest.fixture
async def node(engine: NodeEngine, hub: Hub, metrics: Metrics) -> AsyncIterator[Node]:
    node = Node(CONFIG, engine, hub, metrics, FakeClock())
    yield node
    await node.stop()
    assert asyncio.all_tasks() == {asyncio.current_task()}


def names() -> set[str]:
    return {task.get_name() for task in asyncio.all_tasks()}


# -- start and stop -------------------------------------------------------------------------------


async def test_from_start_to_stop(node: Node, engine: NodeEngine) -> None:
    await node.start()
    assert engine.calls == ["start"]
    assert {"sweep", "lag"} <= names()
    await engine.sweeps(2)
    await node.stop()
    assert not {"sweep", "lag"} & names()
    assert set(engine.calls[1:-1]) == {"sweep"}
    assert engine.calls[-2:] == ["sweep", "stop"]  # a last one, for those who have just left


async def test_a_chore_that_fails_keeps_nothing_else_from_being_done(
    node: Node, engine: NodeEngine, caplog: pytest.LogCaptureFixture
) -> None:
    done: list[float] = []

    def broken(now: float) -> None:
        done.append(-1.0)
        raise RuntimeError("a fault of ours")

    node.chores += [broken, done.append]
    await node.start()
    await engine.sweeps(3)
    await node.stop()
    assert done[:4] == [-1.0, FakeClock().now] * 2
    said = [record.message for record in caplog.records if record.levelname == "ERROR"]
    assert said == ["a chore could not be done"] * 2  # at the beginning, and at the end


async def test_chores_are_done_with_each_sweep(node: Node, engine: NodeEngine) -> None:
    done: list[float] = []
    node.chores.append(done.append)
    await node.start()
    await engine.sweeps(2)
    assert done[:2] == [FakeClock().now] * 2


async def test_a_store_that_cannot_be_opened(node: Node, engine: NodeEngine) -> None:
    engine.failures["start"] = [StoreError("it is a directory")]
    with pytest.raises(StoreError, match="it is a directory"):
        await node.start()
    assert not {"sweep", "lag"} & names()
    assert node.ready() == ["starting"]
    await node.stop()
    assert engine.calls == ["start"]


async def test_stop_before_start(node: Node, engine: NodeEngine) -> None:
    await node.stop()
    assert engine.calls == []


async def test_stop_twice(node: Node, engine: NodeEngine) -> None:
    await node.start()
    await asyncio.gather(node.stop(), node.stop())
    await node.stop()
    assert engine.calls.count("stop") == 1


async def test_the_engine_is_stopped_though_the_last_sweep_fails(
    node: Node, engine: NodeEngine
) -> None:
    await node.start()
    engine.failures["sweep"] = [Refusal("unavailable")]
    await node.stop()
    assert engine.calls == ["start", "sweep", "stop"]


# -- ready ----------------------------------------------------------------------------------------


async def test_ready(node: Node, engine: NodeEngine) -> None:
    assert node.ready() == ["starting"]
    await node.start()
    assert node.ready() == []
    engine.trouble = "the disk is full"
    assert node.ready() == ["the disk is full"]
    node.drain()
    assert node.ready() == ["the disk is full", "draining"]
    engine.trouble = None
    assert node.ready() == ["draining"]
    await node.stop()
    assert "draining" in node.ready()


async def test_memory_that_is_short(
    engine: NodeEngine,
    hub: Hub,
    metrics: Metrics,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Whoever asks whether clients may be sent here is told; the log says it once."""
    monkeypatch.setattr("sioserver.node.MEMORY_PAUSE", 0.001)
    caplog.set_level(logging.INFO)
    samples = iter([500, 2_000_000, 1_000_000, 960_000, *[900_000] * 1_000_000])
    seen: list[list[str]] = []

    def used() -> int:
        seen.append(node.ready())
        return next(samples)

    node = Node(CONFIG, engine, hub, metrics, FakeClock(), Watermark(1_000_000), used)
    await node.start()
    while len(seen) < 7:
        await asyncio.sleep(0.001)
    assert seen[1:6] == [[], ["memory"], ["memory"], ["memory"], []]
    assert (metrics.memory, metrics.memory_limit) == (900_000, 1_000_000)
    said = [record.message for record in caplog.records if "memory" in record.message]
    assert said == [
        "memory is short (2 MB of limits.memory's 1): no new connections are let in, those that "
        "are here go on",
        "there is memory again: new connections are let in",
    ]
    await node.stop()


async def test_ready_has_conditions_of_others(node: Node, engine: NodeEngine) -> None:
    await node.start()
    reason: str | None = "jwks"
    node.conditions.append(lambda: reason)
    assert node.ready() == ["jwks"]
    engine.trouble = "the disk is full"
    assert node.ready() == ["the disk is full", "jwks"]
    reason = engine.trouble = None
    assert node.ready() == []


# -- tasks ----------------------------------------------------------------------------------------


async def test_sweeping_goes_on_after_an_error_that_is_said_once(
    node: Node, engine: NodeEngine, caplog: pytest.LogCaptureFixture
) -> None:
    engine.failures["sweep"] = [RuntimeError("lost"), RuntimeError("lost"), RuntimeError("lost")]
    await node.start()
    await engine.sweeps(5)
    engine.failures["sweep"] = [RuntimeError("again")]
    await engine.sweeps(2)
    logged = [record for record in caplog.records if record.exc_info]
    assert [str(record.exc_info[1]) for record in logged if record.exc_info] == ["lost", "again"]


async def test_tasks_are_named_and_ended(node: Node) -> None:
    ended: list[str] = []

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)  # takes a moment: the stop waits for it
            ended.append("work")

    task = node.spawn("work", work())
    assert task.get_name() == "work"
    await asyncio.sleep(0)
    await node.stop()
    assert ended == ["work"]
    assert task.cancelled()


async def test_a_task_that_dies_is_heard_of(node: Node, caplog: pytest.LogCaptureFixture) -> None:
    async def work() -> None:
        raise RuntimeError("broken")

    task = node.spawn("work", work())
    await asyncio.wait([task])
    await asyncio.sleep(0)
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert record.getMessage() == "the task work died"
    assert record.exc_info
    await node.stop()


async def test_a_task_that_is_done_is_forgotten(
    node: Node, caplog: pytest.LogCaptureFixture
) -> None:
    async def work() -> None:
        pass

    await node.spawn("work", work())
    await asyncio.sleep(0)
    assert not node._tasks
    assert not caplog.records


async def test_what_is_measured(
    node: Node, hub: Hub, metrics: Metrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sioserver.node.LAG_PAUSE", 0.0)
    hub.begin(client(FakeOutbox()))
    await node.start()
    while not metrics.rooms:
        await asyncio.sleep(0)
    assert metrics.loop_lag >= 0.0
    assert b"sioserver_engine_rooms_cached 3.0" in render(metrics)[0]
