"""The embedded engine's journal: one writer thread with one connection, and group commit.

Whatever waits in the queue is one batch, hence one transaction; all its results go back to the
event loop in one call and are handed out there in order: first the messages, then the other
writes, then the reads. So whoever keeps what was handed out has at every moment the state of the
store after some transaction. This module does not know what a job does or who asked for it.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Final, TypeVar

from sioserver.engine.base import StoreError
from sioserver.engine.embedded_entries import RETRY_AFTER, Entry, refusal
from sioserver.engine.embedded_file import StoreFile
from sioserver.engine.embedded_tables import Tables, Watcher
from sioserver.engine.embedded_writer import Batch, Call, Writer
from sioserver.errors import Refusal

log = logging.getLogger(__name__)

T = TypeVar("T")

_SLICE: Final = 0.01
"""Seconds for which results are handed out before the event loop may do something else: a batch
can hold thousands of messages, each for a thousand clients."""
_PROBE_BYTES: Final = 65_536
WAITING_BYTES: Final = 64 * 2**20
"""Most bytes of encoded bodies that wait to be stored. A disk writes them in a second or two, which
is as long as posting may take; by their count alone, 10 000 messages of 64 KiB would be 640 MiB."""


class Journal:
    """The store, for the event loop."""

    def __init__(
        self,
        path: str | Path,
        *,
        full: bool,
        dedup_window: float,
        queue: int,
        on_entry: Callable[[Entry], None],
        on_first: Callable[[str, int], None],
        watcher: Watcher | None = None,
    ) -> None:
        """`full`: an fsync with every transaction. `dedup_window`: seconds. `queue`: entries that
        may wait. `on_entry`: called in order with each entry whose fate is known. `on_first`: a
        room's log begins with this offset now; called after the entries of the same batch.
        `watcher`: called in the thread, see there."""
        self._path = path
        self._full = full
        self._dedup_window = dedup_window
        self._watcher = watcher
        self._bound = queue
        self._on_entry = on_entry
        self._on_first = on_first
        self.epoch = ""
        self.trouble: str | None = None
        """Why the store cannot be written or read just now; None when all is well."""
        # On the event loop.
        self._accepting = False
        self._waiting = 0
        self._entries_waiting = 0
        self._bytes_waiting = 0
        self._deliveries: deque[Entry | Call | Batch] = deque()
        self._delivering = False
        self._ended = False
        self._probing = False
        # The thread, and what the loop shares with it.
        self._thread: threading.Thread | None = None
        self._jobs: SimpleQueue[Entry | Call | None] = SimpleQueue()
        self._writer: Writer | None = None

    # -- lifecycle --------------------------------------------------------------------------------

    async def start(self) -> None:
        """Open the store; raises StoreError."""
        self._loop = asyncio.get_running_loop()
        self._closed: asyncio.Future[None] = self._loop.create_future()
        opened: asyncio.Future[str] = self._loop.create_future()
        # A daemon: a program that ends without stop() must not hang. For the file that is the
        # same as a kill.
        self._thread = threading.Thread(
            target=self._main, args=(opened,), name="sioserver-store", daemon=True
        )
        self._thread.start()
        try:
            self.epoch = await opened
        except StoreError:
            self._thread.join()
            self._thread = None
            raise
        except BaseException:
            self._jobs.put(None)  # nobody will call stop()
            raise
        self._accepting = True

    async def stop(self) -> None:
        """Finish every job, close the store. Safe to call twice."""
        if self._thread is None:
            return
        if self._accepting:
            self._accepting = False
            self._jobs.put(None)
        await asyncio.shield(self._closed)
        self._thread.join()

    # -- jobs -------------------------------------------------------------------------------------

    def append(self, entry: Entry) -> None:
        """Store an entry; what becomes of it is told to `on_entry`. Raises Refusal when too many
        wait, or too big ones. Only entries are refused for that: the other jobs are bounded by the
        number of clients, and somebody who joins again waits rather than tries again."""
        size = entry.size
        too_much = self._bytes_waiting and self._bytes_waiting + size > WAITING_BYTES
        if self._accepting and (self._entries_waiting >= self._bound or too_much):
            raise Refusal("unavailable", "too much waits for the disk", retry_after=RETRY_AFTER)
        self._admit()
        self._entries_waiting += 1
        self._bytes_waiting += size
        self._jobs.put(entry)

    async def write(self, run: Callable[[Tables], T], hook: Callable[[T], None] | None = None) -> T:
        """Run in the thread, within the next transaction. `hook` is called on the event loop in
        the order of all results, even when the caller no longer waits."""
        waiter: asyncio.Future[T] = self._loop.create_future()

        def done(result: T) -> None:
            if hook is not None:
                hook(result)
            if not waiter.done():
                waiter.set_result(result)

        self.post(run, done=done, failed=_refuse(waiter))
        return await waiter

    async def read(self, run: Callable[[Tables], T], hook: Callable[[T], None] | None = None) -> T:
        """Run in the thread, after the next transaction; works while nothing can be written.
        `hook` as in `write`."""
        waiter: asyncio.Future[T] = self._loop.create_future()

        def done(result: T) -> None:
            if hook is not None:
                hook(result)
            if not waiter.done():
                waiter.set_result(result)

        self.post(run, done=done, failed=_refuse(waiter), writes=False)
        return await waiter

    def post(
        self,
        run: Callable[[Tables], T],
        *,
        done: Callable[[T], None] = lambda _: None,
        failed: Callable[[Refusal], None] = lambda _: None,
        writes: bool = True,
    ) -> None:
        """Like `write` and `read`, without waiting. One of the callbacks is called later, unless a
        Refusal is raised now."""
        self._admit()
        self._jobs.put(Call(run, done, failed, writes=writes))

    def probe(self) -> None:
        """Find out whether the store can be written again; `trouble` will say so."""
        damaged = self._writer is not None and self._writer.damage is not None
        if self._probing or damaged or not self._accepting:
            return
        self._probing = True
        self._waiting += 1
        self._jobs.put(Call(_fill, self._filled, self._probed, writes=True))

    def stats(self) -> dict[str, float]:
        writer = self._writer
        return {
            "store_jobs_waiting": self._waiting,
            "store_bytes_waiting": self._bytes_waiting,
            "store_batches_total": writer.batches if writer else 0,
            "store_messages_total": writer.messages if writer else 0,
            "store_busy_seconds_total": writer.busy if writer else 0.0,
        }

    def _admit(self) -> None:
        if not self._accepting:
            raise Refusal("unavailable", "the store is closed", retry_after=RETRY_AFTER)
        self._waiting += 1

    def _filled(self, _: None) -> None:
        # In a second transaction: within one, the bytes would never have gone to the disk.
        if self._accepting:
            self._waiting += 1
            self._jobs.put(Call(_empty, self._probed, self._probed, writes=True))

    def _probed(self, _: object) -> None:
        self._probing = False

    # -- results, on the event loop ---------------------------------------------------------------

    def _deliver(self, batch: Batch) -> None:
        self._deliveries.extend(batch.entries)
        self._deliveries.append(batch)
        self._deliveries.extend(batch.writes)
        self._deliveries.extend(batch.reads)
        if not self._delivering:
            self._hand_out()

    def _hand_out(self) -> None:
        self._delivering = True
        deliveries = self._deliveries
        until = self._loop.time() + _SLICE
        while deliveries:
            result = deliveries.popleft()
            try:
                if isinstance(result, Entry):
                    self._waiting -= 1
                    self._entries_waiting -= 1
                    self._bytes_waiting -= result.size
                    self._on_entry(result)
                elif isinstance(result, Call):
                    self._waiting -= 1
                    _finish(result)
                else:
                    self._take_stock(result)
            except Exception:  # the results behind it have others who wait
                log.exception("a result of the store could not be handed out")
            if self._loop.time() > until:
                self._loop.call_soon(self._hand_out)
                return
        self._delivering = False
        if self._ended and not self._closed.done():
            self._closed.set_result(None)

    def _take_stock(self, batch: Batch) -> None:
        for room, first in batch.firsts.items():
            self._on_first(room, first)
        if batch.trouble == self.trouble:
            return
        self.trouble = batch.trouble
        if batch.trouble is None:
            log.warning("the store works again")
        else:
            log.error("the store cannot be used: %s", batch.trouble)

    def _end(self) -> None:
        self._ended = True
        if not self._delivering:
            self._hand_out()

    # -- the thread -------------------------------------------------------------------------------

    def _main(self, opened: asyncio.Future[str]) -> None:
        try:
            file = StoreFile(self._path, full=self._full)
        except Exception as error:  # whoever waits for the opening is told
            if not isinstance(error, StoreError):
                log.exception("the store could not be opened")
                error = StoreError(f"{self._path} cannot be opened: {error!r}")
            self._to_loop(_set_exception, opened, error)
            return
        try:
            tables = Tables(file.connection, dedup_window=self._dedup_window, watcher=self._watcher)
            self._writer = Writer(tables)
            if self._to_loop(_set_result, opened, tables.epoch):
                self._work(self._writer)
        except sqlite3.Error as error:
            failure = StoreError(f"{self._path} cannot be read: {error}")
            self._to_loop(_set_exception, opened, failure)
        finally:
            try:
                file.close()
            except sqlite3.Error as error:
                # Whatever was committed is in the write-ahead log and is found there next time.
                log.warning("the store's log could not be written back: %s", error)
            self._to_loop(self._end)

    def _work(self, writer: Writer) -> None:
        while True:
            batch = Batch()
            batch.add(self._jobs.get())
            try:
                while True:
                    batch.add(self._jobs.get_nowait())
            except Empty:
                pass
            writer.work(batch)
            if not self._to_loop(self._deliver, batch) or batch.last:
                return

    def _to_loop(self, callback: Callable[..., None], *args: Any) -> bool:
        """False: the event loop is gone, so nobody waits for anything."""
        try:
            self._loop.call_soon_threadsafe(callback, *args)
        except RuntimeError:
            return False
        return True


def _finish(call: Call) -> None:
    if call.problem is None:
        try:
            call.done(call.result)
        except Exception:  # whoever waits is told
            log.exception("a result of the store could not be used")
            call.problem = "internal"
        else:
            return
    call.failed(refusal(call.problem))


def _refuse(waiter: asyncio.Future[T]) -> Callable[[Refusal], None]:
    return lambda reason: _set_exception(waiter, reason)


def _set_result(waiter: asyncio.Future[T], result: T) -> None:
    if not waiter.done():
        waiter.set_result(result)


def _set_exception(waiter: asyncio.Future[T], error: Exception) -> None:
    if not waiter.done():
        waiter.set_exception(error)


def _fill(tables: Tables) -> None:
    tables.connection.execute(
        "INSERT OR REPLACE INTO meta (name, value) VALUES ('probe', zeroblob(?))", (_PROBE_BYTES,)
    )


def _empty(tables: Tables) -> None:
    tables.connection.execute("DELETE FROM meta WHERE name = 'probe'")
