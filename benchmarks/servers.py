"""The servers that are measured: started on given cores with a Valkey of their own, and ended.

All are reached over loopback and told where the Valkey is; what is put on them is for `load`.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from benchmarks.load import ROOT, Failed
from sioserver.valkey import Valkey

PEERS: Final = Path(__file__).with_name("peers")
READY: Final = re.compile(r"serves http://[^ ]+:(\d+)")
READY_WITHIN: Final = 30.0
POLL: Final = 0.02


@dataclass(frozen=True)
class Kind:
    """A server program; `{redis}` in its command is the Valkey's URL, `{folder}` its own."""

    command: tuple[str, ...]
    namespace: str
    auth: str
    workers: int = 2
    redis: bool = True


SIOSERVER: Final = (
    *(sys.executable, "-m", "sioserver", "serve", "--port", "0", "--set", "limits.enabled=false"),
    *("--set", "log.level=warning"),
)
ROOM_IN_AUTH: Final = {"namespace": "/", "auth": '{"user":"user%i","room":"room%r"}'}
ROOM_IS_NAMESPACE: Final = {"namespace": "/room%r", "auth": '{"user":"user%i"}'}

KINDS: Final = {
    "sioserver": Kind((*SIOSERVER, "--set", "redis.url={redis}"), **ROOM_IS_NAMESPACE),
    "node": Kind(("{node}", str(PEERS / "node.mjs"), "{redis}"), **ROOM_IN_AUTH),
    "stock": Kind((sys.executable, str(PEERS / "stock.py"), "{redis}"), **ROOM_IN_AUTH),
    "embedded": Kind(
        (*SIOSERVER, "--store", "{folder}/store.db"), workers=1, redis=False, **ROOM_IS_NAMESPACE
    ),
}


@dataclass
class Running:
    """The workers of a kind, serving."""

    kind: Kind
    ports: list[int] = field(default_factory=list)
    pids: dict[str, list[int]] = field(default_factory=dict)
    """Process numbers, as `server` and `redis`."""


@contextlib.contextmanager
def running(name: str, *, servers: set[int], rest: set[int]) -> Iterator[Running]:
    """Start the workers of a kind on the cores `servers` and their Valkey on `rest`; end them."""
    kind = KINDS[name]
    node = find_node() if name == "node" else ""
    with tempfile.TemporaryDirectory() as text, contextlib.ExitStack() as stack:
        folder = Path(text)
        result = Running(kind)
        redis = ""
        if kind.redis:
            valkey = Valkey(folder / "valkey", port=free_port(), fsync="everysec")
            with on_cores(rest):
                stack.enter_context(valkey)
            redis = valkey.tcp_url
            result.pids["redis"] = [valkey.pid]
        command = [part.format(redis=redis, folder=folder, node=node) for part in kind.command]
        with on_cores(servers):
            logs = [folder / f"worker{number}.log" for number in range(kind.workers)]
            workers = [stack.enter_context(_process(command, log)) for log in logs]
        result.ports = [_port(*pair) for pair in zip(workers, logs, strict=True)]
        result.pids["server"] = [worker.pid for worker in workers]
        yield result


@contextlib.contextmanager
def on_cores(cores: set[int]) -> Iterator[None]:
    """What is started within, with all its threads, runs on these cores only."""
    if not cores:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def free_port() -> int:
    """A TCP port of the loopback address that nobody uses at the moment."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def find_node() -> str:
    """Node.js, with what peers/package-lock.json names beside node.mjs; raises Failed."""
    found = subprocess.run(
        [ROOT / "scripts" / "find-node"], capture_output=True, text=True, cwd=ROOT, check=False
    )
    if found.returncode:
        raise Failed("Node.js 20.19 or newer with npm is needed for the peer; type: make node")
    node = found.stdout.strip()
    lock, installed = PEERS / "package-lock.json", PEERS / "node_modules" / ".package-lock.json"
    if not installed.is_file() or installed.stat().st_mtime < lock.stat().st_mtime:
        path = f"{Path(node).parent}{os.pathsep}{os.environ['PATH']}"
        command = ["npm", "ci", "--no-audit", "--no-fund", "--loglevel", "error"]
        done = subprocess.run(command, cwd=PEERS, env={**os.environ, "PATH": path}, check=False)
        if done.returncode:
            raise Failed(f"npm ci in {PEERS.relative_to(ROOT)} failed")
    return node


_LIBC: Final = ctypes.CDLL(None)


def _die_with_parent() -> None:
    _LIBC.prctl(1, signal.SIGKILL)


@contextlib.contextmanager
def _process(command: Sequence[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    # settings of this machine are none of the benchmark's
    clean = {name: os.environ[name] for name in os.environ if not name.startswith("SIOSERVER_")}
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=clean | {"PYTHONUNBUFFERED": "1", "NODE_ENV": "production"},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            preexec_fn=_die_with_parent,
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def _port(process: subprocess.Popen[bytes], log: Path) -> int:
    until = time.monotonic() + READY_WITHIN
    while time.monotonic() < until:
        output = log.read_text(errors="replace")
        if found := READY.search(output):
            return int(found[1])
        if process.poll() is not None:
            raise Failed(f"a server ended with code {process.returncode}:\n{output}")
        time.sleep(POLL)
    raise Failed(f"a server was not ready within {READY_WITHIN:.0f} s:\n{output}")
