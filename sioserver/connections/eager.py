"""Running a coroutine at once, and only making a task of it when it really waits.

`run` is for the library's users: their handlers may use anything that needs a current task.
`run_trusted` is for our own handlers, which do not before their first wait: no task, no future and
no turn of the event loop for a message that is handled without waiting.
Knows nothing of messages.
"""

from __future__ import annotations

import asyncio
import sys
import types
from collections.abc import Coroutine, Generator
from typing import Any


def run(coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None] | None:
    """Start the coroutine; None when it has ended already, else the task that finishes it."""
    if sys.version_info >= (3, 12):
        task = asyncio.Task(coroutine, loop=asyncio.get_running_loop(), eager_start=True)
        if task.done() and not task.cancelled() and task.exception() is None:
            return None
        return task
    return asyncio.get_running_loop().create_task(coroutine)


def run_trusted(coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None] | None:
    """As `run`; `asyncio.current_task()` is None or another's until the first wait.

    What `asyncio.Task(eager_start=True)` does from Python 3.12 on, for every version.
    """
    try:
        waiting_for = coroutine.send(None)
    except StopIteration:
        return None
    return asyncio.get_running_loop().create_task(_finish(coroutine, waiting_for))


async def _finish(coroutine: Coroutine[Any, Any, None], waiting_for: Any) -> None:
    await _rest(coroutine, waiting_for)


@types.coroutine
def _rest(coroutine: Coroutine[Any, Any, None], waiting_for: Any) -> Generator[Any, Any, None]:
    # `yield from coroutine`, but for its first step. The task that runs this does with the futures
    # what it does with any other's; `asyncio.wait` for each of them costs three times as much.
    try:
        while True:
            try:
                yield waiting_for
            except BaseException as error:  # it is the coroutine's, which may handle it
                waiting_for = coroutine.throw(error)
            else:
                waiting_for = coroutine.send(None)
    except StopIteration:
        return
    finally:
        coroutine.close()
