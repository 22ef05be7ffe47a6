"""One handler at a time, in order."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import Any

import pytest

from sioserver.connections.inbox import TURN
from sioserver.transport.engineio import EngineServer
from sioserver.transport.session import Session

from ..transport.kit import soon, until


def make(trusted: bool, **options: Any) -> Session:
    server = EngineServer(**options)
    server.trusted_handlers = trusted
    return Session(server, "sid")


BOTH = pytest.mark.parametrize("trusted", [True, False])


@BOTH
async def test_in_order_whoever_waits(trusted: bool) -> None:
    session = make(trusted)
    seen: list[int] = []

    async def handler(number: int) -> None:
        if number % 3 == 0:
            await asyncio.sleep(0)
        seen.append(number)

    for number in range(100):
        session.enqueue(1, handler, number)
    await soon(session.settled())
    await until(lambda: len(seen) == 100)
    assert seen == list(range(100))
    assert not session.handling
    assert session._inbox_bytes == 0


async def test_trusted_handlers_run_at_once() -> None:
    session = make(True)
    seen: list[int] = []

    async def handler() -> None:
        seen.append(1)

    session.enqueue(1, handler)
    assert seen == [1]


async def test_a_flood_leaves_the_loop_its_turns() -> None:
    """All the frames of a read come in one call: the others must not wait for all of them."""
    session = make(True, inbox=10**6)
    seen: list[int] = []
    turns: list[int] = []

    async def handler(number: int) -> None:
        seen.append(number)

    def other() -> None:
        turns.append(len(seen))
        if len(seen) < 10 * TURN:
            asyncio.get_running_loop().call_soon(other)

    asyncio.get_running_loop().call_soon(other)
    for number in range(10 * TURN):
        session.enqueue(1, handler, number)
    assert len(seen) == TURN
    await soon(session.settled())
    assert seen == list(range(10 * TURN))
    assert max(after - before for before, after in pairwise(turns)) <= TURN


async def test_what_a_handler_enqueues_comes_behind_it() -> None:
    session = make(True)
    seen: list[str] = []

    async def inner(number: int) -> None:
        seen.append(f"inner {number}")

    async def handler() -> None:
        assert session.handling
        for number in range(3000):  # deeper than any recursion
            session.enqueue(0, inner, number)
        seen.append("handler")

    session.enqueue(1, handler)
    await soon(session.settled())
    assert seen[0] == "handler"
    assert seen[1:] == [f"inner {number}" for number in range(3000)]


@BOTH
async def test_faults_do_not_stop_it(trusted: bool, caplog: pytest.LogCaptureFixture) -> None:
    session = make(trusted)
    seen: list[int] = []

    async def fault(kind: type[BaseException], wait: bool) -> None:
        if wait:
            await asyncio.sleep(0)
        raise kind

    async def handler() -> None:
        seen.append(1)

    for kind in (KeyError, asyncio.CancelledError):
        for wait in (False, True):
            session.enqueue(1, fault, kind, wait)
            session.enqueue(1, handler)
    await until(lambda: len(seen) == 4)
    assert caplog.text.count("a handler failed") == 2


async def test_full_by_number_and_by_bytes() -> None:
    for options, size in (({"inbox": 3}, 1), ({"max_http_buffer_size": 100}, 50)):
        session = make(True, **options)
        gate = asyncio.Event()

        async def handler(gate: asyncio.Event = gate) -> None:
            await gate.wait()

        session.enqueue(size, handler)
        while not session._paused:
            session.enqueue(size, handler)
            assert len(session._inbox) < 4
        waiting = asyncio.create_task(session.room_in_inbox())
        await asyncio.sleep(0)
        assert not waiting.done()
        gate.set()
        await soon(waiting)
        assert not session._paused


async def test_the_end_of_the_session_lets_go() -> None:
    session = make(True, inbox=1)
    gate = asyncio.Event()

    async def handler() -> None:
        await gate.wait()

    session.enqueue(1, handler)
    session.enqueue(1, handler)
    waiting = asyncio.create_task(session.room_in_inbox())
    await asyncio.sleep(0)
    session.end("transport close", "transport_close")
    await soon(waiting)
    gate.set()
    await soon(session.settled())
    await until(lambda: not session.server._ending)
