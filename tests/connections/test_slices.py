"""Work in slices, on a clock that the work moves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from sioserver.connections.slices import Slices


class Loop:
    """Turns when it is told to; working takes as long as the work says."""

    def __init__(self) -> None:
        self.now = 0.0
        self.soon: list[Callable[[], None]] = []

    def time(self) -> float:
        return self.now

    def call_soon(self, callback: Callable[[], None]) -> None:
        self.soon.append(callback)

    def turn(self) -> None:
        ready, self.soon = self.soon, []
        for callback in ready:
            callback()


@pytest.fixture
def loop(monkeypatch: pytest.MonkeyPatch) -> Loop:
    loop = Loop()
    monkeypatch.setattr(asyncio, "get_running_loop", lambda: loop)
    return loop


def work(loop: Loop, done: list[int], number: int, takes: float) -> Callable[[], None]:
    def it() -> None:
        done.append(number)
        loop.now += takes

    return it


def test_a_little_is_done_at_once(loop: Loop) -> None:
    slices, done = Slices(1.0), list[int]()
    for number in range(3):
        slices.run(work(loop, done, number, 0.25))
    assert (done, len(slices), len(loop.soon)) == ([0, 1, 2], 0, 1)
    loop.turn()
    assert loop.soon == []  # nothing is left behind


def test_much_is_done_in_order_and_in_turns(loop: Loop) -> None:
    slices, done = Slices(1.0), list[int]()
    for number in range(10):
        slices.run(work(loop, done, number, 0.25))
    assert done == [0, 1, 2, 3]
    loop.turn()
    assert done == list(range(8))
    slices.run(work(loop, done, 10, 0.25))  # not before those that came before it
    assert done == list(range(8))
    loop.turn()
    assert (done, len(slices)) == (list(range(11)), 0)
    loop.turn()
    assert loop.soon == []
    slices.run(work(loop, done, 11, 0.25))
    assert done[-1] == 11


def test_one_that_takes_long_ends_the_slice(loop: Loop) -> None:
    slices, done = Slices(1.0), list[int]()
    slices.run(work(loop, done, 0, 5.0))
    slices.run(work(loop, done, 1, 0.1))
    assert done == [0]
    loop.turn()
    assert done == [0, 1]


def test_work_may_make_work(loop: Loop) -> None:
    slices, done = Slices(1.0), list[int]()
    more = work(loop, done, 1, 0.1)
    slices.run(lambda: slices.run(more))
    assert done == [1]


def test_one_that_fails_holds_up_nobody(loop: Loop, caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> Any:
        raise RuntimeError("no")

    slices, done = Slices(1.0), list[int]()
    slices.run(fail)
    slices.run(work(loop, done, 1, 0.1))
    assert done == [1]
    assert "RuntimeError: no" in caplog.text
