"""The servers that are measured: started on given cores with whatever they need, and ended.

All are reached over loopback; what is put on them is for `load`.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from benchmarks.load import ROOT, Dialect, Failed
from sioserver.valkey import Valkey

PEERS: Final = Path(__file__).with_name("peers")
READY: Final = re.compile(r"serves https?://[^ ]+:(\d+)")
READY_WITHIN: Final = 30.0
POLL: Final = 0.02


@dataclass(frozen=True)
class Kind:
    """A server program and how it is spoken to.

    In the words of its command `{redis}` is the Valkey's URL, `{cert}` and `{key}` are files,
    `{folder}` is its own, `{workers}` a number. `alone`, `redis`, `tls` and `workers` are the words
    that it is given in such a setting.
    """

    command: tuple[str, ...]
    dialect: Dialect
    echo: Dialect
    """For acked echoes."""
    alone: tuple[str, ...] = ()
    redis: tuple[str, ...] = ("--redis", "{redis}")
    tls: tuple[str, ...] = ("--cert", "{cert}", "--key", "{key}")
    workers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Setting:
    """How a server is deployed."""

    processes: int = 1
    """As many commands, each with a port of its own."""
    workers: int = 1
    """As many processes behind one port, which the command itself starts. They are not pinned."""
    redis: bool = False
    """The processes share a Valkey."""
    tls: bool = False


# The rates are far above what is sent, so that every message is checked and none refused.
SIOSERVER: Final = (
    *(sys.executable, "-m", "sioserver", "serve", "--port", "0", "--set", "log.level=warning"),
    *("--set", "limits.message_rate=1e9", "--set", "limits.message_burst=1000000000"),
    *("--set", "limits.event_rate=1e9", "--set", "limits.event_burst=1000000000"),
    *("--set", "limits.accept_rate=1e9", "--set", "limits.accept_burst=1000000000"),
)
ROOM_IS_NAMESPACE: Final = Dialect("/room%r", '{"user":"user%i"}', ids=True)
ROOM_IN_AUTH: Final = Dialect("/", '{"user":"user%i","room":"room%r"}')
ECHO: Final = replace(ROOM_IN_AUTH, event="echo", echo=True)

KINDS: Final = {
    "sioserver": Kind(
        SIOSERVER,
        ROOM_IS_NAMESPACE,
        ROOM_IS_NAMESPACE,  # no echo: a message into a room of one's own
        alone=("--store", "{folder}/store.db"),
        redis=("--set", "redis.url={redis}"),
        tls=("--set", "tls.cert={cert}", "--set", "tls.key={key}"),
        workers=("--store", "{folder}/store.db", "--workers", "{workers}"),
    ),
    "bare": Kind((sys.executable, str(PEERS / "bare.py")), ROOM_IN_AUTH, ECHO),
    "node": Kind(("{node}", str(PEERS / "node.mjs")), ROOM_IN_AUTH, ECHO),
    "stock": Kind((sys.executable, str(PEERS / "stock.py")), ROOM_IN_AUTH, ECHO),
}


@dataclass
class Running:
    """A server, serving."""

    ports: list[int] = field(default_factory=list)
    pids: dict[str, list[int]] = field(default_factory=dict)
    """Process numbers, as `server` and `redis`."""


@contextlib.contextmanager
def running(name: str, setting: Setting, *, servers: set[int], rest: set[int]) -> Iterator[Running]:
    """Start a server on the cores `servers`, and what it needs on `rest`; end them."""
    kind, result = KINDS[name], Running()
    words = {"workers": str(setting.workers), "node": find_node() if name == "node" else ""}
    command = [*kind.command]
    with tempfile.TemporaryDirectory() as text, contextlib.ExitStack() as stack:
        folder = Path(text)
        words["folder"] = text
        if setting.redis:
            valkey = Valkey(folder / "valkey", port=free_port(), fsync="everysec")
            with on_cores(rest):
                stack.enter_context(valkey)
            words["redis"] = valkey.tcp_url
            result.pids["redis"] = [valkey.pid]
            command += kind.redis
        else:
            command += kind.workers if setting.workers > 1 else kind.alone
        if setting.tls:
            words |= certificate(folder)
            command += kind.tls
        command = [part.format(**words) for part in command]
        with on_cores(set() if setting.workers > 1 else servers):
            logs = [folder / f"process{number}.log" for number in range(setting.processes)]
            processes = [stack.enter_context(_process(command, log)) for log in logs]
        result.ports = [_port(*pair) for pair in zip(processes, logs, strict=True)]
        result.pids |= _pids([process.pid for process in processes], setting)
        yield result


def certificate(folder: Path) -> dict[str, str]:
    """A new certificate of 127.0.0.1 (EC P-256, as Let's Encrypt gives by default): its files."""
    import trustme

    issued = trustme.CA().issue_cert("127.0.0.1")
    files = {"cert": folder / "cert.pem", "key": folder / "key.pem"}
    issued.cert_chain_pems[0].write_to_path(files["cert"])
    issued.private_key_pem.write_to_path(files["key"])
    return {name: str(path) for name, path in files.items()}


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


def most_files() -> int:
    """Files, and so connections, that one process may have open here."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[1]


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


def _prepare() -> None:
    _LIBC.prctl(1, signal.SIGKILL)  # it dies with its parent
    # Node raises it by itself
    resource.setrlimit(resource.RLIMIT_NOFILE, (most_files(), most_files()))


@contextlib.contextmanager
def _process(command: Sequence[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    # settings of this machine are none of the benchmark's
    clean = {name: os.environ[name] for name in os.environ if not name.startswith("SIOSERVER_")}
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=clean | {"PYTHONUNBUFFERED": "1", "NODE_ENV": "production", "PYTHONPATH": path},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            preexec_fn=_prepare,
        )
    try:
        yield process
    finally:
        if len(_children(process.pid)) > 0:
            process.terminate()  # a supervisor ends its workers and their Valkey
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(READY_WITHIN)
        process.kill()
        process.wait()


def _children(pid: int) -> list[int]:
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return []


def _pids(processes: list[int], setting: Setting) -> dict[str, list[int]]:
    if setting.workers == 1:
        return {"server": processes}
    children = [child for process in processes for child in _children(process)]
    stores = [pid for pid in children if "valkey" in Path(f"/proc/{pid}/comm").read_text()]
    found = {"server": [pid for pid in children if pid not in stores]}
    return found | ({"redis": stores} if stores else {})


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
