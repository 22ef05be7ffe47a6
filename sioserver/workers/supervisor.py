"""The supervisor: a worker for each slot, always; replaced when it ends, one by one on SIGHUP.

One thread, one loop; it serves nobody itself, so there is little that could end it.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from msgspec.structs import replace

from sioserver import logs
from sioserver.config import Config, ConfigError, Fault
from sioserver.config.checks import problems
from sioserver.startup import CannotStart, Terminal, announce, complain, redis_in_words
from sioserver.tls import Certificate, Unusable
from sioserver.tls import read as read_certificate
from sioserver.workers.backoff import Backoff
from sioserver.workers.line import Start
from sioserver.workers.process import COMMAND, Process, in_words
from sioserver.workers.sockets import Listeners, listen, port_of, run_directory
from sioserver.workers.store import PrivateStore

# Texts are put together before they are given to the log, which shows one line of a kind in a few
# seconds: what is said of one worker is not what is said of the next.
log = logging.getLogger(__name__)

FIXED: Final[tuple[str, ...]] = ("server.host", "server.port", "server.workers")
FIXED_WITH_STORE: Final = ("store.path", "store.durability", "redis.url", "redis.sentinels")
"""Settings that a restart of the workers cannot change, the latter with a private Valkey."""

Reload = Callable[[], Config]
"""Reads the configuration again; raises ConfigError."""


def supervise(config: Config, reload: Reload, extension: str = "") -> int:
    """Serve with many workers until SIGTERM or SIGINT; returns the exit code. `extension`: see
    `Start`."""
    if sys.platform == "win32":
        return complain("server.workers: more than one needs Linux, macOS or another Unix")
    try:
        server = config.server
        listeners = listen(server.host, server.port, server.workers)
        with run_directory() as directory:
            asyncio.run(Supervisor(config, listeners, directory, reload, extension=extension).run())
    except CannotStart as error:
        return complain(error)
    return 0


@dataclass(slots=True)
class Slot:
    """One worker's place: its listening sockets, and who has them now."""

    number: int
    listeners: Listeners
    pauses: Backoff = field(default_factory=Backoff)
    current: Process | None = None
    keeper: asyncio.Task[None] | None = None


class Supervisor:
    """Keeps the workers of `listeners`, one for each.

    `directory` is for the workers' own sockets; `command` is what a worker is started with;
    `private`: whether the workers get a Valkey (they do when they have no Redis); `extension`: see
    `Start`.
    """

    def __init__(
        self,
        config: Config,
        listeners: Sequence[Listeners],
        directory: Path,
        reload: Reload,
        *,
        command: Sequence[str] = COMMAND,
        private: bool | None = None,
        extension: str = "",
    ) -> None:
        self._extension = extension
        self._config = config
        self._listeners = listeners
        self._directory = directory
        self._reload = reload
        self._command = command
        self._private = not config.redis.url if private is None else private
        self._store: PrivateStore | None = None
        self._slots = [Slot(number, own) for number, own in enumerate(listeners, 1)]
        self._processes: set[Process] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Serve until told to stop; raises CannotStart."""
        loop = asyncio.get_running_loop()
        self._told = loop.create_future()
        self._all_serve = loop.create_future()
        self._hung_up = asyncio.Event()
        self._stillborn: set[int] = set()
        self._hear_signals(loop)
        try:
            certificate = _certificate(self._config)
            if self._private:
                self._store = PrivateStore(self._config, self._directory)
                await self._store.start()
                self._spawn_task("store", self._store.keep())
            for slot in self._slots:
                self._give(slot, None)
            await asyncio.wait([self._all_serve, self._told], return_when=asyncio.FIRST_COMPLETED)
            if self._all_serve.done():
                self._all_serve.result()
                port = port_of(list(self._listeners))
                announce(self._config, port, self._words(), supervisor=os.getpid())
                _warn(certificate)
                self._spawn_task("reload", self._reloads())
            await self._told
            log.info("stopping: connections are closed, clients come back by themselves")
        finally:
            await self._stop()

    def _words(self) -> str:
        config = self._config
        store = self._store.words if self._store is not None else redis_in_words(config.redis)
        return f"{store}, {len(self._slots)} workers"

    def _spawn_task(self, name: str, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(coroutine, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._task_done)
        return task

    def _task_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.critical("the supervisor's task %s died", task.get_name(), exc_info=error)
            if not self._told.done():
                # it ends with a code that has whoever started it start it again
                what = f"the supervisor's task {task.get_name()} died: {error}"
                self._told.set_exception(CannotStart(what))

    # ------------------------------------------------------------ signals

    def _hear_signals(self, loop: asyncio.AbstractEventLoop) -> None:
        terminal = Terminal()

        def hung_up() -> None:
            if terminal.gone:
                self._tell()
            else:
                self._hung_up.set()

        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._hear_end, number)
        loop.add_signal_handler(signal.SIGHUP, hung_up)
        loop.add_signal_handler(signal.SIGCHLD, self._look)

    def _tell(self) -> None:
        if not self._told.done():
            self._told.set_result(None)

    def _hear_end(self, number: int) -> None:
        if not self._told.done():
            self._tell()
            return
        for process in self._processes:
            process.kill()
        if self._store is not None:
            self._store.terminate()
        shutil.rmtree(self._directory, ignore_errors=True)
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    def _look(self) -> None:
        for process in list(self._processes):
            process.look()
        if self._store is not None:
            self._store.look()

    # ------------------------------------------------------------ keeping the workers

    def _give(self, slot: Slot, process: Process | None) -> None:
        """Keep this worker in the slot from now on; None: one that is yet to be started."""
        if slot.keeper is not None:
            slot.keeper.cancel()
        slot.current = process
        slot.keeper = self._spawn_task(f"worker {slot.number}", self._keep(slot))

    async def _keep(self, slot: Slot) -> None:
        while True:
            if slot.current is None:
                try:
                    slot.current = self._start(slot, self._config)
                except OSError as error:
                    pause = slot.pauses.after(0.0)
                    log.error("worker %d cannot be started: %s", slot.number, error)
                    await asyncio.sleep(pause)
                    continue
            process = slot.current
            await asyncio.wait([process.ended])
            slot.current = None
            pause = slot.pauses.after(process.age)
            self._note_end(slot, process)
            code = process.ended.result()
            why = process.reason or in_words(code)
            # whoever has sent a worker away wanted that
            level = logging.ERROR if code else logging.INFO
            log.log(level, f"{process} has ended ({why}); the next one is started in {pause:g} s")
            await asyncio.sleep(pause)

    def _start(self, slot: Slot, config: Config) -> Process:
        places = {process.place for process in self._processes}
        start = Start(
            config=self._store.reached_by(config) if self._store is not None else config,
            number=slot.number,
            place=next(place for place in range(len(places) + 1) if place not in places),
            directory=str(self._directory),
            listeners=[listener.fileno() for listener in slot.listeners],
            extension=self._extension,
        )
        process = Process(start, slot.listeners, self._command)
        self._processes.add(process)
        process.ended.add_done_callback(lambda _: self._processes.discard(process))
        process.node.add_done_callback(lambda node: self._note_node(slot, process, node))
        return process

    def _note_node(self, slot: Slot, process: Process, node: asyncio.Future[str]) -> None:
        if node.cancelled():
            return
        log.info("worker %d is ready: pid %d, node %s", slot.number, process.pid, node.result())
        well = all(slot.current is not None and slot.current.serving for slot in self._slots)
        if well and not self._all_serve.done():
            self._all_serve.set_result(None)

    def _note_end(self, slot: Slot, process: Process) -> None:
        """Before all have served once, it may be that none ever will."""
        if self._all_serve.done():
            return
        if not process.serving:
            self._stillborn.add(slot.number)
        if process.reason:
            self._all_serve.set_exception(CannotStart(process.reason))
        elif len(self._stillborn) == len(self._slots):
            how = in_words(process.ended.result())
            self._all_serve.set_exception(CannotStart(f"no worker gets as far as to serve ({how})"))

    # ------------------------------------------------------------ a rolling restart

    async def _reloads(self) -> None:
        while True:
            await self._hung_up.wait()
            self._hung_up.clear()
            try:
                config = self._settle(self._reload())
                certificate = _certificate(config)
            except ConfigError as error:
                for fault in error.faults:
                    log.error(f"SIGHUP: the old configuration stays: {fault}")
                continue
            except Unusable as error:
                log.error(f"SIGHUP: the old configuration stays: {error}")
                continue
            _warn(certificate)
            log.info("SIGHUP: the workers are replaced, one after the other")
            if await self._roll(config):
                logs.setup(config.log)
                log.info("all workers are replaced")

    def _settle(self, config: Config) -> Config:
        """The new configuration, with the old value of what needs a restart of the whole; raises
        ConfigError."""
        fixed = FIXED
        if self._store is not None:
            fixed += FIXED_WITH_STORE
        elif not config.redis.url:
            fixed += ("redis.url",)
        for key in fixed:
            section, name = key.split(".")
            old = getattr(getattr(self._config, section), name)
            new = getattr(config, section)
            if getattr(new, name) != old:
                log.warning(
                    f"SIGHUP: {key} is another now: that needs a restart, the old one stays"
                )
                config = replace(config, **{section: replace(new, **{name: old})})
        if bool(config.tls.cert) != bool(self._config.tls.cert):
            # while they are replaced, some workers would encrypt and some would not
            log.warning("SIGHUP: to begin or to end with TLS needs a restart, all of [tls] stays")
            config = replace(config, tls=self._config.tls)
        # the mixture is one that nobody has checked
        faults = [Fault("SIGHUP", problem.keys[0], problem.text) for problem in problems(config)]
        if faults:
            raise ConfigError(faults)
        return config

    async def _roll(self, config: Config) -> bool:
        """In each slot: the replacement first, then the end of the old one. False: the first
        replacement did not get so far as to serve, and everything stays as it was."""
        for slot in self._slots:
            try:
                replacement = self._start(slot, config)
            except OSError as error:
                log.error("the rolling restart ends: no process can be started: %s", error)
                return False
            if not await replacement.serves():
                replacement.kill()
                why = replacement.reason or "see above"
                log.error("the rolling restart ends: a new worker cannot serve (%s)", why)
                return False
            self._config = config  # also for who is replaced because it died
            old = slot.current
            self._give(slot, replacement)
            if old is not None:
                old.leave()
                await old.gone()
        return True

    # ------------------------------------------------------------ the end

    async def _stop(self) -> None:
        """The workers first, together; then what they use."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        processes = list(self._processes)
        for process in processes:
            process.stop()
        await asyncio.gather(*(process.gone() for process in processes))
        if self._store is not None:
            await self._store.stop()


def _certificate(config: Config) -> Certificate | None:
    """What the workers are about to read for themselves. Raises Unusable."""
    return read_certificate(config.tls) if config.tls.cert else None


def _warn(certificate: Certificate | None) -> None:
    for warning in certificate.warnings(time.time()) if certificate is not None else ():
        log.warning(f"tls: {warning}")
