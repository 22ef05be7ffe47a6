"""The load generator: compiles generator/*.c when it is needed, runs it and reads what it found.

It knows clients, rooms and messages, but not which server it talks to.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parent.parent
SOURCES: Final = Path(__file__).with_name("generator")
FLAGS: Final = ("-O2", "-std=gnu11", "-Wall", "-Wextra")
WITH_TLS: Final = ("-DWITH_TLS",)
TLS_LIBRARIES: Final = ("-lssl", "-lcrypto")


class Failed(Exception):
    """The load cannot be made, or could not be put on the server; the text says what to do."""


@dataclass(frozen=True)
class Load:
    """Who is there and who posts. Half of a room's members are on each port, if there are two."""

    rooms: int = 1
    members: int = 0
    """Of each room; 0: nobody talks, there is only the crowd."""
    senders: int = 1
    """Members of each room that post."""
    stalled: int = 0
    """Members of each room that stop reading when everybody is there."""
    window: int = 1
    """Messages of a sender that are under way: not acknowledged, or not with everybody."""
    size: int = 200
    """Bytes of a body."""
    rate: float = 0.0
    """Messages a second, all together; 0: as fast as the windows allow."""
    polling: bool = False
    """The members use HTTP long-polling."""
    crowd: int = 0
    """Clients that only are there, besides the members."""
    crowd_rooms: int = 100
    """Each thousand of the crowd comes into so many rooms of its own, in turns."""
    checkpoint: tuple[int, ...] = ()
    """CPU time and memory are noted when so many of the crowd are there."""
    settle: float = 1.0
    """Seconds from the last one's coming until its memory is noted."""
    leave: bool = False
    """At the end all of the crowd leave at once."""
    first_client: int = 0
    """Numbers of clients and rooms begin here: for several loads on one server."""
    first_room: int = 0
    echo: bool = False
    """Acked echoes, where the server knows such a thing: `Kind.echo` says how."""

    def options(self) -> Iterator[str]:
        """The words for the generator."""
        for name in (field.name for field in fields(self) if field.name != "echo"):
            value, option = getattr(self, name), f"--{name.replace('_', '-')}"
            if value is True:
                yield option
            elif isinstance(value, tuple):
                for one in value:
                    yield from (option, str(one))
            elif value is not False:
                yield from (option, str(value))


@dataclass(frozen=True)
class Dialect:
    """How a chat is spoken to. %r is a room's number and %i a client's."""

    namespace: str = "/"
    auth: str = ""
    event: str = "message"
    ids: bool = False
    """Messages have an id, by which they can be told from their repetitions."""
    echo: bool = False
    """The event comes back in its ack, and goes to nobody."""
    tls: bool = False

    def options(self) -> Iterator[str]:
        """The words for the generator."""
        yield from ("--namespace", self.namespace, "--auth", self.auth, "--event", self.event)
        yield from (f"--{name}" for name in ("ids", "echo", "tls") if getattr(self, name))


def generator(*, tls: bool = False) -> Path:
    """The compiled generator, in .cache; raises Failed when it cannot be compiled.

    Only where TLS is wanted it needs OpenSSL's headers.
    """
    flags = (*FLAGS, *(WITH_TLS if tls else ()))
    content = b"".join(path.read_bytes() for path in sorted(SOURCES.glob("*.[ch]")))
    name = f"load-{zlib.crc32(content + repr(flags).encode()):08x}"
    path = ROOT / ".cache" / name
    if not path.is_file():
        path.parent.mkdir(exist_ok=True)
        own = path.with_name(f"{name}.{os.getpid()}")  # two processes may compile at once
        compile_to(own, tls=tls)
        own.replace(path)
    return path


def compile_to(path: Path, *flags: str, tls: bool = False) -> None:
    """Compile the generator to that file, with these flags besides."""
    compiler = shutil.which(os.environ.get("CC", "cc"))
    if compiler is None:
        raise Failed(
            "the load generator needs a C compiler; type: sudo apt-get install gcc libc6-dev, "
            "or set CC=/path/to/cc"
        )
    command = [compiler, *FLAGS, *flags, *(WITH_TLS if tls else ()), "-o", path]
    command += sorted(SOURCES.glob("*.c"))
    command += TLS_LIBRARIES if tls else ()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode and "openssl/" in done.stderr and "No such file" in done.stderr:
        raise Failed(
            "a load over TLS needs OpenSSL's headers; type: sudo apt-get install libssl-dev"
        )
    if done.returncode:
        raise Failed(f"{SOURCES.name}/*.c does not compile:\n{done.stderr}")


def run(
    load: Load,
    dialect: Dialect,
    ports: Sequence[int],
    *,
    pids: Mapping[str, Sequence[int]],
    warmup: float = 1.0,
    seconds: float = 3.0,
    messages: int = 0,
    patience: float = 20.0,
    quiet: float = 6.0,
) -> dict[str, Any]:
    """Put the load on a server and return what the generator prints, see README.md.

    With `messages` each sender posts so many, all of it measured; else for `seconds` after
    `warmup`. It ends when everybody has everything, or when nothing has come for `patience`
    seconds; a server that a crowd has left must have been quiet for `quiet`. `pids` are the
    processes whose CPU time is wanted, by group; `server` is one of them.
    Raises Failed when not everybody could join.
    """
    command = _command(load, dialect, ports, pids)
    command += ["--warmup", str(warmup), "--seconds", str(seconds), "--messages", str(messages)]
    command += ["--patience", str(patience), "--quiet", str(quiet)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Failed(done.stderr.strip() or f"the load ended with code {done.returncode}")
    result: dict[str, Any] = json.loads(done.stdout)
    result["remarks"] = done.stderr.splitlines()
    return result


@contextlib.contextmanager
def staying(
    crowd: Load, dialect: Dialect, ports: Sequence[int], *, pids: Mapping[str, Sequence[int]]
) -> Iterator[dict[str, Any]]:
    """A crowd that stays until the end of the `with`, and what was noted when it came."""
    command = [*_command(crowd, dialect, ports, pids), "--patience", "20", "--stay"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            line = process.stdout.readline()
            if not line.endswith("}\n"):
                process.kill()
                raise Failed(process.stderr.read().strip() or "the load ended too early")
            yield json.loads(line)
        finally:
            process.kill()


def _command(
    load: Load, dialect: Dialect, ports: Sequence[int], pids: Mapping[str, Sequence[int]]
) -> list[str]:
    command = [str(generator(tls=dialect.tls)), *load.options(), *dialect.options()]
    for port in ports:
        command += ["--port", str(port)]
    for group, numbers in pids.items():
        for number in numbers:
            command += ["--pid", f"{group}={number}"]
    return command
