"""A worker from the inside: the program that a supervisor starts, and its end of the line.

It ends in good order when it is told to, and when the supervisor has gone. What it serves is for
`app`, which is imported no earlier than the supervisor's orders are read.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import logging
import math
import os
import signal
import socket
import sys
from collections.abc import Callable
from typing import Final

from sioserver.model import Peer
from sioserver.workers.line import (
    GRACE,
    HEAD,
    Failed,
    News,
    Serving,
    Start,
    decode_start,
    encode_news,
)

log = logging.getLogger(__name__)

PR_SET_PDEATHSIG: Final = 1
ORPHAN: Final = 1
"""The exit code of a worker whose supervisor ended before it said what to do."""


def main() -> int:
    """Run a worker; returns the exit code."""
    for number in (signal.SIGINT, signal.SIGHUP):
        # a terminal sends these to all processes; the supervisor says what is to be done
        signal.signal(number, signal.SIG_IGN)
    _end_with_parent()
    line = _take_line()
    start = _receive(line)
    if start is None:
        return ORPHAN
    from sioserver import logs
    from sioserver.serve import peer_of, run

    logs.setup(start.config.log, worker=start.number)
    supervisor = Line(line, start, peer_of(start.config, start.directory, start.place))
    code = run(start.config, supervisor, start.extension)
    if supervisor.gone:
        # the last one out: those who still drain have their sockets in there
        with contextlib.suppress(OSError):
            os.rmdir(start.directory)
    return code


class Line:
    """The worker's end of the line (it is what `serve` calls a `Worker`)."""

    def __init__(self, line: socket.socket, start: Start, peer: Peer) -> None:
        self.peer = peer
        self.gone = False
        """The supervisor is: nobody is left to tidy up, or to kill this process."""
        self.sockets = [socket.socket(fileno=number) for number in start.listeners]
        self._line = line
        self._drain = start.config.drain.seconds

    def obey(self, stop: Callable[[], None], leave: Callable[[], None]) -> None:
        """Call `stop` for the order, `leave` when the supervisor has gone."""
        loop = asyncio.get_running_loop()

        def hear() -> None:
            try:
                order = self._line.recv(64)
            except BlockingIOError:
                return
            except OSError:
                order = b""
            if order:
                stop()
                return
            loop.remove_reader(self._line)
            self.gone = True
            signal.alarm(math.ceil(self._drain + GRACE))
            log.warning("the supervisor has gone")
            leave()

        self._line.setblocking(False)
        loop.add_reader(self._line, hear)

    def serving(self) -> None:
        """Tell the supervisor that clients may come."""
        self._tell(Serving(self.peer.id))

    def failed(self, reason: str) -> None:
        """Tell the supervisor why not."""
        self._tell(Failed(reason))

    def _tell(self, news: News) -> None:
        # when nobody listens any more, `obey` hears of it
        with contextlib.suppress(OSError):
            self._line.sendall(encode_news(news))


def _end_with_parent() -> None:
    """Get SIGTERM when the supervisor dies. The end of the line says the same; this one is heard
    before there is an event loop, too."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def _take_line() -> socket.socket:
    """The line, away from standard input: nothing that reads from there must eat an order."""
    line = socket.socket(fileno=os.dup(0))
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    return line


def _receive(line: socket.socket) -> Start | None:
    """What to do; None when the supervisor has gone."""
    size = int.from_bytes(line.recv(HEAD, socket.MSG_WAITALL), "big")
    content = line.recv(size, socket.MSG_WAITALL) if size else b""
    return decode_start(content) if size and len(content) == size else None
