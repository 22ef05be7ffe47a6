"""An embedder's functions: asked in order, with patience, and what becomes of their failures."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from sioserver.connections.eager import run_trusted
from sioserver.errors import Refusal
from sioserver.hooks import (
    MOST_WAITING,
    TELLERS,
    HookCalls,
    Hooks,
    Joining,
    Left,
    Moderating,
    Posting,
)
from sioserver.metrics import Metrics
from sioserver.metrics.exposition import render, samples
from sioserver.model import Act

from .fakes import ANN, BEN

POSTING = Posting("lobby", ANN, "c1", "m1", "hello")
ENDLESS = 3600.0


class World:
    def __init__(self) -> None:
        self.hooks = Hooks()
        self.metrics = Metrics()
        self._made: list[HookCalls] = []

    def calls(self, timeout: float = ENDLESS) -> HookCalls:
        made = HookCalls(self.hooks, self.metrics, timeout)
        self._made.append(made)
        return made

    async def stop(self) -> None:
        for calls in self._made:
            await calls.stop()

    def counted(self) -> dict[str, int]:
        """<hook> <result> -> how often, of what there was."""
        found = {}
        for family in samples(self.metrics):
            if family.name == "sioserver_hooks":
                for sample in family.samples:
                    if sample.value:
                        found[" ".join(sample.labels.values())] = int(sample.value)
        return found


@pytest.fixture
async def world() -> AsyncIterator[World]:
    world = World()
    yield world
    await world.stop()


async def refused(call: Any) -> Refusal:
    with pytest.raises(Refusal) as caught:
        await call
    return caught.value


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0)


async def test_a_decorated_function_stays_what_it_was(world: World) -> None:
    @world.hooks.on_join
    def welcome(joining: Joining) -> None:
        """Says nothing."""

    assert welcome.__doc__ == "Says nothing."
    with pytest.raises(TypeError, match="on_join expects a function, not 'lobby'"):
        world.hooks.on_join("lobby")  # type: ignore[type-var]


async def test_without_functions_nothing_is_counted(world: World) -> None:
    calls = world.calls()
    await calls.joining("lobby", ANN, "c1")
    assert await calls.posting(POSTING, 10) == "hello"
    calls.left("lobby", ANN, "c1")
    assert world.counted() == {}


async def test_they_are_asked_in_order_and_each_sees_what_the_one_before_made(world: World) -> None:
    seen: list[Any] = []

    @world.hooks.on_message
    def shout(posting: Posting) -> Posting:
        seen.append(posting)
        return posting.with_body(posting.body.upper())

    @world.hooks.on_message
    async def look(posting: Posting) -> None:
        await asyncio.sleep(0)
        seen.append(posting)

    assert await world.calls().posting(POSTING, 10) == "HELLO"
    assert seen == [POSTING, Posting("lobby", ANN, "c1", "m1", "HELLO")]
    assert world.counted() == {"message done": 2}


async def test_only_the_body_may_be_another(world: World) -> None:
    seen: list[Posting] = []
    world.hooks.on_message(lambda posting: Posting("vault", BEN, "c9", "m9", "else"))
    world.hooks.on_message(seen.append)
    assert await world.calls().posting(POSTING, 10) == "else"
    assert seen == [Posting("lobby", ANN, "c1", "m1", "else")]


async def test_a_body_of_nothing_is_a_body(world: World) -> None:
    world.hooks.on_message(lambda posting: posting.with_body(None))
    assert await world.calls().posting(POSTING, 10) is None


@pytest.mark.parametrize("is_async", [False, True])
async def test_a_refusal_is_told_as_it_is_and_ends_it(world: World, is_async: bool) -> None:
    reason = Refusal("forbidden", "no links here")
    asked: list[Posting] = []

    def no(posting: Posting) -> None:
        raise reason

    async def not_now(posting: Posting) -> None:
        raise reason

    world.hooks.on_message(not_now if is_async else no)
    world.hooks.on_message(asked.append)
    assert await refused(world.calls().posting(POSTING, 10)) is reason
    assert asked == []
    assert world.counted() == {"message refused": 1}


async def test_an_exception_is_internal_and_logged_with_the_name(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    @world.hooks.on_join
    def broken(joining: Joining) -> None:
        raise LookupError("no such table")

    assert (await refused(world.calls().joining("lobby", ANN, "c1"))).code == "internal"
    assert "on_join tests.test_hooks." in caplog.text
    assert "broken failed" in caplog.text
    assert "no such table" in caplog.text
    assert world.counted() == {"join failed": 1}


async def test_what_takes_too_long_is_ended_and_refused_for_the_moment(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    ended = asyncio.Event()

    @world.hooks.on_message
    async def asleep(posting: Posting) -> None:
        try:
            await asyncio.sleep(ENDLESS)
        finally:
            ended.set()

    refusal = await refused(world.calls(timeout=0.01).posting(POSTING, 10))
    assert (refusal.code, refusal.temporary, refusal.retry_after) == ("unavailable", True, 1.0)
    assert "store" not in refusal.message
    assert "asleep took more than 0.01 s" in caplog.text
    await asyncio.wait_for(ended.wait(), 20)
    assert world.counted() == {"message timeout": 1}


@pytest.mark.parametrize("is_async", [False, True])
async def test_one_that_is_cancelled_by_itself_has_failed(
    world: World, caplog: pytest.LogCaptureFixture, is_async: bool
) -> None:
    def cancelled(posting: Posting) -> None:
        raise asyncio.CancelledError

    async def cancelled_later(posting: Posting) -> None:
        raise asyncio.CancelledError

    world.hooks.on_message(cancelled_later if is_async else cancelled)
    assert (await refused(world.calls().posting(POSTING, 10))).code == "internal"
    assert "cancelled" in caplog.text
    assert world.counted() == {"message failed": 1}


@pytest.mark.parametrize(
    "refusal",
    [
        Refusal("forbidden", b"no"),  # type: ignore[arg-type]
        Refusal("forbidden", "half \ud800"),
        Refusal("unavailable", retry_after=float("nan")),
    ],
)
async def test_a_refusal_that_nobody_can_be_told_is_a_failure(
    world: World, caplog: pytest.LogCaptureFixture, refusal: Refusal
) -> None:
    def refuse(posting: Posting) -> None:
        raise refusal

    world.hooks.on_message(refuse)
    assert (await refused(world.calls().posting(POSTING, 10))).code == "internal"
    assert "nobody can be told what the hook on_message" in caplog.text
    assert caplog.text.isascii()
    assert world.counted() == {"message failed": 1}


async def test_a_refusal_of_the_same_code_is_no_timeout(world: World) -> None:
    async def busy(posting: Posting) -> None:
        raise Refusal("unavailable", "the checker is being restarted", retry_after=5)

    world.hooks.on_message(busy)
    assert (await refused(world.calls().posting(POSTING, 10))).retry_after == 5
    assert world.counted() == {"message refused": 1}


async def test_the_end_of_one_that_was_given_up_is_heard_of(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    @world.hooks.on_message
    async def stubborn(posting: Posting) -> None:
        try:
            await asyncio.sleep(ENDLESS)
        except asyncio.CancelledError:
            raise LookupError("in the middle of it") from None

    await refused(world.calls(timeout=0.01).posting(POSTING, 10))
    await until(lambda: "in the middle of it" in caplog.text)


async def test_who_asks_may_be_cancelled(world: World) -> None:
    began, ended = asyncio.Event(), asyncio.Event()

    @world.hooks.on_message
    async def asleep(posting: Posting) -> None:
        began.set()
        try:
            await asyncio.sleep(ENDLESS)
        finally:
            ended.set()

    asking = asyncio.create_task(world.calls().posting(POSTING, 10))
    await began.wait()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    await asyncio.wait_for(ended.wait(), 20)


async def test_it_is_asked_where_there_is_no_task(world: World) -> None:
    """As transport/eager.py runs our handlers."""

    async def look(posting: Posting) -> Posting:
        return posting.with_body("seen")

    world.hooks.on_message(look)
    calls, bodies = world.calls(), []

    async def ask() -> None:
        bodies.append(await calls.posting(POSTING, 10))

    rest = run_trusted(ask())
    assert rest is not None
    await rest
    assert bodies == ["seen"]


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("x" * 11, "has 11 bytes, at most 10"),
        (2**53 + 1, "beyond 2"),
        ("\ud800", "surrogate"),
        (float("nan"), "out of range"),
        ({"at": datetime(2026, 1, 1, tzinfo=UTC)}, "datetime is not JSON"),
        (bytearray(b"x"), "bytearray is not JSON"),
        ([{1, 2}], "set is not JSON"),
        ({7: "x"}, "names in an object are texts"),
    ],
)
async def test_a_body_that_cannot_be_posted_is_the_hooks_fault(
    world: World, caplog: pytest.LogCaptureFixture, body: Any, text: str
) -> None:
    world.hooks.on_message(lambda posting: posting.with_body(body))
    assert (await refused(world.calls().posting(POSTING, 10))).code == "internal"
    assert text in caplog.text


@pytest.mark.parametrize("value", ["x" * 100, float("inf"), Decimal(1)])
async def test_so_is_one_that_was_changed_in_place(
    world: World, caplog: pytest.LogCaptureFixture, value: Any
) -> None:
    @world.hooks.on_message
    def change(posting: Posting) -> Posting:
        posting.body["text"] = value
        return posting.with_body(posting.body)

    posting = Posting("lobby", ANN, "c1", "m1", {"text": "hello"})
    assert (await refused(world.calls().posting(posting, 50))).code == "internal"
    assert "cannot be posted" in caplog.text


async def test_so_is_an_answer_that_is_no_message(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.hooks.on_message(lambda posting: "HELLO")  # type: ignore[type-var, return-value, arg-type]
    assert (await refused(world.calls().posting(POSTING, 10))).code == "internal"
    assert "returned 'HELLO'" in caplog.text


async def test_an_act_of_a_moderator_may_be_refused(world: World) -> None:
    asked: list[Moderating] = []
    act = Act("ban", "ann", 1_700_000_000.0, "ben")
    world.hooks.on_moderation(asked.append)
    calls = world.calls()
    await calls.moderating("lobby", act)
    assert asked == [Moderating("lobby", act)]

    @world.hooks.on_moderation
    async def not_ben(moderating: Moderating) -> None:
        raise Refusal("forbidden", "Ben is the owner")

    assert (await refused(calls.moderating("lobby", act))).message == "Ben is the owner"
    assert world.counted() == {"moderation done": 2, "moderation refused": 1}


async def test_who_left_is_told_in_order_and_nobody_waits(world: World) -> None:
    told: list[Left] = []
    world.hooks.on_leave(told.append)
    calls = world.calls()
    for number in range(3):
        calls.left("lobby", ANN, f"c{number}")
    assert told == []
    await until(lambda: len(told) == 3)
    assert told == [Left("lobby", ANN, f"c{number}") for number in range(3)]
    assert world.counted() == {"leave done": 3}


async def test_a_failure_there_keeps_no_other_from_being_told(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[Left] = []

    @world.hooks.on_leave
    def broken(left: Left) -> None:
        raise LookupError("no such table")

    world.hooks.on_leave(told.append)
    calls = world.calls()
    calls.left("lobby", ANN, "c1")
    calls.left("lobby", ANN, "c2")
    await until(lambda: len(told) == 2)
    assert caplog.text.count("broken failed") == 2
    assert world.counted() == {"leave done": 2, "leave failed": 2}


async def test_so_many_at_a_time(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    now = most = 0
    go_on = asyncio.Event()

    @world.hooks.on_leave
    async def slow(left: Left) -> None:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await go_on.wait()
        now -= 1

    monkeypatch.setattr("sioserver.hooks.MOST_WAITING", TELLERS + 5)
    calls = world.calls()
    for number in range(TELLERS + 6):
        calls.left("lobby", ANN, f"c{number}")
    await until(lambda: now == TELLERS)
    go_on.set()
    await until(lambda: world.counted().get("leave done") == TELLERS + 5)
    assert most == TELLERS
    assert world.counted()["leave dropped"] == 1
    assert MOST_WAITING > 50_000


async def test_the_stop_waits_for_those_who_left(world: World) -> None:
    told: list[Left] = []

    @world.hooks.on_leave
    async def write_down(left: Left) -> None:
        await asyncio.sleep(0)
        told.append(left)

    calls = world.calls()
    calls.left("lobby", ANN, "c1")
    await calls.stop()
    assert len(told) == 1


async def test_but_not_for_ever(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR)

    async def asleep(event: Any) -> None:
        await asyncio.sleep(ENDLESS)

    world.hooks.on_message(asleep)
    calls = world.calls()
    asking = asyncio.create_task(calls.posting(POSTING, 10))
    await asyncio.sleep(0)
    await calls.stop()
    assert (await refused(asking)).code == "unavailable"
    assert caplog.text == ""


async def test_durations_are_measured() -> None:
    ticks = iter([10.0, 10.5])
    hooks, metrics = Hooks(), Metrics()
    hooks.on_join(lambda joining: None)
    await HookCalls(hooks, metrics, 1.0, lambda: next(ticks)).joining("lobby", ANN, "c1")
    body = render(metrics)[0].decode()
    assert 'sioserver_hook_seconds_sum{hook="join"} 0.5' in body
    assert 'sioserver_hook_seconds_bucket{hook="join",le="0.1"} 0.0' in body
    assert 'sioserver_hook_seconds_bucket{hook="join",le="1.0"} 1.0' in body
