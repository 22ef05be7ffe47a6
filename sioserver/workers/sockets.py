"""Listening sockets, one for each worker at each address, that outlive the workers.

The kernel spreads new connections over them. One whose worker has died keeps the connections that
wait in it for the next. Knows sockets, not processes.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from sioserver.startup import BACKLOG, CannotStart, cannot_listen

# Elsewhere the option is missing, or it gives all connections to the socket that came last.
SPREADS: Final = sys.platform == "linux" and hasattr(socket, "SO_REUSEPORT")

FREE_WITHIN: Final = 2.0
"""Seconds that workers whose supervisor was killed may take to let go of the port."""
LOOK_AGAIN: Final = 0.05

LONGEST_BASE: Final = 60
"""Bytes: the path of a unix socket has about a hundred, and names are put behind it."""

MISSING: Final = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)

Address = tuple[Any, ...]
Listeners = list[socket.socket]
"""What one worker accepts from: a socket for each address of the host."""


def listen(host: str, port: int, count: int, *, within: float = FREE_WITHIN) -> list[Listeners]:
    """The listening sockets of `count` workers; raises CannotStart.

    Port 0: the first picks one, the others take the same. Where connections cannot be spread over
    several sockets, all workers have the same.
    """
    deadline = time.monotonic() + within
    while True:
        try:
            return _listen(host, port, count)
        except OSError as error:
            if error.errno != errno.EADDRINUSE or time.monotonic() > deadline:
                raise cannot_listen(host, port, error) from error
        time.sleep(LOOK_AGAIN)


def port_of(listeners: list[Listeners]) -> int:
    """The port that they have."""
    port: int = listeners[0][0].getsockname()[1]
    return port


def _listen(host: str, port: int, count: int) -> list[Listeners]:
    found: list[Listeners] = [[] for _ in range(count)]
    addresses = _addresses(host, port)
    try:
        for number, (family, (name, _, *rest)) in enumerate(addresses, 1):
            try:
                first = _bound(family, (name, port, *rest), spreads=False)
            except OSError as error:
                # a name may stand for an address of a kind that this machine does not have
                if error.errno in MISSING and (found[0] or number < len(addresses)):
                    continue
                raise
            found[0].append(first)
            # a port of 0 is now the one that the first has picked, for the other addresses too
            port = first.getsockname()[1]
            if SPREADS:
                # only now: while it was bound, no other program's socket was shared unnoticed
                first.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            for listeners in found[1:]:
                address = (name, port, *rest)
                listeners.append(_bound(family, address, spreads=True) if SPREADS else first)
        for listeners in found:
            for listener in listeners:
                listener.listen(BACKLOG)
    except BaseException:
        for listeners in found:
            for listener in listeners:
                listener.close()
        raise
    return found


def _addresses(host: str, port: int) -> list[tuple[int, Address]]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (socket.gaierror, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise CannotStart(f"cannot listen on {host}: {reason}") from error
    # without doubles, in order
    return list(dict.fromkeys((family, address) for family, _, _, _, address in found))


def _bound(family: int, address: Address, *, spreads: bool) -> socket.socket:
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if spreads:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            # or [::] would take 0.0.0.0 as well, which may be an address of its own here
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        bound.setblocking(False)
        bound.bind(address)
    except BaseException:
        bound.close()
        raise
    return bound


@contextlib.contextmanager
def run_directory() -> Iterator[Path]:
    """A new directory for the workers' own sockets, which only our user can enter; removed at the
    end with what is in it. Raises CannotStart."""
    bases = [os.environ.get("XDG_RUNTIME_DIR", ""), tempfile.gettempdir(), "/tmp"]  # noqa: S108
    fitting = [base for base in bases if Path(base).is_absolute() and os.access(base, os.W_OK)]
    short = [base for base in fitting if len(os.fsencode(base)) <= LONGEST_BASE]
    try:
        path = Path(tempfile.mkdtemp(prefix="sioserver-", dir=next(iter(short), None)))
    except OSError as error:
        raise CannotStart(f"no place for the workers' sockets: {error}") from error
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
