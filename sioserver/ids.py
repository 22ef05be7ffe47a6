"""Ids that nobody can guess, at a fraction of a system call each.

Asking the system for twelve random bytes takes about a microsecond, and more while other threads
wait for the interpreter (it lets go of its lock meanwhile: 15 us with the embedded store's thread).
A connection needs four ids and a message one, so many are made at once.
"""

from __future__ import annotations

import os
from base64 import urlsafe_b64encode
from typing import Final

CHUNK: Final = 3072
"""Random bytes that are asked for at a time: 4096 characters without padding."""

_pools: dict[int, list[str]] = {}
"""By length; `list.pop` gives an id to one thread only."""


def random_id(length: int) -> str:
    """`length` characters (1 to 64) out of A-Z a-z 0-9 - _, six random bits each."""
    try:
        return _pools[length].pop()
    except (KeyError, IndexError):
        pool = _pools[length] = _made(length)
        return pool.pop()


def _made(length: int) -> list[str]:
    if not 1 <= length <= 64:
        raise ValueError("an id has 1 to 64 characters")
    text = urlsafe_b64encode(os.urandom(CHUNK)).decode()
    return [text[at : at + length] for at in range(0, len(text) - length + 1, length)]


if hasattr(os, "register_at_fork"):
    # a child must not give out what its parent gives out
    os.register_at_fork(after_in_child=_pools.clear)
