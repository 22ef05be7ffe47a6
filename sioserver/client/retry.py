"""Whether to try again, and when.

Pure policy: it must not wait, connect or ask anything; chance is an argument.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Final

from sioserver.errors import Disconnect, Refusal

FIRST_PAUSE: Final = 0.25
LONGEST_PAUSE: Final = 5.0
_DOUBLINGS: Final = 5
"""More would exceed the longest pause anyway, and one day every number."""


def is_final(why: Exception, *, renewable: bool) -> bool:
    """Is there no coming back? `renewable`: a fresh token can be had."""
    if isinstance(why, Refusal | Disconnect) and why.code == "token_expired" and renewable:
        return False
    if isinstance(why, Refusal):
        return not why.temporary
    return isinstance(why, Disconnect) and not why.reconnect


def is_worth_waiting(why: Refusal) -> bool:
    """May the same request be taken in a moment? Who is muted has been told to be quiet, perhaps
    for hours: that is for the application to know."""
    return why.temporary and why.code != "muted"


def pause(
    failures: int, at_least: float | None = None, chance: Callable[[], float] = random.random
) -> float:
    """Seconds until the next try: longer each time, and never in step with other clients."""
    longest = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(failures, _DOUBLINGS))
    return max(longest * (0.5 + chance() / 2), (at_least or 0.0) * (1 + chance() / 10))
