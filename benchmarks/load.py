"""The load generator: compiles load.c when it is needed, runs it and reads what it found.

It knows clients, rooms and messages, but not which server it talks to.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parent.parent
SOURCE: Final = Path(__file__).with_name("load.c")
FLAGS: Final = ("-O2", "-std=gnu11", "-Wall", "-Wextra")


class Failed(Exception):
    """The load cannot be made, or could not be put on the server; the text says what to do."""


@dataclass(frozen=True)
class Work:
    """Who is there and who posts. Half of a room's members are on each port."""

    rooms: int = 1
    members: int = 10
    senders: int = 1
    """Members of each room that post."""
    window: int = 1
    """Unacknowledged messages of a sender."""
    size: int = 200
    """Bytes of a body."""
    rate: float = 0.0
    """Messages a second, all together; 0: the next one when one is acknowledged."""

    @property
    def in_flight(self) -> int:
        """Messages that are posted and not yet acknowledged, at most."""
        return self.rooms * self.senders * self.window


def generator() -> Path:
    """The compiled load.c, in .cache; raises Failed when there is no compiler."""
    name = f"load-{zlib.crc32(SOURCE.read_bytes() + repr(FLAGS).encode()):08x}"
    path = ROOT / ".cache" / name
    if not path.is_file():
        path.parent.mkdir(exist_ok=True)
        own = path.with_name(f"{name}.{os.getpid()}")  # two processes may compile at once
        compile_to(own)
        own.replace(path)
    return path


def compile_to(path: Path, *flags: str) -> None:
    """Compile load.c to that file, with these flags besides."""
    compiler = shutil.which(os.environ.get("CC", "cc"))
    if compiler is None:
        raise Failed(
            "the load generator needs a C compiler; type: sudo apt-get install gcc libc6-dev, "
            "or set CC=/path/to/cc"
        )
    done = subprocess.run(
        [compiler, *FLAGS, *flags, "-o", path, SOURCE], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise Failed(f"{SOURCE.name} does not compile:\n{done.stderr}")


def run(
    work: Work,
    ports: Sequence[int],
    *,
    namespace: str,
    auth: str,
    pids: Mapping[str, Sequence[int]],
    warmup: float = 1.0,
    seconds: float = 3.0,
    messages: int = 0,
    patience: float = 10.0,
) -> dict[str, Any]:
    """Put the load on a server and return what load.c prints, see README.md.

    With `messages` each sender posts so many, all of it measured; else for `seconds` after
    `warmup`. It ends when everybody has everything, or when nothing has come for `patience`
    seconds. In `namespace` and `auth`, %r is the room's number and %i the client's. `pids` are the
    processes whose CPU time is wanted, by group. Raises Failed when not everybody could join.
    """
    command: list[object] = [generator()]
    for port in ports:
        command += ["--port", port]
    for name in ("rooms", "members", "senders", "window", "size", "rate"):
        command += [f"--{name}", getattr(work, name)]
    command += ["--namespace", namespace, "--auth", auth]
    command += ["--warmup", warmup, "--seconds", seconds, "--messages", messages]
    command += ["--patience", patience]
    for group, numbers in pids.items():
        for number in numbers:
            command += ["--pid", f"{group}={number}"]
    done = subprocess.run(map(str, command), capture_output=True, text=True, check=False)
    if done.returncode:
        raise Failed(done.stderr.strip() or f"the load ended with code {done.returncode}")
    result: dict[str, Any] = json.loads(done.stdout)
    result["remarks"] = done.stderr.splitlines()
    return result
