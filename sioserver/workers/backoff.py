"""How long to wait before something that ended is started again. Pure: time is an argument."""

from __future__ import annotations

from typing import Final

SHORTEST: Final = 0.1
LONGEST: Final = 10.0
SETTLED: Final = 30.0
"""Seconds after which an end is no sign that the next one is near."""


class Backoff:
    """The pauses of one thing: longer and longer while it ends at once."""

    def __init__(self) -> None:
        self._pause = 0.0

    def after(self, ran: float) -> float:
        """The pause, in seconds, when it has ended after so many."""
        if ran >= SETTLED:
            self._pause = 0.0
        else:
            self._pause = min(max(self._pause * 2, SHORTEST), LONGEST)
        return self._pause
