"""The journal: order of results, bounds, and what becomes of jobs when the disk fails."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from sioserver.engine import embedded_pages as pages
from sioserver.engine.base import StoreError
from sioserver.engine.embedded_entries import Append
from sioserver.engine.embedded_store import WAITING_BYTES, Journal
from sioserver.engine.embedded_tables import Tables
from sioserver.engine.tail import TAIL_BYTES
from sioserver.errors import Refusal

from .conftest import draft

Make = Callable[..., "Book"]


class Book(Journal):
    """A journal that writes down what it hands out."""

    def __init__(self, path: str | Path, **options: Any) -> None:
        self.out: list[Any] = []
        super().__init__(
            path,
            full=False,
            dedup_window=100,
            queue=options.pop("queue", 1000),
            on_entry=lambda append: self.out.append(append.problem or append.offset),
            on_first=lambda room, first: self.out.append((room, first)),
        )

    async def pragma(self, text: str) -> None:
        await self.read(lambda tables: tables.connection.execute(f"PRAGMA {text}").fetchall())


@pytest.fixture
async def make(tmp_path: Path) -> AsyncIterator[Make]:
    made: list[Book] = []

    async def make(path: str | Path = tmp_path / "rooms.db", **options: Any) -> Book:
        book = Book(path, **options)
        made.append(book)
        await book.start()
        return book

    yield make
    for book in made:
        await book.stop()


def append(id: str, *, length: int = 999, body: bytes = b"\xc0") -> Append:
    return Append("a", draft(id), body, length, 0)


def top(tables: Tables) -> int:
    return pages.load(tables, "a", 1, TAIL_BYTES).top


async def test_results_come_in_order(make: Make) -> None:
    book = await make()
    book.post(lambda _: "read", done=book.out.append, writes=False)
    book.post(lambda _: "write", done=book.out.append)
    for n in range(3):
        book.append(append(f"m{n}"))
    assert await book.read(top) == 3
    assert book.out == [1, 2, 3, ("a", 1), "write", "read"]


async def test_one_call_for_a_batch(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    book = await make()
    loop = asyncio.get_running_loop()
    calls = []
    original = loop.call_soon_threadsafe

    def count(callback: Any, *args: Any, **more: Any) -> Any:
        calls.append(callback)
        return original(callback, *args, **more)

    monkeypatch.setattr(loop, "call_soon_threadsafe", count)
    before = book.stats()["store_batches_total"]
    for n in range(500):
        book.append(append(f"m{n}"))
    await book.write(lambda _: None)
    assert len(calls) == book.stats()["store_batches_total"] - before <= 5
    assert book.stats()["store_messages_total"] == 500


async def test_the_queue_has_a_bound(make: Make) -> None:
    book = await make(queue=10)
    for n in range(10):
        book.append(append(f"m{n}"))
    for _ in range(2):
        with pytest.raises(Refusal) as refused:
            book.append(append("too-much"))
        assert (refused.value.code, refused.value.retry_after) == ("unavailable", 1)
    assert await book.read(top) == 10  # only appends are refused
    await book.stop()
    assert [n for n in book.out if isinstance(n, int)] == list(range(1, 11))
    assert book.stats()["store_jobs_waiting"] == 0


async def test_waiting_bytes_have_a_bound(make: Make) -> None:
    book = await make()
    big = b"x" * (WAITING_BYTES // 4 + 1)
    for n in range(3):
        book.append(append(f"m{n}", body=big))
    with pytest.raises(Refusal) as refused:
        book.append(append("too-much", body=big))
    assert (refused.value.code, refused.value.retry_after) == ("unavailable", 1)
    book.append(append("small"))
    assert book.stats()["store_bytes_waiting"] == 3 * len(big) + 1
    await book.write(lambda _: None)
    assert book.stats()["store_bytes_waiting"] == 0
    book.append(append("alone", body=b"x" * (WAITING_BYTES + 1)))
    await book.write(lambda _: None)
    assert [n for n in book.out if isinstance(n, int)] == [1, 2, 3, 4, 5]


async def test_a_big_batch_does_not_hold_the_loop(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    book = await make()
    times = count()  # without an end: the thread may take its time
    loop = asyncio.get_running_loop()
    for n in range(100):
        book.append(append(f"m{n}"))
    turns = 0  # in which something came out; while the thread writes there are any number
    with monkeypatch.context() as patch:
        patch.setattr(loop, "time", lambda: float(next(times)))  # each look is a second later
        while (out := len(book.out)) < 100:
            await asyncio.sleep(0)
            turns += len(book.out) > out
    assert turns > 90
    assert book.out[:100] == list(range(1, 101))


async def test_after_the_stop_nothing_is_accepted(make: Make) -> None:
    book = await make()
    book.append(append("m"))
    await asyncio.gather(book.stop(), book.stop())
    assert book.out[0] == 1
    with pytest.raises(Refusal):
        book.append(append("n"))
    with pytest.raises(Refusal):
        await book.write(top)
    book.probe()


async def test_stopping_what_was_never_started() -> None:
    await Book(":memory:").stop()


async def test_a_store_that_cannot_be_opened(make: Make, tmp_path: Path) -> None:
    first = await make()
    book = Book(tmp_path / "rooms.db")
    with pytest.raises(StoreError, match="in use"):
        await book.start()
    await book.stop()
    first.append(append("m"))
    assert await first.read(top) == 1


async def test_an_unexpected_failure_at_the_start(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("planted")

    monkeypatch.setattr("sioserver.engine.embedded_store.StoreFile", fail)
    with pytest.raises(StoreError, match="planted"):
        await Book(":memory:").start()
    assert "planted" in caplog.text


async def test_a_store_whose_tables_cannot_be_read(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise __import__("sqlite3").DatabaseError("planted")

    with monkeypatch.context() as patch:
        patch.setattr("sioserver.engine.embedded_store.Tables", fail)
        with pytest.raises(StoreError, match="planted"):
            await Book(tmp_path / "rooms.db").start()
    await make()  # it let go of the file


def test_a_loop_that_went_away_without_a_stop(tmp_path: Path) -> None:
    async def run() -> Book:
        book = Book(tmp_path / "rooms.db")
        await book.start()
        return book

    book = asyncio.run(run())
    book._jobs.put(append("m"))
    assert book._thread is not None
    book._thread.join(10)
    assert not book._thread.is_alive()

    async def read() -> int:
        again = Book(tmp_path / "rooms.db")
        await again.start()
        found = await again.read(top)
        await again.stop()
        return found

    assert asyncio.run(read()) == 1


async def test_a_start_that_is_cancelled_lets_go(tmp_path: Path, make: Make) -> None:
    book = Book(tmp_path / "rooms.db")
    task = asyncio.create_task(book.start())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert book._thread is not None
    await asyncio.to_thread(book._thread.join)
    await make()


async def test_a_hook_runs_though_the_caller_has_gone(make: Make) -> None:
    book = await make()
    task = asyncio.create_task(book.write(lambda _: "done", book.out.append))
    await asyncio.sleep(0)
    task.cancel()
    await book.read(top)
    assert book.out == ["done"]
    assert task.cancelled()


async def test_a_hook_that_fails_is_told_to_its_caller(
    make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    book = await make()

    def fail(_: object) -> None:
        raise KeyError("planted")

    with pytest.raises(Refusal) as refused:
        await book.write(lambda _: None, fail)
    assert refused.value.code == "internal"
    assert "planted" in caplog.text
    assert await book.read(top) == 0


async def test_an_unexpected_failure_is_internal_and_logged(
    make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    book = await make()
    for run in (book.write, book.read):
        with pytest.raises(Refusal) as refused:
            await run(lambda _: 1 / 0)
        assert refused.value.code == "internal"
    assert caplog.text.count("ZeroDivisionError") == 2
    assert book.trouble is None


async def test_a_full_disk(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    book = await make()
    book.append(append("m1"))
    await book.pragma("max_page_count = 1")
    big = b"\xc6\x00\x01\x00\x00" + bytes(65_536)
    for n in range(3):
        book.append(append(f"lost{n}", body=big))
    with pytest.raises(Refusal) as refused:
        await book.write(lambda _: None)
    assert (refused.value.code, refused.value.temporary) == ("unavailable", True)
    assert book.out == [1, ("a", 1), *["unavailable"] * 3]
    assert "full" in (book.trouble or "")
    assert await book.read(top) == 1

    book.probe()
    book.probe()
    await book.read(top)
    assert book.trouble is not None

    await book.pragma("max_page_count = 1073741823")
    book.probe()
    while book.trouble is not None:
        await book.read(top)
    book.append(append("m2"))
    await book.read(top)
    assert book.out[-2] == 2
    assert [record.levelname for record in caplog.records] == ["ERROR", "WARNING"]
    assert await book.read(
        lambda t: t.connection.execute("SELECT count(*) FROM meta").fetchone()[0]
    ) == 1  # fmt: skip


async def test_a_later_write_finds_the_store_recovered(make: Make) -> None:
    book = await make()
    await book.pragma("query_only = 1")
    book.append(append("m1"))
    await book.read(top)
    assert "readonly" in (book.trouble or "")
    await book.pragma("query_only = 0")
    book.append(append("m1"))
    await book.read(top)
    assert book.trouble is None
    assert book.out == ["unavailable", 1, ("a", 1)]


async def test_a_damaged_store_is_not_probed(make: Make) -> None:
    book = await make(":memory:")
    book.append(append("m1"))
    await book.write(lambda t: t.connection.execute("DELETE FROM message"))
    with pytest.raises(Refusal):
        await book.read(lambda t: pages.load(t, "a", 9, TAIL_BYTES))
    book.probe()
    assert book.stats()["store_jobs_waiting"] == 0
    assert "damaged" in (book.trouble or "")
