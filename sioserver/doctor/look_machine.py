"""Gathers the facts of `machine`: limits of the system, installed libraries, files and disks.

It judges nothing, changes nothing, and reads no file's content but the certificate's.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import re
import shutil
import stat
import sys
import time
from pathlib import Path

from sioserver import memory, tls
from sioserver.config import Config
from sioserver.doctor.machine import Machine, Store
from sioserver.engine import store_path
from sioserver.engine.embedded_file import has_trigrams
from sioserver.startup import CannotStart, check_parser, valkey_beside

_FLOOR = re.compile(r"([A-Za-z0-9._-]+)(?:\[[^\]]*\])?\s*([^;]*)(;.*)?")


def look(config: Config, *, pid: int = 0) -> Machine:
    """All facts. `pid`: the server's process, whose limits are asked for instead of our own."""
    outdated, unknown = libraries()
    certificate, error, days = _certificate(config)
    return Machine(
        files=open_files(pid),
        somaxconn=_number(Path("/proc/sys/net/core/somaxconn")),
        cores=cores(),
        memory=memory.available(),
        uvloop=importlib.util.find_spec("uvloop") is not None,
        c_parser=_c_parser(),
        trigrams=has_trigrams(),
        outdated=tuple(outdated),
        unknown_floors=unknown,
        certificate=certificate,
        certificate_error=error,
        certificate_days=days,
        store=_store(config),
    )


def open_files(pid: int = 0) -> int | None:
    """How many files a process may have open, at the most; None: it is not told."""
    if pid:
        try:
            text = Path(f"/proc/{pid}/limits").read_text()
        except OSError:
            return None
        found = re.search(r"^Max open files\s+\d+\s+(\d+|unlimited)", text, re.MULTILINE)
        if found is None:
            return None
        return sys.maxsize if found[1] == "unlimited" else int(found[1])
    try:
        import resource
    except ImportError:  # Windows
        return None
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return sys.maxsize if hard == resource.RLIM_INFINITY else hard


def cores() -> int:
    """Those that this process may use; in a container no more than its quota."""
    try:
        count = len(os.sched_getaffinity(0))
    except AttributeError:  # not Linux
        count = os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return count if quota == "max" else max(1, min(count, round(int(quota) / int(period))))
    except (OSError, ValueError):
        return count


def libraries() -> tuple[list[str], str]:
    """What is installed below the floors of our own metadata, in words, and why that is not known
    (or nothing)."""
    try:
        floors = importlib.metadata.requires("sioserver") or []
    except importlib.metadata.PackageNotFoundError:
        return [], "sioserver is not installed as a package, so the floors are not known"
    found = []
    for line in floors:
        parts = _FLOOR.fullmatch(line.strip())
        if parts is None or "extra ==" in (parts[3] or ""):
            continue
        least = re.search(r">=\s*([0-9.]+)", parts[2])
        try:
            version = importlib.metadata.version(parts[1])
        except importlib.metadata.PackageNotFoundError:
            continue  # of another platform, else the server would not start
        if least is not None and numbers(version) < numbers(least[1]):
            found.append(f"{parts[1]} {version} is installed, at least {least[1]} is needed")
    return found, ""


def numbers(version: str) -> tuple[int, ...]:
    """A version as it is compared: its numbers, without zeros at the end."""
    parts = [int(part) for part in re.findall(r"\d+", version.split("+")[0])[:4]]
    while parts and not parts[-1]:
        parts.pop()
    return tuple(parts)


def _c_parser() -> str:
    try:
        check_parser(os.environ)
    except CannotStart as error:
        return str(error)
    return ""


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None


def _certificate(config: Config) -> tuple[tuple[str, ...] | None, str, float]:
    if not config.tls.cert:
        return None, "", 0.0
    try:
        certificate = tls.read(config.tls)
    except tls.Unusable as error:
        return (), str(error), 0.0
    now = time.time()
    return tuple(certificate.warnings(now)), "", (certificate.expires_at - now) / 86400


def _store(config: Config) -> Store | None:
    path = store_path(config.store.path)
    if config.redis.url or not isinstance(path, Path):
        return None
    if config.server.workers > 1:
        path = valkey_beside(path)
    parent = path.parent
    while not parent.exists() and parent != parent.parent:
        parent = parent.parent
    try:
        found = path.stat()
    except OSError:
        found = None
    return Store(
        path=str(path),
        exists=found is not None,
        mode=stat.S_IMODE(found.st_mode) if found is not None else 0,
        directory_mode=stat.S_IMODE(parent.stat().st_mode),
        foreign=found is not None and hasattr(os, "getuid") and found.st_uid != os.getuid(),
        free=shutil.disk_usage(parent).free,
    )
