"""Running coroutines at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from typing import Any

import pytest

from sioserver.connections import eager

Run = Callable[[Coroutine[Any, Any, None]], "asyncio.Task[None] | None"]
BOTH = pytest.mark.parametrize("run", [eager.run, eager.run_trusted])


async def test_trusted_ends_at_once_without_a_task() -> None:
    seen: list[int] = []

    async def handler() -> None:
        seen.append(1)

    tasks = asyncio.all_tasks()
    assert eager.run_trusted(handler()) is None
    assert seen == [1]
    assert asyncio.all_tasks() == tasks


@BOTH
async def test_a_task_goes_on_with_what_waits(run: Run) -> None:
    seen: list[Any] = []
    gate: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def handler() -> None:
        seen.append("begun")
        seen.append(await gate)
        await asyncio.sleep(0)
        async with asyncio.timeout(5):
            await asyncio.sleep(0.001)
        seen.append(asyncio.current_task() is not None)

    task = run(handler())
    assert task is not None
    await asyncio.sleep(0)
    gate.set_result("let in")
    await task
    assert seen == ["begun", "let in", True]


async def test_a_users_handler_is_one_task_from_its_first_line_on() -> None:
    """Whatever the version of Python (docs/decisions/0030): libraries go by `current_task()`."""
    variable: ContextVar[str] = ContextVar("variable", default="the caller's")
    tasks: list[Any] = []

    async def handler() -> None:
        tasks.append(asyncio.current_task())
        variable.set("the handler's")
        async with asyncio.timeout(5), asyncio.TaskGroup() as group:  # before anything has waited
            group.create_task(asyncio.sleep(0))
        tasks.append(asyncio.current_task())
        assert variable.get() == "the handler's"

    me = asyncio.current_task()
    task = eager.run(handler())
    assert task is not None
    assert asyncio.current_task() is me
    await task
    assert tasks == [task, task]
    assert variable.get() == "the caller's"


@BOTH
async def test_an_error_of_what_is_waited_for_is_raised_inside(run: Run) -> None:
    seen: list[str] = []
    gate: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def handler() -> None:
        try:
            await gate
        except LookupError:
            seen.append("caught")
        raise KeyError("mine")

    task = run(handler())
    assert task is not None
    await asyncio.sleep(0)
    gate.set_exception(LookupError())
    with pytest.raises(KeyError):
        await task
    assert seen == ["caught"]


@BOTH
async def test_cancelling_reaches_what_is_waited_for(run: Run) -> None:
    inner = asyncio.create_task(asyncio.sleep(60))
    seen: list[str] = []

    async def handler() -> None:
        try:
            await inner
        finally:
            seen.append("ended")

    task = run(handler())
    assert task is not None
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert seen == ["ended"]
    await asyncio.wait([inner])
    assert inner.cancelled()


@BOTH
async def test_a_handler_may_survive_a_cancellation(run: Run) -> None:
    async def handler() -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            await asyncio.sleep(0)

    task = run(handler())
    assert task is not None
    await asyncio.sleep(0)
    task.cancel()
    await task
    assert not task.cancelled()


async def test_trusted_lets_an_error_before_the_first_wait_out() -> None:
    async def handler() -> None:
        raise KeyError("mine")

    with pytest.raises(KeyError):
        eager.run_trusted(handler())


@BOTH
async def test_a_bare_yield_is_a_turn_of_the_loop(run: Run) -> None:
    seen: list[int] = []

    async def handler() -> None:
        for number in range(3):
            await asyncio.sleep(0)
            seen.append(number)

    task = run(handler())
    assert task is not None
    await task
    assert seen == [0, 1, 2]
