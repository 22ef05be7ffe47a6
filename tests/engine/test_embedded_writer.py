"""What a failure means: the disk's refuses a transaction, any other only the job that caused it."""

import logging
import sqlite3
from collections.abc import Iterator

import pytest

from sioserver.engine import embedded_pages as pages
from sioserver.engine.embedded_entries import Append
from sioserver.engine.embedded_file import StoreFile
from sioserver.engine.embedded_tables import Tables
from sioserver.engine.embedded_writer import Batch, Call, Writer
from sioserver.engine.tail import TAIL_BYTES
from sioserver.model import User

from .conftest import draft


@pytest.fixture
def tables() -> Iterator[Tables]:
    file = StoreFile(":memory:", full=False)
    yield Tables(file.connection, dedup_window=100)
    file.close()


@pytest.fixture
def writer(tables: Tables) -> Writer:
    return Writer(tables)


def append(id: str, user: User | None = None) -> Append:
    made = draft(id) if user is None else draft(id, user)
    return Append("a", made, b"\xc0", 99, 0)


def call(run: object, *, writes: bool = True) -> Call:
    def never(_: object) -> None:
        raise AssertionError("the writer calls nobody back")

    return Call(run, never, never, writes=writes)  # type: ignore[arg-type]


def batch(*jobs: Append | Call | None) -> Batch:
    made = Batch()
    for job in jobs:
        made.add(job)
    return made


def top(tables: Tables) -> int:
    return pages.load(tables, "a", 1, TAIL_BYTES).top


def broken(_: Tables) -> None:
    raise KeyError("planted")


def full(tables: Tables) -> None:
    tables.connection.execute("PRAGMA query_only = 1")
    tables.connection.execute("DELETE FROM meta")


def test_a_batch_is_one_transaction_and_reads_see_it(writer: Writer, tables: Tables) -> None:
    statements: list[str] = []
    tables.connection.set_trace_callback(statements.append)
    seen, written = call(top, writes=False), call(top)
    done = batch(seen, append("m1"), written, append("m2"), None)
    writer.work(done)
    tables.connection.set_trace_callback(None)
    assert [s for s in statements if s in ("BEGIN IMMEDIATE", "COMMIT")] == [
        "BEGIN IMMEDIATE",
        "COMMIT",
    ]
    assert (seen.result, written.result) == (2, 2)
    assert done.last
    assert done.firsts == {"a": 1}
    assert (writer.batches, writer.messages) == (1, 2)


def test_reads_alone_open_no_transaction(writer: Writer, tables: Tables) -> None:
    statements: list[str] = []
    tables.connection.set_trace_callback(statements.append)
    writer.work(batch(call(top, writes=False)))
    assert not [s for s in statements if s.startswith("BEGIN")]


def test_a_failing_disk_refuses_the_batch_and_reads_go_on(writer: Writer, tables: Tables) -> None:
    writer.work(batch(append("m1")))
    jobs = [append("m2"), call(full), append("m3"), call(top, writes=False)]
    failed = batch(*jobs)
    writer.work(failed)
    assert [job.problem for job in jobs] == ["unavailable"] * 3 + [None]
    assert isinstance(jobs[3], Call)
    assert jobs[3].result == 1
    assert failed.trouble is not None
    assert "readonly" in failed.trouble

    tables.connection.execute("PRAGMA query_only = 0")
    read_only = batch(call(top, writes=False))
    writer.work(read_only)
    assert read_only.trouble == failed.trouble  # nothing has shown yet that it works again
    later = batch(append("m4"))
    writer.work(later)
    assert later.trouble is None
    assert later.entries[0].offset == 2


def test_one_bad_job_does_not_fail_its_neighbours(
    writer: Writer, tables: Tables, caplog: pytest.LogCaptureFixture
) -> None:
    poison = append("m2", User("\ud800", "no text"))
    jobs = [append("m1"), poison, append("m3"), append("m1"), call(broken), call(top)]
    with caplog.at_level(logging.ERROR):
        writer.work(batch(*jobs))
    assert [job.problem for job in jobs] == [None, "internal", None, None, "internal", None]
    offsets = [(job.offset, job.duplicate) for job in jobs[:4] if isinstance(job, Append)]
    assert offsets[0] == (1, False)
    assert offsets[2:] == [(2, False), (1, True)]
    assert isinstance(jobs[5], Call)
    assert jobs[5].result == 2
    assert len(caplog.records) == 2
    assert all(record.exc_info for record in caplog.records)


def test_a_read_that_fails_is_the_only_one(
    writer: Writer, caplog: pytest.LogCaptureFixture
) -> None:
    bad, good = call(broken, writes=False), call(top, writes=False)
    done = batch(bad, good, append("m"))
    writer.work(done)
    assert (bad.problem, good.problem, good.result) == ("internal", None, 1)
    assert done.trouble is None
    assert "planted" in caplog.text


def test_after_a_failure_the_log_is_begun_anew(
    writer: Writer,
    tables: Tables,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    begun = []

    def checkpoint() -> None:
        begun.append(pages.load(tables, "a", 1, TAIL_BYTES).top)
        raise sqlite3.OperationalError("planted")

    monkeypatch.setattr(tables, "checkpoint", checkpoint)
    writer.work(batch(append("m1")))
    writer.work(batch(call(full)))
    assert begun == []
    tables.connection.execute("PRAGMA query_only = 0")
    recovered = batch(append("m2"))
    writer.work(recovered)
    assert begun == [2]
    assert (recovered.entries[0].problem, recovered.trouble) == (None, None)
    assert "planted" in caplog.text
    writer.work(batch(append("m3")))
    assert begun == [2]


def test_damage_is_not_forgotten(
    writer: Writer, tables: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer.work(batch(append("m1"), append("m2"), append("m3")))
    tables.connection.execute("DELETE FROM message WHERE offset = 2")
    bad = call(lambda t: pages.load(t, "a", 9, TAIL_BYTES), writes=False)
    found = batch(bad)
    writer.work(found)
    assert bad.problem == "unavailable"
    later = batch(append("m4"))
    writer.work(later)
    assert later.entries[0].problem is None
    assert later.trouble == found.trouble == writer.damage
    monkeypatch.setattr(tables, "checkpoint", broken)  # not for each write that works
    last = batch(append("m5"))
    writer.work(last)
    assert last.entries[0].problem is None
    assert "damaged" in (later.trouble or "")


@pytest.mark.parametrize("change", ["body = x'c1'", "name = CAST(x'ff' AS TEXT)"])
def test_what_cannot_be_decoded_is_damage(writer: Writer, tables: Tables, change: str) -> None:
    writer.work(batch(append("m1")))
    tables.connection.execute(f"UPDATE message SET {change}")
    bad = call(lambda t: pages.load(t, "a", 9, TAIL_BYTES), writes=False)
    writer.work(batch(bad))
    assert bad.problem == "unavailable"
    assert writer.damage is not None


def test_whatever_happens_each_job_has_an_answer(
    writer: Writer,
    tables: Tables,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail() -> None:
        raise RuntimeError("planted")

    monkeypatch.setattr(tables, "begin", fail)
    monkeypatch.setattr(tables, "rollback", fail)
    jobs = [append("m1"), call(top), call(top, writes=False)]
    writer.work(batch(*jobs))
    assert [job.problem for job in jobs] == ["internal"] * 3
    assert "planted" in caplog.text


def test_a_rollback_that_fails_is_made_up_for(
    writer: Writer, tables: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise sqlite3.OperationalError("planted")

    with monkeypatch.context() as patch:
        patch.setattr(tables, "rollback", fail)
        broken_job = call(broken)
        writer.work(batch(broken_job))
    assert tables.connection.in_transaction
    tables.rollback()
    writer.work(batch(append("m1")))
    assert top(tables) == 1
