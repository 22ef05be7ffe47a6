"""The life of a node: start the engine, keep time for it, stop in good order.

The only place where tasks are made: named, kept, awaited at the stop, and heard of when they die.
What happens in rooms is not its business.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any, Final

from sioserver import memory
from sioserver.admission import Watermark
from sioserver.config import Config
from sioserver.engine.base import Engine
from sioserver.hub import Hub
from sioserver.metrics import Metrics

log = logging.getLogger(__name__)

MEMORY_PAUSE: Final = 1.0
"""Seconds between two looks at the memory."""

LAG_PAUSE: Final = 0.5
"""Seconds between two looks at how late the event loop is."""


class Node:
    """One process that serves clients."""

    def __init__(
        self,
        config: Config,
        engine: Engine,
        hub: Hub,
        metrics: Metrics,
        clock: Callable[[], float],
        watermark: Watermark | None = None,
        used: Callable[[], int] = memory.used,
    ) -> None:
        """`watermark` is told what `used` returns, the bytes that this process has."""
        self._watermark = watermark or Watermark()
        self._used = used
        self._config = config
        self._engine = engine
        self._hub = hub
        self._metrics = metrics
        self._clock = clock
        self._tasks: set[asyncio.Task[None]] = set()
        self._started = False
        self.draining = False
        self.chores: list[Callable[[float], None]] = []
        """What else is to be done every `presence.batch`: each is told the time, and waits for
        nothing."""
        self.conditions: list[Callable[[], str | None]] = []
        """What else has to hold before clients should be sent here: each says why not, or None."""

    async def start(self) -> None:
        """Open the engine and begin to keep time; raises `StoreError`."""
        await self._engine.start(self._hub)
        self._started = True
        self._metrics.add_gauges(self._engine.stats)
        self.spawn("sweep", self._sweep())
        self.spawn("lag", self._watch_lag())
        self.spawn("memory", self._watch_memory())

    def drain(self) -> None:
        """From now on `ready` says no, so that no new clients are sent here."""
        self.draining = True

    async def stop(self) -> None:
        """End the tasks, then the engine, which writes everything down."""
        self.draining = True
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._started:
            self._started = False
            await self._announce()
            await self._engine.stop()

    def ready(self) -> list[str]:
        """Why the node should be sent no clients; nothing when it should."""
        reasons = []
        if not self._started:
            reasons.append("starting")
        elif (reason := self._engine.ready()) is not None:
            reasons.append(reason)
        if self._watermark.full:
            reasons.append("memory")
        reasons += [reason for condition in self.conditions if (reason := condition()) is not None]
        if self.draining:
            reasons.append("draining")
        return reasons

    def spawn(self, name: str, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run a task until the node stops."""
        task = asyncio.create_task(coroutine, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("the task %s died", task.get_name(), exc_info=error)

    async def _sweep(self) -> None:
        well = True
        while True:
            await asyncio.sleep(self._config.presence.batch)
            well = await self._announce(quiet=not well)  # said once, not with every try

    async def _announce(self, *, quiet: bool = False) -> bool:
        """Tell who came and who left. False: something failed; the next time does it again."""
        well = True
        for chore in self.chores:
            try:
                chore(self._clock())
            except Exception:  # everybody waits for what comes behind it
                well = False
                if not quiet:
                    log.exception("a chore could not be done")
        try:
            await self._engine.sweep(self._clock())
        except Exception:  # presence is announced again, with the next round
            well = False
            if not quiet:
                log.exception("presence could not be announced")
        return well

    async def _watch_lag(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + LAG_PAUSE
            await asyncio.sleep(LAG_PAUSE)
            self._metrics.loop_lag = max(0.0, loop.time() - due)
            self._metrics.rooms = len(self._hub) - len(self._hub.followers)

    async def _watch_memory(self) -> None:
        mark = self._watermark
        self._metrics.memory_limit = mark.most
        while True:
            changed = mark.note(self._used())
            self._metrics.memory = mark.used
            if changed and mark.full:
                log.warning(
                    "memory is short (%d MB of limits.memory's %d): no new connections are let in, "
                    "those that are here go on",
                    mark.used // 1_000_000,
                    mark.most // 1_000_000,
                )
            elif changed:
                log.info("there is memory again: new connections are let in")
            await asyncio.sleep(MEMORY_PAUSE)
