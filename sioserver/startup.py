"""What the program says when it begins to serve, and what keeps it from it.

Shared by the single process and by the supervisor of many, who knows nothing else of the server.
"""

from __future__ import annotations

import errno
import importlib.util
import os
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from sioserver._version import __version__
from sioserver.config import Config
from sioserver.config.schema import KEY_SOURCES, Redis

CANNOT_START: Final = 1
"""The exit code when the store or the port cannot be had."""

BACKLOG: Final = 1024
"""Connections that may wait to be accepted, for each listening socket."""


class CannotStart(Exception):
    """The program cannot run here. The message says why, and what to do about it."""


def complain(reason: object) -> int:
    """Say why the program ends; returns its exit code."""
    sys.stderr.write(f"sioserver: {reason}\n")
    sys.stderr.flush()
    return CANNOT_START


PARSER: Final = "aiohttp._http_parser"
"""aiohttp's parser of HTTP in C."""

NO_EXTENSIONS: Final = "AIOHTTP_NO_EXTENSIONS"
"""The variable of the environment that has aiohttp do without it."""


def check_parser(environ: Mapping[str, str]) -> None:
    """Raises CannotStart when aiohttp reads requests by Python code, or would when it is imported.

    That parser has let through what the one in C refuses: requests smuggled behind others
    (GHSA-pqxq-w44r-73xw). Imports nothing, for the supervisor has no use for aiohttp.
    """
    loaded = sys.modules.get("aiohttp.http_parser")
    if loaded is not None:
        if loaded.HttpRequestParser is not loaded.HttpRequestParserPy:
            return
        switched_off = loaded.NO_EXTENSIONS
    else:
        switched_off = bool(environ.get(NO_EXTENSIONS))
        if not switched_off and _is_installed(PARSER):
            return
    if switched_off:
        next_step = f"unset {NO_EXTENSIONS} and start again"
    else:
        next_step = "install aiohttp from a wheel, or where there is a C compiler"
    raise CannotStart(
        "aiohttp would read HTTP by its parser in Python, which attackers can get requests past; "
        + next_step
    )


def _is_installed(module: str) -> bool:
    package = importlib.util.find_spec(module.partition(".")[0])
    places = None if package is None else package.submodule_search_locations
    return places is not None and PathFinder.find_spec(module, places) is not None


def allow_many_files() -> None:
    """As many open files as this user may have, each connection is one: the usual limit is 1024,
    which programs that know no better would trip over above. Where there is no such limit, nothing.
    """
    try:
        import resource
    except ImportError:
        return  # Windows
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):  # macOS says more than it gives
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def most_files() -> int:
    """How many files this process may have open; 0: any number, or nobody knows."""
    try:
        import resource
    except ImportError:
        return 0  # Windows
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 0 if most == resource.RLIM_INFINITY else most


def cannot_listen(host: str, port: int, error: OSError) -> CannotStart:
    """The error for an address that cannot be had."""
    reason = error.strerror or str(error)
    if error.errno == errno.EADDRINUSE:
        reason += "; choose another with --port, or stop what uses it"
    return CannotStart(f"cannot listen on {shown(host)}:{port}: {reason}")


def valkey_beside(store: Path) -> Path:
    """Where workers keep their messages that were given this file as a store, and no Redis."""
    store = store.absolute()
    return store.with_name(f"{store.name}-valkey")


def announce(config: Config, port: int, store: str, *, supervisor: int = 0) -> None:
    """Print where the server is reached, and what its operator must know; `store` in words,
    `supervisor` is its pid where there is one."""
    scheme = "https" if config.tls.cert else "http"
    lines = [
        f"sioserver {__version__} serves {scheme}://{shown(config.server.host)}:{port}",
        f"  store: {store}",
    ]
    if supervisor:
        lines.append(f"  pid {supervisor}: kill -HUP {supervisor} reads the configuration again")
    if not config.auth.takes_tokens:
        lines.append(f"  ANYBODY WHO CAN REACH IT MAY JOIN AND USE ANY NAME: set {KEY_SOURCES}")
    if config.server.insecure_any_origin:
        lines.append("  PAGES OF EVERY SITE MAY CONNECT: server.insecure_any_origin is set")
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()


def shown(host: str) -> str:
    """A host as it stands in an address."""
    return f"[{host}]" if ":" in host else host


def redis_in_words(redis: Redis) -> str:
    """Which Redis it is, without user and password."""
    if redis.sentinels:
        return f"Redis, {redis.service} of the Sentinels {', '.join(redis.sentinels)}"
    parts = urlsplit(redis.url)
    try:
        host = parts.hostname and shown(parts.hostname) + (f":{parts.port}" if parts.port else "")
    except ValueError:  # the port is none
        host = None
    path = parts.path if parts.scheme == "unix" or parts.path != "/" else ""
    return f"Redis at {parts.scheme}://{host or ''}{path}" if host or path else "Redis"


class Terminal:
    """Whether the terminal is gone in which the program was started: that is a SIGHUP too, which
    has always meant the end. One that was started with nohup, or without a terminal, goes on."""

    def __init__(self) -> None:
        self._minded = signal.getsignal(signal.SIGHUP) is signal.SIG_DFL and _is_there()

    @property
    def gone(self) -> bool:
        """It was there, and is no longer."""
        return self._minded and not _is_there()


def _is_there() -> bool:
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True
