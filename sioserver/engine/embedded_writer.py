"""What the embedded engine's thread does with a batch of jobs, and what a failure of it means.

Everything that writes goes into one transaction; the reads come after it. A failure of the disk
refuses the whole transaction; any other failure is pinned on the one job that causes it. It knows
neither the thread it runs in nor the event loop.
"""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec

from sioserver.engine.embedded_entries import Append, Entry, Operate
from sioserver.engine.embedded_operations import operate
from sioserver.engine.embedded_tables import Damaged, Tables
from sioserver.errors import Refusal

log = logging.getLogger(__name__)

_DAMAGED: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_UNUSABLE: Final = _DAMAGED | {
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_PROTOCOL,
}
"""Result codes that speak of the disk, not of the statement."""


class Call:
    """A function to be run on the tables; then one of the callbacks is called on the loop."""

    __slots__ = ("done", "failed", "problem", "result", "run", "writes")

    def __init__(
        self,
        run: Callable[[Tables], Any],
        done: Callable[[Any], None],
        failed: Callable[[Refusal], None],
        *,
        writes: bool,
    ) -> None:
        self.run = run
        self.done = done
        self.failed = failed
        self.writes = writes
        self.result: Any = None
        self.problem: str | None = None
        """The code of a refusal."""


class Batch:
    """Jobs that were taken from the queue in one go, and what became of them."""

    __slots__ = ("entries", "firsts", "last", "reads", "trouble", "writes")

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.writes: list[Call] = []
        self.reads: list[Call] = []
        self.last = False
        """Nothing comes after it."""
        self.firsts: dict[str, int] = {}
        """By room: the offset with which the log begins now, where the log has changed."""
        self.trouble: str | None = None
        """Why the store cannot be used, as of this batch."""

    def add(self, job: Entry | Call | None) -> None:
        """`None` says that there will be no more."""
        if job is None:
            self.last = True
        elif isinstance(job, Entry):
            self.entries.append(job)
        elif job.writes:
            self.writes.append(job)
        else:
            self.reads.append(job)


class Writer:
    """Works off batches, and remembers from one to the next what is wrong with the store."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._trouble: str | None = None
        self.damage: str | None = None
        """What is wrong with the file for good; writing may go on all the same."""
        # Totals.
        self.batches = 0
        self.messages = 0
        self.busy = 0.0
        """Seconds."""

    def work(self, batch: Batch) -> None:
        """Do all jobs of the batch; whatever happens, each has a result or a problem after it."""
        started = time.perf_counter()
        try:
            if batch.entries or batch.writes:
                self._write(batch.entries, batch.writes, batch.firsts)
            for call in batch.reads:
                self._read(call)
        except Exception:  # each job is told; the thread goes on
            log.exception("the store's thread failed unexpectedly")
            for job in _jobs(batch.entries, [*batch.writes, *batch.reads]):
                job.problem = job.problem or "internal"
        batch.trouble = self._trouble
        self.batches += 1
        self.busy += time.perf_counter() - started

    def _write(
        self, entries: Sequence[Entry], writes: Sequence[Call], firsts: dict[str, int]
    ) -> None:
        tables = self._tables
        try:
            tables.begin()
            self._enter(entries)
            for call in writes:
                call.result = call.run(tables)
            firsts.update(tables.commit())
        except Exception as error:  # each job is told, or tried alone
            self._undo()
            if self._is_disk_failure(error):
                for job in _jobs(entries, writes):
                    job.problem = "unavailable"
            elif len(entries) + len(writes) == 1:
                log.error("a write failed unexpectedly", exc_info=error)
                for job in _jobs(entries, writes):
                    job.problem = "internal"
            else:  # one bad job must not fail its neighbours: each in a transaction of its own
                for entry in entries:
                    self._write([entry], [], firsts)
                for call in writes:
                    self._write([], [call], firsts)
        else:
            self.messages += len(entries)
            if self._trouble != self.damage:
                self._recover()

    def _enter(self, entries: Sequence[Entry]) -> None:
        """In their order: the drafts between two operations are one lot."""
        drafts: list[Append] = []
        for entry in entries:
            if isinstance(entry, Append):
                drafts.append(entry)
            elif isinstance(entry, Operate):
                self._tables.append(drafts)
                drafts = []
                operate(self._tables, entry)
        self._tables.append(drafts)

    def _recover(self) -> None:
        """A write has worked again: forget what was wrong, and what failed attempts have left in
        the log, lest it be taken for damage after a crash."""
        self._trouble = self.damage
        try:
            self._tables.checkpoint()
        except sqlite3.Error as error:
            log.warning("the store's log could not be written back: %s", error)

    def _read(self, call: Call) -> None:
        try:
            call.result = call.run(self._tables)
        except Exception as error:  # whoever reads is told
            if self._is_disk_failure(error):
                call.problem = "unavailable"
            else:
                log.exception("a read failed unexpectedly")
                call.problem = "internal"

    def _undo(self) -> None:
        try:
            self._tables.rollback()
        except sqlite3.Error:
            log.exception("a transaction could not be rolled back")

    def _is_disk_failure(self, error: Exception) -> bool:
        """Is it the disk or the file? Then remember what is wrong with it."""
        unreadable = type(error) is sqlite3.OperationalError and "decode" in str(error)
        if unreadable or isinstance(error, Damaged | msgspec.DecodeError | UnicodeDecodeError):
            code = sqlite3.SQLITE_CORRUPT
        elif isinstance(error, sqlite3.Error):
            code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
        else:
            return False
        if code in _DAMAGED:
            self.damage = f"the store is damaged ({error}): stop the server and restore a backup"
            self._trouble = self.damage
        elif code in _UNUSABLE:
            self._trouble = str(error)
        return code in _UNUSABLE


def _jobs(entries: Sequence[Entry], calls: Sequence[Call]) -> list[Entry | Call]:
    return [*entries, *calls]
