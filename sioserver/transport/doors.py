"""The internal listeners: where other nodes pass on what belongs to this one.

Three doors lead to the Engine.IO endpoint, and to nothing else: a unix socket and a socket for
connections that are passed as they are, both in a directory that only this system user can enter,
and a TCP address where each request has to prove that it comes from a node. Who passes on what, and
why, is next door (routing.py).
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final, cast

from aiohttp import web

from sioserver.metrics import Metrics
from sioserver.model import Peer
from sioserver.transport import caller, handoff
from sioserver.transport.caller import CALLER, CALLER_HEADER, Caller, Seal
from sioserver.websocket.takeover import Detached

log = logging.getLogger(__name__)

SOCKET: Final = ".sock"
DESCRIPTORS: Final = ".fd"
LONGEST_PATH: Final = 100
"""Bytes that a unix socket's path may have on every system."""

STALE: Final = 60.0
"""Age in seconds from which a socket file that nobody listens at is removed: a younger one may
belong to a node that is about to."""

BACKLOG: Final = 1024
CLOSE_TIMEOUT: Final = 1.0
"""Seconds that requests under way have when the node stops: their sessions have ended before."""

CLIENT_GONE: Final = 499

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Admit = Callable[[web.Request], Caller | None]


def socket_path(directory: str, node: str) -> str:
    """Where the node takes requests."""
    return f"{directory}/{node}{SOCKET}"


def descriptors_path(directory: str, node: str) -> str:
    """Where the node takes connections."""
    return f"{directory}/{node}{DESCRIPTORS}"


def host_and_port(address: str) -> tuple[str, int]:
    """The parts of host:port, brackets of IPv6 removed. Raises ValueError."""
    host, _, port = address.rpartition(":")
    return host.removeprefix("[").removesuffix("]"), int(port)


class Doors:
    """The internal listeners of a node."""

    def __init__(self, me: Peer, handle: Handler, seal: Seal, metrics: Metrics) -> None:
        """`handle` answers what is let in; its requests carry their `CALLER`."""
        self._me = me
        self._handle = handle
        self._seal = seal
        self._metrics = metrics
        self._runners: list[web.AppRunner] = []
        self._handed: web.AppRunner | None = None
        self._receiver: handoff.Receiver | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Listen wherever this node can be reached. Raises OSError."""
        me = self._me
        try:
            if me.directory:
                await self._open_directory(me.directory)
            if me.address:
                host, port = host_and_port(me.address)
                runner = await self._runner(self._proven)
                await web.TCPSite(runner, host, port, backlog=BACKLOG).start()
        except BaseException:
            await self.stop()
            raise

    async def _open_directory(self, directory: str) -> None:
        path = socket_path(directory, self._me.id)
        if len(os.fsencode(path)) > LONGEST_PATH:
            raise OSError(f"the path of the socket {path} is too long")
        _tidy(directory)
        # before the other, by which the others see that this node is there
        receiver = handoff.Receiver(descriptors_path(directory, self._me.id), self._take)
        if receiver.start():
            self._receiver = receiver
            self._handed = await self._runner(_as_it_is)
        runner = await self._runner(_told)
        await web.UnixSite(runner, path, backlog=BACKLOG).start()

    async def stop(self) -> None:
        """Stop listening; what is under way has a moment to end."""
        if self._receiver is not None:
            self._receiver.stop()
        await asyncio.gather(*self._tasks, return_exceptions=True)  # some turns of the loop
        runners, self._runners = self._runners, []
        await asyncio.gather(*(runner.cleanup() for runner in runners))
        if self._me.directory:
            _remove(socket_path(self._me.directory, self._me.id))

    # ------------------------------------------------------------ requests

    async def _runner(self, admit: Admit) -> web.AppRunner:
        app = web.Application()

        async def answer(request: web.Request) -> web.StreamResponse:
            found = admit(request)
            if found is None:
                self._metrics.count_forward_failure("denied")
                log.debug("an internal request without a valid proof was refused")
                return _last(web.Response(status=403))
            request[CALLER] = found
            try:
                response = await self._handle(request)
            except ConnectionError:
                return _last(web.Response(status=CLIENT_GONE))
            if "Upgrade" in request.headers and not isinstance(response, Detached):
                # what comes behind it is the client's own, and must not be read as a request
                _last(response)
            return response

        # whatever the path: an application may have been mounted anywhere
        app.router.add_route("*", "/{path:.*}", answer)
        runner = web.AppRunner(
            app, access_log=None, handle_signals=False, shutdown_timeout=CLOSE_TIMEOUT
        )
        await runner.setup()
        self._runners.append(runner)
        return runner

    def _proven(self, request: web.Request) -> Caller | None:
        return self._seal.open(request.method, request.raw_path, request.headers)

    # ------------------------------------------------------------ connections

    def _take(self, connection: socket.socket, data: bytes) -> None:
        """A client's connection has been passed on, with the beginning of a request."""
        assert self._handed is not None
        task = asyncio.create_task(self._adopt(connection, data), name="adopt")
        self._tasks.add(task)
        task.add_done_callback(self._adopted)

    async def _adopt(self, connection: socket.socket, data: bytes) -> None:
        try:
            loop = asyncio.get_running_loop()
            await loop.connect_accepted_socket(lambda: self._first_words(data), connection)
        except ValueError:
            connection.close()  # it is no stream; any other the loop has closed
            raise

    def _first_words(self, data: bytes) -> asyncio.Protocol:
        assert self._handed is not None
        assert self._handed.server is not None
        return _Adopted(self._handed.server(), data)

    def _adopted(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a connection that was passed on could not be served", exc_info=error)


class _Adopted(asyncio.Protocol):
    """Gives way to the HTTP protocol and tells it what has been read before, ahead of what the
    event loop will read."""

    def __init__(self, protocol: asyncio.Protocol, data: bytes) -> None:
        self._protocol = protocol
        self._data = data

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast(asyncio.Transport, transport).set_protocol(self._protocol)
        self._protocol.connection_made(transport)
        self._protocol.data_received(self._data)


def _told(request: web.Request) -> Caller | None:
    """Who can reach the unix socket is believed."""
    return caller.read(request.headers.get(CALLER_HEADER, ""))


def _as_it_is(request: web.Request) -> Caller:
    """A client's own connection: nothing that stands in its headers is believed."""
    return Caller(request.remote or None, request.scheme)


def _last(response: web.StreamResponse) -> web.StreamResponse:
    response.force_close()
    return response


def _remove(path: str) -> None:
    Path(path).unlink(missing_ok=True)


def _tidy(directory: str) -> None:
    """Remove the sockets of nodes that were killed."""
    for path in Path(directory).iterdir():
        if path.suffix in (SOCKET, DESCRIPTORS) and _dead(path):
            path.unlink(missing_ok=True)


def _dead(path: Path) -> bool:
    kind = socket.SOCK_STREAM if path.suffix == SOCKET else socket.SOCK_SEQPACKET
    try:
        if time.time() - path.lstat().st_mtime < STALE:
            return False
        with socket.socket(socket.AF_UNIX, kind) as probe:
            probe.setblocking(False)
            probe.connect(str(path))
    except ConnectionRefusedError:
        return True
    except OSError:
        return False  # gone already, or busy
    return False
