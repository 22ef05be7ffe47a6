"""What the system says of memory: of this machine, and of machines that are written down."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from sioserver import memory


def machine(root: Path, **files: str) -> Path:
    """A file system with these files; `__` stands for a slash, `_` for a dot."""
    for name, text in files.items():
        path = root / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


MEMINFO = "MemTotal:        1000 kB\nMemFree:          10 kB\n"
V2 = "sys__fs__cgroup__"


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nobody knows")
def test_of_this_machine() -> None:
    assert 1_000_000 < memory.used() < memory.available()
    held = bytearray(50_000_000)
    held[::4096] = b"x" * len(held[::4096])
    before = memory.used()
    del held
    assert memory.used() < before - 40_000_000


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, 0),
        ({"proc__meminfo": MEMINFO}, 1_024_000),
        ({"proc__meminfo": "nonsense"}, 0),
        ({"proc__meminfo": "MemTotal:\n"}, 0),
        (
            {"proc__meminfo": MEMINFO, "proc__self__cgroup": "0::/a/b\n", V2 + "memory_max": "7"},
            7,
        ),
        (
            {
                "proc__meminfo": MEMINFO,
                "proc__self__cgroup": "0::/a/b\n",
                V2 + "a__b__memory_max": "max\n",
                V2 + "a__memory_max": "900000\n",
            },
            900_000,
        ),
        (
            {
                "proc__meminfo": MEMINFO,
                "proc__self__cgroup": "0::/\n",
                V2 + "memory_max": "99999999999\n",
            },
            1_024_000,
        ),
        ({"proc__self__cgroup": "nonsense\n\n", "proc__meminfo": MEMINFO}, 1_024_000),
    ],
)
def test_what_all_processes_may_have(tmp_path: Path, files: dict[str, str], expected: int) -> None:
    assert memory.available(machine(tmp_path, **files)) == expected


def test_control_groups_of_version_1(tmp_path: Path) -> None:
    root = machine(tmp_path, proc__self__cgroup="5:cpu:/y\n4:hugetlb,memory:/x\n0::/\n")
    limit = root / "sys/fs/cgroup/memory/x/memory.limit_in_bytes"
    limit.parent.mkdir(parents=True)
    limit.write_text("5000\n")
    assert memory.available(root) == 5000


@pytest.mark.parametrize(
    ("limit", "processes", "expected"),
    [(0.0, 1, 0), (0.5, 1, 512_000), (0.5, 4, 128_000), (1.0, 0, 1_024_000), (5e9, 4, 5 * 10**9)],
)
def test_the_setting(tmp_path: Path, limit: float, processes: int, expected: int) -> None:
    assert memory.most(limit, processes, machine(tmp_path, proc__meminfo=MEMINFO)) == expected


def test_where_nobody_knows(tmp_path: Path) -> None:
    assert memory.used(tmp_path) == memory.most(0.9, 1, tmp_path) == 0
    assert memory.used(machine(tmp_path, proc__self__statm="nonsense")) == 0
    assert memory.used(machine(tmp_path, proc__self__statm="9 2 1")) == 2 * memory._PAGE
