"""How a node lets go of its connections when it stops: a few at a time, at no even pace.

Knows nothing of what is ended.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable
from typing import Final

SLICE: Final = 0.05
"""Seconds between two groups of connections that are closed."""


async def spread(endings: Iterable[Callable[[], object]], seconds: float) -> None:
    """Call them all, spread over `seconds`, in no order that clients could share, so that they come
    back (here or elsewhere) one after the other."""
    shuffled = list(endings)
    random.shuffle(shuffled)
    slices = max(1, int(seconds / SLICE))
    size = -(-len(shuffled) // slices)
    for start in range(0, len(shuffled), size or 1):
        for end in shuffled[start : start + size]:
            end()
        if start + size < len(shuffled):
            await asyncio.sleep(SLICE * random.uniform(0.5, 1.5))  # noqa: S311
