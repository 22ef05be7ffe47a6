"""Work that comes in crowds, done a slice in each turn of the event loop.

Ten thousand connections that end at once are a second of work; done in one go, nobody else is
heard meanwhile. Knows nothing of what the work is.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import Final

log = logging.getLogger(__name__)

SLICE: Final = 0.005
"""Seconds of a turn of the loop."""


class Slices:
    """Does things at once while there is time in this turn, else in order in the next ones.

    What waits is bounded by its makers: one thing for each connection.
    """

    def __init__(self, seconds: float = SLICE) -> None:
        self._seconds = seconds
        self._waiting: deque[Callable[[], None]] = deque()
        self._spent = 0.0
        self._armed = False

    def __len__(self) -> int:
        """How many things wait."""
        return len(self._waiting)

    def run(self, work: Callable[[], None]) -> None:
        """Do it, now or soon. Needs the running loop."""
        if self._waiting or self._spent >= self._seconds:
            self._waiting.append(work)
        else:
            self._do(work, asyncio.get_running_loop())

    def _do(self, work: Callable[[], None], loop: asyncio.AbstractEventLoop) -> None:
        if not self._armed:
            self._armed = True
            loop.call_soon(self._turn)
        began = loop.time()
        try:
            work()
        except Exception:  # the others' ends are dealt with
            log.exception("a connection's end could not be dealt with")  # the others go on
        self._spent += loop.time() - began

    def _turn(self) -> None:
        loop = asyncio.get_running_loop()
        self._armed, self._spent = False, 0.0
        while self._waiting and self._spent < self._seconds:
            self._do(self._waiting.popleft(), loop)
