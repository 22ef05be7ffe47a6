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
    unheard: int = 0
    """Refusals that they could not be told any more, at the most."""
    examples: list[str] = field(default_factory=list)


def rejections(before: Look, after: Look) -> dict[str, int]:
    """What the server has counted between the two, by counter and label."""
    found = {}
    for name in (*REJECTED, "disconnects"):
        for label, value in after.counted[name].items():
            grown = int(value - before.counted[name].get(label, 0))
            if grown and (name in REJECTED or label in BROKE):
                found[f"{name} {label}"] = grown
    return found


def broken(before: Look, after: Look, seen: Seen, log: Iterable[str]) -> list[str]:
    """The promises that were broken between two looks; `log`: the lines written meanwhile."""
    found = []
    for name, number in after.kept.items():
        if number > before.kept.get(name, 0):
            found.append(f"{name}: {number}, there were {before.kept.get(name, 0)}")
    grown = after.memory - before.memory
    if grown > MEMORY:
        found.append(f"memory: {grown / 2**20:.1f} MiB more")
    counted = rejections(before, after)
    if not 0 <= sum(counted.values()) - seen.rejected <= seen.unheard:
        what = f"{seen.rejected} inputs were rejected, but counted were {counted}"
        found.append("\n    ".join([what, *seen.examples[:40]]))
    found += [f"log: {line}" for line in log if "Traceback" in line or LINE.match(line)]
    return found
