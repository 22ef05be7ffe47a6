"""A worker from the outside: the process, what it said, and how it is told to end.

Started afresh, not forked: an event loop and its threads do not survive a fork. Which workers there
should be is for the supervisor.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from sioserver.workers.line import GRACE, STOP, Failed, Start, decode_news, encode_start

log = logging.getLogger(__name__)

# -P: whatever lies in the working directory is not imported. Where the package is not installed,
# it is found where the supervisor found it.
COMMAND: Final = (
    sys.executable,
    "-P",
    "-c",
    "import sys; sys.path.append(sys.argv[1]); "
    "from sioserver.workers.worker import main; sys.exit(main())",
    str(Path(__file__).parents[2]),
    "sioserver-worker",
)

READY_WITHIN: Final = 60.0
"""Seconds that a worker may take until it serves."""


class Process:
    """One worker process; to be made in the event loop. Raises OSError when there can be none."""

    def __init__(
        self, start: Start, listeners: Sequence[socket.socket], command: Sequence[str] = COMMAND
    ) -> None:
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                self._process = subprocess.Popen(  # noqa: S603  (the command is our own)
                    [*command, str(start.number)],
                    stdin=theirs.fileno(),
                    pass_fds=[listener.fileno() for listener in listeners],
                )
            except BaseException:
                ours.close()
                raise
        self.number = start.number
        self.place = start.place
        self.reason = ""
        """Why it cannot start, when it has said so."""
        self.node: asyncio.Future[str] = loop.create_future()
        """Done when it serves: its node's id. Cancelled when it ended without."""
        self.ended: asyncio.Future[int] = loop.create_future()
        """Done when it has ended and all that it said is known: its exit code, or minus the signal
        that ended it."""
        self._end_within = start.config.drain.seconds + GRACE
        self._began = time.monotonic()
        self._writer: asyncio.StreamWriter | None = None
        self._exited = asyncio.Event()
        self._talking = loop.create_task(self._talk(ours, encode_start(start)), name="line")

    @property
    def pid(self) -> int:
        """Its number among the machine's processes."""
        pid: int = self._process.pid
        return pid

    def __str__(self) -> str:
        return f"worker {self.number}, pid {self.pid},"

    @property
    def serving(self) -> bool:
        """It has said that it serves."""
        return self.node.done() and not self.node.cancelled()

    @property
    def age(self) -> float:
        """Seconds since it was started."""
        return time.monotonic() - self._began

    def look(self) -> None:
        """See whether it has ended; called when some child has."""
        if self._process.poll() is not None:
            self._exited.set()

    def leave(self) -> None:
        """Ask it to end, while others go on accepting connections."""
        self._process.send_signal(signal.SIGTERM)

    def stop(self) -> None:
        """Ask it to end together with all the others: it answers until it is through."""
        if self._writer is None or not self.serving:
            self.leave()  # it has no clients yet
        else:
            self._writer.write(STOP)

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()

    async def serves(self, within: float = READY_WITHIN) -> bool:
        """Wait until it serves; false when it ended instead, or has not got so far in time."""
        await asyncio.wait([self.node], timeout=within)
        return self.serving

    async def gone(self) -> None:
        """Wait until it has ended, which it was asked to; it is killed when that takes too long."""
        await asyncio.wait([self.ended], timeout=self._end_within)
        if not self.ended.done():
            log.error(f"{self} does not end and is killed")
            self.kill()
        await asyncio.wait([self.ended])

    async def _talk(self, ours: socket.socket, start: bytes) -> None:
        reader, self._writer = await asyncio.open_connection(sock=ours)
        try:
            # a process that ends meanwhile has an exit code that says more
            with contextlib.suppress(ConnectionError):
                self._writer.write(start)
                while line := await reader.readline():
                    self._hear(line)
        except ValueError:
            log.exception(f"{self} says what is not understood")
            self.kill()
        finally:
            self._writer.close()
            self._writer = None
        await self._exited.wait()
        self.node.cancel()
        self.ended.set_result(self._process.returncode)

    def _hear(self, line: bytes) -> None:
        news = decode_news(line)
        if isinstance(news, Failed):
            self.reason = news.reason
        elif not self.node.done():
            self.node.set_result(news.node)


def in_words(code: int) -> str:
    """How a process ended."""
    if code < 0:
        with contextlib.suppress(ValueError):
            return signal.Signals(-code).name
    return f"exit code {code}"
