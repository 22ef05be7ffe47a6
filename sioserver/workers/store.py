"""The private Valkey of workers that were given no Redis: where it lies, and that it goes on.

It is nobody else's: its socket can be reached by our own user only, and a second supervisor is
refused. What is stored there is for the engine.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
from pathlib import Path
from typing import Final, Literal
from urllib.parse import quote

import msgspec

from sioserver.config import Config
from sioserver.engine import store_path
from sioserver.startup import CannotStart, valkey_beside
from sioserver.valkey import LONGEST_SOCKET_PATH, Valkey, ValkeyError
from sioserver.workers.backoff import Backoff

log = logging.getLogger(__name__)

SQLITE: Final = b"SQLite format 3\0"
SOCKET: Final = "valkey.sock"


class PrivateStore:
    """A Valkey beside the place where the store's file would be; ":memory:" keeps nothing.

    `directory` is where the workers' sockets lie; it is removed at the end.
    """

    def __init__(self, config: Config, directory: Path) -> None:
        path = store_path(config.store.path)
        fsync: Literal["always", "everysec"] | None = None
        if isinstance(path, Path):
            self.directory = valkey_beside(path)
            self.words = f"private Valkey in {self.directory}"
            fsync = "always" if config.store.durability == "full" else "everysec"
        else:
            self.directory = directory / "valkey"
            self.words = "private Valkey in memory, gone when it stops"
        self._file = path if isinstance(path, Path) else None
        # that of the file: a single process must not take it meanwhile
        lock = f"{path.absolute()}.lock" if isinstance(path, Path) else None
        self._lock_path = lock or self.directory / "supervisor.lock"
        socket = self.directory / SOCKET
        if len(os.fsencode(socket)) > LONGEST_SOCKET_PATH:
            socket = directory / SOCKET
        self._url = f"unix://{quote(str(socket))}"
        self._valkey = Valkey(self.directory, socket=socket, fsync=fsync)
        self._pauses = Backoff()
        self._ended = asyncio.Event()
        self._lock = -1

    @property
    def pid(self) -> int:
        """The Valkey's number among the machine's processes."""
        return self._valkey.pid

    def reached_by(self, config: Config) -> Config:
        """The configuration of a worker that uses it."""
        redis = msgspec.structs.replace(config.redis, url=self._url)
        return msgspec.structs.replace(config, redis=redis)

    async def start(self) -> None:
        """Start it with the data that are there; raises CannotStart."""
        self._take()
        try:
            await self._valkey.async_start()
        except ValkeyError as error:
            raise CannotStart(str(error)) from error
        if self._file is not None and _is_sqlite(self._file):
            log.warning(
                "the messages in %s are not taken over: workers keep theirs in %s; "
                "there is no migration, start without --workers to have them again",
                self._file,
                self.directory,
            )

    def _take(self) -> None:
        """The Valkey's own lock would do, but waits for one that is about to end."""
        try:
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
            self._lock = os.open(self._lock_path, flags, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise CannotStart(
                f"another sioserver uses {self._file} or {self.directory}: stop it, or choose "
                "another store.path"
            ) from error
        except OSError as error:
            raise CannotStart(
                f"{self.directory} cannot be used: {error.strerror}. The server's user must be "
                f"able to write files in {self.directory.parent}"
            ) from error

    def look(self) -> None:
        """See whether it has ended; called when some child has."""
        if self._valkey.exit_code is not None:
            self._ended.set()

    async def keep(self) -> None:
        """Start it again, with the same data, whenever it ends."""
        while True:
            began = asyncio.get_running_loop().time()
            await self._ended.wait()
            self._ended.clear()
            pause = self._pauses.after(asyncio.get_running_loop().time() - began)
            log.error("the private Valkey has ended; it is started again in %g s", pause)
            await asyncio.sleep(pause)
            try:
                await self._valkey.async_start()
            except (ValkeyError, OSError) as error:
                log.error("the private Valkey does not start: %s", error)
                self._ended.set()
            else:
                log.info("the private Valkey is back: pid %d", self.pid)
                # Other children may have ended meanwhile, which looked as if it had ended again.
                self._ended.clear()
                self.look()

    async def stop(self) -> None:
        """Let it write everything down and end."""
        await self._valkey.async_stop()
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def terminate(self) -> None:
        """Ask it to end, and do not wait."""
        self._valkey.terminate()


def _is_sqlite(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(len(SQLITE)) == SQLITE
    except OSError:
        return False
