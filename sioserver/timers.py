"""One timing wheel for every deadline of every connection: pings, timeouts, token expiry.

A deadline costs an entry in a list; the event loop holds one timer whatever the number of
connections. Knows nothing of what the deadlines are for.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
import math
from collections.abc import Callable
from typing import Final

log = logging.getLogger(__name__)


SWEEP: Final = 1000
"""Cancelled deadlines that may stay in the wheel although they are more than the live ones."""


class Deadline:
    """A callback that runs once, unless it is cancelled before."""

    __slots__ = ("_callback", "_entered", "_wheel", "slot")

    def __init__(self, wheel: Wheel, callback: Callable[[], object], slot: int) -> None:
        self._wheel = wheel
        self._callback: Callable[[], object] | None = callback
        # when it is due, and where the wheel holds it: no later than that
        self.slot = self._entered = slot

    @property
    def due(self) -> bool:
        """Is it still to run?"""
        return self._callback is not None

    def moved(self, delay: float) -> Deadline:
        """The same callback, but in `delay` seconds from now; use what is returned from now on.

        Putting it off is free, again and again: the wheel finds that it is not due yet when it
        comes to it. Only for an earlier time another one takes its place. Raises ValueError when it
        has run or was cancelled.
        """
        callback = self._callback
        if callback is None:
            raise ValueError("the deadline has run or was cancelled")
        slot = self._wheel.slot_in(delay)
        if slot >= self._entered:
            self.slot = slot
            return self
        self.cancel()
        return self._wheel.after(delay, callback)

    def enter(self) -> int:
        """The wheel puts it where it is due; that slot."""
        self._entered = self.slot
        return self.slot

    def cancel(self) -> None:
        """Let go of the callback at once; the empty entry goes when its time comes, or earlier."""
        if self._callback is not None:
            self._callback = None
            self._wheel.cancelled()

    def run(self) -> None:
        """Run the callback, unless it was cancelled or has run."""
        callback, self._callback = self._callback, None
        if callback is not None:
            callback()


class Wheel:
    """Deadlines in slots of `grain` seconds; one is met up to a grain late, never early."""

    def __init__(self, grain: float = 0.01) -> None:
        self._grain = grain
        self._slots: dict[int, list[Deadline]] = {}
        self._order: list[int] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_slot = 0
        self._entries = 0
        self._cancelled = 0

    def __len__(self) -> int:
        """How many deadlines are still to come."""
        return sum(deadline.due for slot in self._slots.values() for deadline in slot)

    @property
    def entries(self) -> int:
        """Deadlines that are kept, those among them that were cancelled."""
        return self._entries

    def after(self, delay: float, callback: Callable[[], object]) -> Deadline:
        """Call `callback()` in `delay` seconds. Needs the running loop."""
        deadline = Deadline(self, callback, self.slot_in(delay))
        self._enter(deadline)
        if self._timer is None or self._order[0] < self._timer_slot:
            self._arm()
        return deadline

    def slot_in(self, delay: float) -> int:
        """The slot that is due in `delay` seconds."""
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        return math.ceil((self._loop.time() + delay) / self._grain)

    def _enter(self, deadline: Deadline) -> None:
        slot = deadline.enter()
        self._entries += 1
        entries = self._slots.get(slot)
        if entries is None:
            self._slots[slot] = [deadline]
            heapq.heappush(self._order, slot)
        else:
            entries.append(deadline)

    def cancelled(self) -> None:
        """A deadline has been cancelled: sweep when most of the wheel is such leftovers.

        A client that makes the server set and cancel deadlines at will must not fill the memory.
        """
        self._cancelled += 1
        if self._cancelled > SWEEP and self._cancelled * 2 > self._entries:
            for deadlines in self._slots.values():
                deadlines[:] = [deadline for deadline in deadlines if deadline.due]
            self._entries = sum(map(len, self._slots.values()))
            self._cancelled = 0

    def stop(self) -> None:
        """Forget every deadline."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._loop = None
        self._slots.clear()
        self._order.clear()
        self._entries = self._cancelled = 0

    def _arm(self) -> None:
        assert self._loop is not None
        if self._timer is not None:
            self._timer.cancel()
        self._timer_slot = self._order[0]
        self._timer = self._loop.call_at(self._timer_slot * self._grain, self._turn)

    def _turn(self) -> None:
        assert self._loop is not None
        self._timer = None
        # half a grain of tolerance: a loop's clock may fire a hair early
        now = (self._loop.time() + self._grain / 2) / self._grain
        while self._order and self._order[0] <= now:
            slot = heapq.heappop(self._order)
            deadlines = self._slots.pop(slot)
            self._entries -= len(deadlines)
            self._cancelled -= sum(not deadline.due for deadline in deadlines)
            for deadline in deadlines:
                if deadline.slot > slot:
                    if deadline.due:
                        self._enter(deadline)  # it was put off
                    continue
                try:
                    deadline.run()
                except Exception:
                    # one connection's fault must not cost the others their deadlines
                    log.exception("a deadline's callback failed")
        # a callback may have set it, before something else was put off to an earlier time
        if self._order and (self._timer is None or self._order[0] < self._timer_slot):
            self._arm()
