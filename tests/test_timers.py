"""The wheel, on a clock that the test moves."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sioserver import timers
from sioserver.timers import Wheel

GRAIN = 0.01


class Loop(asyncio.SelectorEventLoop):
    """A loop whose time goes forward only when nothing is left to do now."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0

    def time(self) -> float:
        return getattr(self, "now", 0.0)

    def run_to(self, end: float) -> None:
        """Let time pass."""

        async def idle() -> None:
            while True:
                due = [handle.when() for handle in self._scheduled if not handle.cancelled()]  # type: ignore[attr-defined]
                following = min(due, default=math.inf)
                if following > end:
                    break
                self.now = max(self.now, following)
                await asyncio.sleep(0)
                await asyncio.sleep(0)
            self.now = end

        self.run_until_complete(idle())


def play(story: Callable[[Loop, Wheel], Any]) -> Any:
    loop = Loop()
    asyncio.set_event_loop(loop)
    try:
        return story(loop, Wheel(GRAIN))
    finally:
        loop.close()
        asyncio.set_event_loop(None)


def later(loop: Loop, wheel: Wheel, delay: float, callback: Callable[[], None]) -> timers.Deadline:
    async def set_it() -> timers.Deadline:
        return wheel.after(delay, callback)

    return loop.run_until_complete(set_it())


def moved(loop: Loop, deadline: timers.Deadline, delay: float) -> timers.Deadline:
    async def move_it() -> timers.Deadline:
        return deadline.moved(delay)

    return loop.run_until_complete(move_it())


@settings(deadline=None)  # of the machine's time; the wheel's is checked below, on the loop's clock
@given(
    st.lists(st.tuples(st.floats(0, 3), st.floats(0, 2), st.booleans()), min_size=1, max_size=30)
)
def test_each_is_met_once_in_order_and_in_time(plan: list[tuple[float, float, bool]]) -> None:
    def story(loop: Loop, wheel: Wheel) -> None:
        met: list[tuple[float, float]] = []
        wanted = 0
        for pause, delay, cancelled in plan:
            loop.run_to(loop.now + pause)
            due = loop.now + delay
            deadline = later(loop, wheel, delay, lambda due=due: met.append((due, loop.now)))
            cancelled = cancelled and deadline.due
            if cancelled:
                deadline.cancel()
                deadline.cancel()
            wanted += not cancelled
        loop.run_to(loop.now + 10)
        assert len(met) == wanted
        assert all(due - GRAIN / 2 - 1e-6 <= at <= due + GRAIN + 1e-6 for due, at in met)
        assert [at for _, at in met] == sorted(at for _, at in met)
        assert (len(wheel), wheel.entries) == (0, 0)

    play(story)


def test_one_timer_for_all() -> None:
    def story(loop: Loop, wheel: Wheel) -> None:
        for number in range(500):
            later(loop, wheel, 1 + number / 100, lambda: None)
        assert sum(not handle.cancelled() for handle in loop._scheduled) == 1  # type: ignore[attr-defined]
        assert len(wheel) == 500

    play(story)


def test_an_earlier_one_comes_earlier() -> None:
    def story(loop: Loop, wheel: Wheel) -> None:
        met: list[str] = []
        later(loop, wheel, 5, lambda: met.append("late"))
        later(loop, wheel, 1, lambda: met.append("early"))
        loop.run_to(loop.now + 2)
        assert met == ["early"]
        loop.run_to(loop.now + 4)
        assert met == ["early", "late"]

    play(story)


def test_a_callback_may_set_another() -> None:
    def story(loop: Loop, wheel: Wheel) -> None:
        met: list[float] = []

        def again() -> None:
            met.append(loop.now)
            if len(met) < 5:
                wheel.after(1.0, again)

        begin = loop.now
        later(loop, wheel, 1.0, again)
        loop.run_to(begin + 10)
        assert [round(at - begin, 1) for at in met] == [1, 2, 3, 4, 5]

    play(story)


def test_a_fault_of_one_is_not_the_others(caplog: pytest.LogCaptureFixture) -> None:
    def story(loop: Loop, wheel: Wheel) -> None:
        met: list[int] = []
        later(loop, wheel, 1, lambda: 1 // 0)  # type: ignore[arg-type, return-value]
        later(loop, wheel, 1, lambda: met.append(1))
        later(loop, wheel, 2, lambda: met.append(2))
        loop.run_to(loop.now + 3)
        assert met == [1, 2]

    play(story)
    assert "a deadline's callback failed" in caplog.text


def test_cancelled_deadlines_do_not_fill_the_memory() -> None:
    def story(loop: Loop, wheel: Wheel) -> None:
        async def many() -> int:
            kept = [wheel.after(60, lambda: None) for _ in range(10)]
            most = 0
            for _ in range(20 * timers.SWEEP):
                wheel.after(25, lambda: None).cancel()
                most = max(most, wheel.entries)
            assert all(deadline.due for deadline in kept)
            return most

        assert loop.run_until_complete(many()) <= 2 * timers.SWEEP
        assert len(wheel) == 10

    play(story)


def test_cancelling_lets_go_of_the_callback() -> None:
    def story(loop: Loop, wheel: Wheel) -> None:
        deadline = later(loop, wheel, 1, lambda: None)
        assert deadline.due
        deadline.cancel()
        assert deadline._callback is None

    play(story)


def test_stopping_forgets_all() -> None:
    def story(loop: Loop, wheel: Wheel) -> None:
        met: list[int] = []
        later(loop, wheel, 1, lambda: met.append(1))
        wheel.stop()
        loop.run_to(loop.now + 3)
        assert met == []
        assert len(wheel) == 0
        later(loop, wheel, 1, lambda: met.append(2))
        loop.run_to(loop.now + 3)
        assert met == [2]

    play(story)


async def test_on_a_real_loop() -> None:
    met: list[float] = []
    loop = asyncio.get_running_loop()
    begin = loop.time()
    wheel = Wheel()
    wheel.after(0.03, lambda: met.append(loop.time()))
    async with asyncio.timeout(10):
        while not met:
            await asyncio.sleep(0.002)
    assert met[0] - begin >= 0.03 - GRAIN / 2


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 2)), min_size=1, max_size=30))
def test_one_that_is_moved_runs_when_it_was_last_moved_to(moves: list[tuple[float, float]]) -> None:
    def story(loop: Loop, wheel: Wheel) -> None:
        met: list[float] = []
        due = loop.now + 1
        deadline = later(loop, wheel, 1, lambda: met.append(loop.now))
        for pause, delay in moves:
            loop.run_to(loop.now + pause)
            if not deadline.due:
                break
            due = loop.now + delay
            deadline = moved(loop, deadline, delay)
        loop.run_to(loop.now + 10)
        assert len(met) == 1
        assert due - GRAIN / 2 - 1e-6 <= met[0] <= due + GRAIN + 1e-6
        assert (len(wheel), wheel.entries) == (0, 0)

    play(story)


def test_putting_off_costs_no_entry() -> None:
    def story(loop: Loop, wheel: Wheel) -> None:
        deadline = later(loop, wheel, 1, lambda: None)
        for _ in range(100):
            assert deadline.moved(2) is deadline
        assert wheel.entries == 1
        sooner = deadline.moved(0.5)
        assert (sooner is deadline, deadline.due, sooner.due, len(wheel)) == (False, False, True, 1)

    play(story)


def test_a_far_one_that_is_set_first_does_not_delay_one_that_was_put_off() -> None:
    def story(loop: Loop, wheel: Wheel) -> None:
        met: list[float] = []
        begin = loop.now
        later(loop, wheel, 1, lambda: wheel.after(100, lambda: None))
        moved(loop, later(loop, wheel, 1, lambda: met.append(loop.now - begin)), 2)
        loop.run_to(begin + 3)
        assert [round(at, 1) for at in met] == [2]

    play(story)


def test_one_that_was_put_off_can_still_be_cancelled() -> None:
    def story(loop: Loop, wheel: Wheel) -> None:
        met: list[str] = []
        deadline = later(loop, wheel, 1, lambda: met.append("never")).moved(3)
        loop.run_to(loop.now + 2)
        deadline.cancel()
        loop.run_to(loop.now + 5)
        assert (met, wheel.entries) == ([], 0)
        with pytest.raises(ValueError, match="has run or was cancelled"):
            deadline.moved(1)

    play(story)
