"""Running a coroutine at once, and only making a task of it when it really waits.

`run` is for the library's users: their handlers may use anything that needs a current task.
`run_trusted` is for our own handlers, which do not before their first wait: no task, no future and
no turn of the event loop for a message that is handled without waiting.
Knows nothing of messages.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Coroutine
from typing import Any


def run(coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None] | None:
    """Start the coroutine; None when it has ended already, else the task that finishes it."""
    if sys.version_info >= (3, 12):
        task = asyncio.Task(coroutine, loop=asyncio.get_running_loop(), eager_start=True)
        if task.done() and not task.cancelled() and task.exception() is None:
            return None
        return task
    return asyncio.ensure_future(coroutine)


def run_trusted(coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None] | None:
    """As `run`; `asyncio.current_task()` is None or another's until the first wait.

    What `asyncio.Task(eager_start=True)` does from Python 3.12 on, for every version.
    """
    try:
        waiting_for = coroutine.send(None)
    except StopIteration:
        return None
    return asyncio.ensure_future(_finish(coroutine, waiting_for))


async def _finish(coroutine: Coroutine[Any, Any, None], waiting_for: Any) -> None:
    # Steps the coroutine as a task would: waits for the future that it waits for, then goes on in
    # it. Errors of that future are raised inside the coroutine by its own `await`.
    while True:
        try:
            if waiting_for is None:
                await asyncio.sleep(0)
            else:
                waiting_for._asyncio_future_blocking = False
                await asyncio.wait([waiting_for])
        except asyncio.CancelledError as cancelled:
            if waiting_for is not None:
                waiting_for.cancel()  # as a task does with what it waits for
            try:
                waiting_for = coroutine.throw(cancelled)
            except StopIteration:
                return
            continue
        try:
            waiting_for = coroutine.send(None)
        except StopIteration:
            return
