"""How much memory this process has, and how much it may have, as the system tells.

Reads a few small files of Linux; elsewhere nothing is known, and then there is no limit. What
follows from the numbers is decided elsewhere (admission.py).
"""

from __future__ import annotations

import os
from pathlib import Path

_ROOT = Path("/")
_PAGE = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096


def used(root: Path = _ROOT) -> int:
    """Bytes of this process that are in memory (RSS); 0: nobody knows."""
    try:
        return int((root / "proc/self/statm").read_text().split()[1]) * _PAGE
    except (OSError, ValueError, IndexError):
        return 0


def most(limit: float, processes: int, root: Path = _ROOT) -> int:
    """What `limits.memory` means in bytes, for one of so many processes; 0: no limit.

    Up to 1 it is a share of what the machine or the control group (a container, a service) has,
    whichever is less; above it is a number of bytes.
    """
    if limit > 1:
        return int(limit)
    return int(limit * available(root) / max(1, processes))


def available(root: Path = _ROOT) -> int:
    """Bytes that all processes of this control group may have together; 0: nobody knows."""
    found = [*_machine(root), *_groups(root)]
    return min(found, default=0)


def _machine(root: Path) -> list[int]:
    try:
        lines = (root / "proc/meminfo").read_text().splitlines()
        return [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemTotal:")]
    except (OSError, ValueError, IndexError):
        return []


def _groups(root: Path) -> list[int]:
    """The limits of the control group and of those around it, of either version."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return []
    found = []
    for line in lines:
        _, controllers, path = (*line.split(":", 2), "", "")[:3]
        if controllers == "":
            where, name = root / "sys/fs/cgroup", "memory.max"
        elif "memory" in controllers.split(","):
            where, name = root / "sys/fs/cgroup/memory", "memory.limit_in_bytes"
        else:
            continue
        group = Path(path.strip("/"))
        # in a container the path may be the host's: what is not there is passed over
        for place in (group, *group.parents):
            found += _number(where / place / name)
    return found


def _number(path: Path) -> list[int]:
    try:
        return [int(path.read_text())]
    except (OSError, ValueError):  # not there, or "max"
        return []
