"""What has to be the same after an attack as before it, and what may have changed by how much.

Pure: two looks at a server and what the attackers saw; out come the promises that were broken.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

BROKE: Final = ("parse_error",)
"""Codes of the disconnects that are the server's answer to an input."""

REJECTED: Final = ("refusals", "request_refusals")
"""The counters of answers that say no, whatever their labels."""

OVER: Final = frozenset({"over", "parse_error"})
"""Why a refusal may be told to nobody (served.py): when it was made the session was over, or the
client broke the protocol before it asked for it."""

LINE: Final = re.compile(r"^\S+ (ERROR|CRITICAL) ")

MEMORY: Final = 24 * 2**20
"""Bytes that the server may have grown by, after its warm-up: allocators keep some."""


@dataclass(frozen=True)
class Look:
    """The server at a moment, at rest."""

    kept: Mapping[str, int]
    """How many there are of what belongs to clients: sessions, tasks, file descriptors ..."""
    memory: int
    counted: Mapping[str, Mapping[str, float]]
    """Counters by name and label."""


def look(told: Mapping[str, Any]) -> Look:
    """Read what the server under test tells of itself (served.py)."""
    return Look(told["kept"], told["memory"], told["counted"])


@dataclass
class Seen:
    """What the attackers saw together."""

    rejected: int = 0
    """Answers that say no: HTTP statuses from 400, refusals, connections closed for a fault."""
    examples: list[str] = field(default_factory=list)


def rejections(before: Look, after: Look) -> dict[str, int]:
    """What the server has counted between the two, by counter and label."""
    return {
        f"{name} {label}": grown
        for name in (*REJECTED, "disconnects")
        for label, grown in _grown(before, after, name).items()
        if name in REJECTED or label in BROKE
    }


def _grown(before: Look, after: Look, name: str) -> dict[str, int]:
    """What a counter has grown by, by label; without those that are the same."""
    earlier = before.counted[name]
    grown = {label: int(n - earlier.get(label, 0)) for label, n in after.counted[name].items()}
    return {label: number for label, number in grown.items() if number}


def broken(before: Look, after: Look, seen: Seen, log: Iterable[str]) -> list[str]:
    """The promises that were broken between two looks; `log`: the lines written meanwhile."""
    found = []
    for name, number in after.kept.items():
        if number > before.kept.get(name, 0):
            found.append(f"{name}: {number}, there were {before.kept.get(name, 0)}")
    grown = after.memory - before.memory
    if grown > MEMORY:
        found.append(f"memory: {grown / 2**20:.1f} MiB more")
    counted, untold = rejections(before, after), _grown(before, after, "untold")
    over = sum(number for why, number in untold.items() if why in OVER)
    if sum(counted.values()) != seen.rejected + over:
        what = f"{seen.rejected} inputs were rejected, but counted were {counted}; untold: {untold}"
        found.append("\n    ".join([what, *seen.examples]))
    for why in untold.keys() - OVER:
        found.append(f"{untold[why]} refusals were never told ({why})")
    found += [f"log: {line}" for line in log if "Traceback" in line or LINE.match(line)]
    return found
