"""A kit for tests: a server process that can be killed, and a checker of what a room promises.

`ServerProcess` runs `sioserver serve` as its own process. `checker` is told what was sent,
acknowledged and received, and says which promises were broken.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple, Self

READY_WITHIN: Final = 60.0
LONGEST_LINE: Final = 1_000_000
READY: Final = re.compile(r"serves (https?)://[^ ]+:(\d+)")
WORKER_READY: Final = re.compile(r"worker (\d+) is ready: pid (\d+), node (\w+)")
WORKER_ENDED: Final = re.compile(r"worker (\d+), pid (\d+), has ended")

# The process dies with the one that started it, however that ends (Linux; elsewhere it stays).
_MAIN: Final = """
import signal, sys
if sys.platform == "linux":
    import ctypes
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)
from sioserver.cli import main
sys.exit(main(["serve", *sys.argv[1:]]))
"""


class ServerFailed(Exception):
    """The server ended instead of getting ready."""

    def __init__(self, code: int | None, output: str) -> None:
        super().__init__(f"the server ended with code {code}:\n{output}")
        self.code = code
        self.output = output


class WorkerProcess(NamedTuple):
    """One of several workers, as the server's log has it."""

    pid: int
    node: str


class ServerProcess:
    """`sioserver serve` as a process of its own, with `async with` or `start` and `stop`.

    `workers`: with more than one, the process is their supervisor. `settings` are as for `--set`,
    `config` is a file. Once started it keeps its port, so that it can be killed and started again
    under the same address. `wrapper` is a command to run it with. `extension`: as for
    `--app`, which is found in `directory`, where the program is run.
    """

    program = _MAIN

    def __init__(
        self,
        store: str | Path = ":memory:",
        *,
        port: int = 0,
        workers: int = 1,
        settings: Mapping[str, object] | None = None,
        config: str | Path | None = None,
        wrapper: Sequence[str] = (),
        extension: str = "",
        directory: str | Path | None = None,
    ) -> None:
        self.store = store
        self.port = port
        self.count = workers
        self.config = config
        self.settings = dict(settings or {})
        self.wrapper = wrapper
        self.extension = extension
        self.directory = directory
        self.output: list[str] = []
        """Every line that it has printed, also in earlier lives."""
        self.workers: dict[int, WorkerProcess] = {}
        """Those that are ready, by number from 1 (with log.level info or debug)."""
        self._scheme = "http"
        self._news = asyncio.Condition()
        self._directory: tempfile.TemporaryDirectory[str] | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        """Where it serves."""
        return f"{self._scheme}://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """The process's number."""
        assert self._process is not None
        return self._process.pid

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.kill()

    async def start(self) -> None:
        """Start it and wait until it serves; raises ServerFailed when it ends instead."""
        assert self._process is None, "it is running already"
        options = {"--host": "127.0.0.1", "--port": self.port, "--store": self.store}
        if self.count > 1:
            options["--workers"] = self.count
        if self.config is not None:
            options["--config"] = self.config
        if self.extension:
            options["--app"] = self.extension
        arguments = [str(part) for option in options.items() for part in option]
        for key, value in self.settings.items():
            shown = str(value).lower() if isinstance(value, bool) else str(value)
            arguments += ["--set", f"{key}={shown}"]
        # settings of this machine are none of the test's
        clean = {name: os.environ[name] for name in os.environ if not name.startswith("SIOSERVER_")}
        # what workers leave behind when all are killed at once goes with this directory
        self._directory = tempfile.TemporaryDirectory(prefix="sio-", ignore_cleanup_errors=True)
        clean["XDG_RUNTIME_DIR"] = self._directory.name
        self._process = await asyncio.create_subprocess_exec(
            *self.wrapper,
            *(sys.executable, "-c", self.program, *arguments),
            env=clean | {"PYTHONUNBUFFERED": "1"},
            cwd=self.directory,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            limit=LONGEST_LINE,
        )
        ready = asyncio.get_running_loop().create_future()
        self._reading = asyncio.create_task(self._read(self._process, ready))
        try:
            async with asyncio.timeout(READY_WITHIN):
                self.port = await ready
        except BaseException:
            await self.kill()
            raise

    async def _read(self, process: asyncio.subprocess.Process, ready: asyncio.Future[int]) -> None:
        assert process.stdout is not None
        first = len(self.output)
        async for line in process.stdout:
            async with self._news:
                self.output.append(line.decode(errors="replace").rstrip())
                self._note_worker(self.output[-1])
                self._news.notify_all()
            if not ready.done() and (found := READY.search(self.output[-1])):
                self._scheme = found[1]
                ready.set_result(int(found[2]))
        code = await process.wait()
        if not ready.done():
            ready.set_exception(ServerFailed(code, "\n".join(self.output[first:])))

    def _note_worker(self, line: str) -> None:
        if found := WORKER_READY.search(line):
            self.workers[int(found[1])] = WorkerProcess(int(found[2]), found[3])
        elif found := WORKER_ENDED.search(line):
            known = self.workers.get(int(found[1]))
            if known is not None and known.pid == int(found[2]):
                del self.workers[int(found[1])]

    async def printed(self, pattern: str, *, since: int = 0) -> re.Match[str]:
        """Wait until it has printed a line in which the pattern is found, `since` that index of
        `output`; raises TimeoutError."""
        async with asyncio.timeout(READY_WITHIN), self._news:
            while True:
                for line in self.output[since:]:
                    if found := re.search(pattern, line):
                        return found
                since = len(self.output)
                await self._news.wait()

    def kill_worker(self, number: int) -> None:
        """End one worker at once (SIGKILL); its supervisor replaces it."""
        os.kill(self.workers[number].pid, signal.SIGKILL)

    def reload(self) -> None:
        """Ask for a rolling restart, without workers for the certificate to be read anew
        (SIGHUP)."""
        os.kill(self.pid, signal.SIGHUP)

    async def kill_supervisor(self) -> None:
        """End the supervisor at once (SIGKILL), and wait until its workers have ended by
        themselves."""
        await self._end(signal.SIGKILL)

    async def kill(self) -> None:
        """End it at once (SIGKILL), with its workers, if it runs."""
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(signal.SIGKILL)
            for worker in self.workers.values():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(worker.pid, signal.SIGKILL)
        await self._end(signal.SIGKILL)

    async def stop(self) -> int:
        """Ask it to end (SIGTERM) and wait; returns its exit code."""
        code = await self._end(signal.SIGTERM)
        assert code is not None
        return code

    async def restart(self) -> None:
        """Kill it and start it again on the same port, with the same store."""
        await self.kill()
        await self.start()

    async def _end(self, how: signal.Signals) -> int | None:
        process, self._process = self._process, None
        if process is None:
            return None
        if process.returncode is None:
            process.send_signal(how)
        code = await process.wait()
        assert self._reading is not None
        await self._reading  # to its end, which is when no worker is left that could print
        self.workers.clear()
        assert self._directory is not None
        self._directory.cleanup()
        return code
