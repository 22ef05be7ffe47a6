"""What the machine gives: open files, cores, libraries, the certificate's files, the store's disk.

Pure: facts in, findings out; `look_machine` gathers them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from sioserver.config import Config
from sioserver.doctor.findings import Finding, fail, ok, skip, warn
from sioserver.startup import BACKLOG

SPARE: Final = 200
"""Open files of a process that are no clients: the store, Redis, listeners, other nodes."""

LEAST: Final = 1024
LOW_DISK: Final = 100 * 2**20
SMALL_DISK: Final = 2**30


class Store(NamedTuple):
    """The store's file, or the directory that is in its place."""

    path: str
    exists: bool
    mode: int
    """Permission bits."""
    directory_mode: int
    """Of the nearest directory above it that exists."""
    foreign: bool
    """It belongs to another user than the one who asks."""
    free: int
    """Bytes."""


class Machine(NamedTuple):
    """Facts of this machine, None where it does not tell."""

    files: int | None
    """Most open files of a process: the hard limit, which the server raises its own to."""
    somaxconn: int | None
    """Connections that may wait to be accepted, at the most."""
    cores: int
    memory: int
    """Bytes that this machine or container has; 0: nobody knows."""
    uvloop: bool
    c_parser: str
    """Why aiohttp has no parser in C; empty: it has."""
    trigrams: bool
    """SQLite can index what messages say."""
    outdated: tuple[str, ...]
    """Libraries below the version that is needed, in words."""
    unknown_floors: str
    """Why the libraries could not be compared; empty: they could."""
    certificate: tuple[str, ...] | None
    """What is to be said of the certificate; None: there is no TLS."""
    certificate_error: str
    certificate_days: float
    store: Store | None


def findings(config: Config, machine: Machine) -> Iterator[Finding]:
    """All of them."""
    yield from _files(config, machine)
    yield from _backlog(machine)
    yield from _cores(config, machine)
    yield from _memory(config, machine)
    yield from _libraries(config, machine)
    yield from _certificate(machine)
    yield from _store(machine)


def _files(config: Config, machine: Machine) -> Iterator[Finding]:
    files, wanted = machine.files, config.limits.connections
    if files is None:
        yield skip("machine.files", "this system does not tell how many files may be open")
    elif files < LEAST:
        yield fail(
            "machine.files",
            f"{files} open files: {max(0, files - SPARE)} connections at the most",
            "LimitNOFILE=1048576 in the service, or ulimit -Hn",
        )
    elif wanted == 0 or files < wanted + SPARE:
        limit = f"limits.connections is {wanted}" if wanted else "limits.connections is off"
        yield warn(
            "machine.files",
            f"{files} open files are enough for {files - SPARE} connections of a worker, and "
            f"{limit}: past that new connections are not answered",
            "raise the hard limit (LimitNOFILE= in the service, ulimit -Hn), or set "
            f"limits.connections = {files - SPARE}",
        )
    else:
        yield ok("machine.files", f"{files} open files, {wanted} connections of a worker")


def _backlog(machine: Machine) -> Iterator[Finding]:
    if machine.somaxconn is None:
        yield skip("machine.backlog", "this system does not tell how many connections may wait")
    elif machine.somaxconn < BACKLOG:
        yield warn(
            "machine.backlog",
            f"{machine.somaxconn} connections may wait to be accepted; when many come back at once "
            "some are refused",
            f"sysctl -w net.core.somaxconn={4 * BACKLOG}",
        )
    else:
        yield ok("machine.backlog", f"{BACKLOG} connections may wait to be accepted")


def _cores(config: Config, machine: Machine) -> Iterator[Finding]:
    workers, cores = config.server.workers, machine.cores
    if workers > cores:
        yield warn(
            "server.workers",
            f"{workers} workers share {cores} cores: they wait for each other",
            f"server.workers = {cores}, or fewer beside a Redis",
        )
    else:
        yield ok("server.workers", f"{workers} of {cores} cores")


def _memory(config: Config, machine: Machine) -> Iterator[Finding]:
    limit, workers = config.limits.memory, config.server.workers
    mark = limit if limit > 1 else limit * machine.memory / workers
    words = f"new connections stop at {mark / 2**20:.0f} MiB of a worker"
    if not machine.memory:
        yield skip("limits.memory", "this system does not tell how much memory there is")
    elif not limit:
        yield warn(
            "limits.memory",
            "it is off: when memory is full, the system kills the server with all connections",
            "limits.memory = 0.85",
        )
    elif mark * workers > 0.95 * machine.memory:
        yield warn(
            "limits.memory",
            f"{words}, and {machine.memory / 2**20:.0f} MiB are all there is for {workers}: the "
            "system kills the server before",
            "limits.memory = 0.85",
        )
    else:
        yield ok("limits.memory", words)


def _libraries(config: Config, machine: Machine) -> Iterator[Finding]:
    if machine.c_parser:
        yield fail("library.aiohttp", machine.c_parser, "the server does not start like this")
    else:
        yield ok("library.aiohttp", "reads HTTP in C")
    if machine.uvloop:
        yield ok("library.uvloop", "is there")
    elif config.transport.loop != "asyncio":
        yield warn(
            "library.uvloop",
            "is missing: the same work costs more CPU, and a connection over TLS 280 KiB",
            "pip install uvloop",
        )
    if machine.store is not None:  # the embedded engine's
        if machine.trigrams:
            yield ok("library.sqlite", "indexes what messages say")
        else:
            yield warn(
                "library.sqlite",
                "has no FTS5 with trigrams: one search looks at rooms.search_scan messages only",
                "use a Python with SQLite 3.34 or newer, with FTS5, and begin with a new store",
            )
    for text in machine.outdated:
        yield fail("library.version", text, "pip install --upgrade sioserver")
    if machine.unknown_floors:
        yield skip("library.version", machine.unknown_floors)
    elif not machine.outdated:
        yield ok("library.version", "no library is older than it may be")


def _certificate(machine: Machine) -> Iterator[Finding]:
    if machine.certificate_error:
        yield fail("tls.cert", machine.certificate_error, "the server does not start like this")
        return
    for text in machine.certificate or ():
        report = fail if machine.certificate_days <= 0 else warn
        yield report("tls.cert", text, "renew it, then: kill -HUP the server")
    if machine.certificate == ():
        yield ok("tls.cert", f"good for {machine.certificate_days:.0f} more days")


def _store(machine: Machine) -> Iterator[Finding]:
    store = machine.store
    if store is None:
        return
    name = "store.path"
    if store.exists and store.mode & 0o007:
        yield fail(
            name,
            f"every user of this machine may open {store.path}, and all messages are in it",
            f"chmod o= {store.path}",
        )
    elif store.exists and store.mode & 0o070:
        yield warn(
            name,
            f"the group may open {store.path}, and all messages are in it",
            f"chmod go= {store.path}",
        )
    elif store.directory_mode & 0o002 and not store.directory_mode & 0o1000:
        yield fail(
            name,
            f"every user of this machine may put another file in the place of {store.path}",
            "chmod o= its directory",
        )
    else:
        yield ok(name, f"{store.path} is{'' if store.exists else ' made'} for its owner only")
    if store.foreign:
        yield warn(
            name,
            f"{store.path} belongs to another user than the one who runs this",
            "run the doctor as the server's user",
        )
    free = f"{store.free / 2**20:.0f} MiB are free where the store lies"
    if store.free < LOW_DISK:
        yield fail("store.disk", free, "make space: posting is refused when there is none")
    elif store.free < SMALL_DISK:
        yield warn("store.disk", free, "make space, or shorten rooms.history_length")
    else:
        yield ok("store.disk", free)
