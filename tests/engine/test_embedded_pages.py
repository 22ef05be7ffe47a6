"""Reading, straight on the tables, beside what the contract says of every engine."""

from __future__ import annotations

import random
from collections.abc import Iterator

import msgspec
import pytest

from sioserver.engine import embedded_pages as pages
from sioserver.engine.embedded_entries import Append, Operate
from sioserver.engine.embedded_file import StoreFile
from sioserver.engine.embedded_operations import operate
from sioserver.engine.embedded_tables import Damaged, Tables
from sioserver.engine.tail import TAIL_BYTES, Tail

from .conftest import delete, draft, edit, react

encode = msgspec.msgpack.encode


@pytest.fixture
def tables() -> Iterator[Tables]:
    file = StoreFile(":memory:", full=False)
    tables = Tables(file.connection, dedup_window=100)
    tables.begin()
    yield tables
    tables.commit()
    file.close()


def post(tables: Tables, count: int, body: str = "hi") -> None:
    tables.append([
        Append("a", draft(f"m{n}", again=False), encode(body), 99_999, 0) for n in range(count)
    ])  # fmt: skip


def do(tables: Tables, *operations: pages.Any) -> None:
    for operation in operations:
        body = encode(operation.body) if operation.kind == "edit" else b""
        operate(tables, Operate("a", operation, body, 99_999, 0))


def test_missing_rows_are_noticed(tables: Tables) -> None:
    post(tables, 5)
    do(tables, react("x", 1))
    tables.connection.execute("DELETE FROM message WHERE offset = 3")
    for ops in (False, True):
        with pytest.raises(Damaged):
            pages.page(tables, "a", None, None, 9, ops=ops)
    with pytest.raises(Damaged):
        pages.number_at(tables, tables.touch("a"), 3)


def test_missing_folds_are_noticed(tables: Tables) -> None:
    post(tables, 2)
    do(tables, edit("new", 1))
    tables.connection.execute("DELETE FROM fold")
    with pytest.raises(Damaged):
        pages.page(tables, "a", None, None, 9)


def test_a_page_looks_at_so_many_entries(tables: Tables, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "SCAN", 10)
    post(tables, 3)
    do(tables, *(react("x", 1, on=not n % 2) for n in range(25)))
    post(tables, 2)
    newest = pages.page(tables, "a", None, None, 5)
    assert [one.offset for one in newest.messages] == [29, 30]
    assert (newest.start, newest.end) == (21, 31)
    nothing = pages.page(tables, "a", None, newest.start, 5)
    assert (nothing.messages, nothing.start, nothing.end) == ([], 11, 21)
    oldest = pages.page(tables, "a", None, nothing.start, 5)
    assert [one.offset for one in oldest.messages] == [1, 2, 3]
    assert (oldest.start, oldest.end) == (1, 11)
    forward = pages.page(tables, "a", 2, None, 5)
    assert [one.offset for one in forward.messages] == [3]
    assert (forward.start, forward.end) == (3, 13)
    assert pages.page(tables, "a", 2, None, 1).end == 4


def test_numbers_of_places(tables: Tables) -> None:
    head = tables.touch("a")
    assert pages.number_at(tables, head, 0) == 0
    post(tables, 2)  # 1, 2
    do(tables, react("x", 1), react("y", 2))  # 3, 4
    post(tables, 1)  # 5
    do(tables, react("z", 1))  # 6
    assert [pages.number_at(tables, head, n) for n in range(8)] == [0, 1, 2, 2, 2, 3, 3, 3]
    for first, expected in ((2, 1), (3, 2), (5, 2), (6, 3), (7, 3)):
        tables.connection.execute("DELETE FROM message WHERE offset < ?", (first,))
        head.first = first
        assert pages.number_at(tables, head, 0) == expected


def test_the_sizes_of_what_is_loaded_are_those_of_the_bodies(tables: Tables) -> None:
    post(tables, 4, "x" * 9)
    do(tables, edit("y" * 19, 1), edit("z" * 29, 1), delete(2), react("x", 3))
    loaded = pages.load(tables, "a", 99, TAIL_BYTES)
    # the reaction is kept as {"x": ["ann"]}, and as [emoji, on, count]
    assert loaded.sizes == [30, 0, 10 + 8, 10, 30, 30, 0, 5]
    assert [one.body for one in loaded.tail] == [
        "z" * 29, None, "x" * 9, "x" * 9, "z" * 29, "z" * 29, None, None,
    ]  # fmt: skip
    assert (loaded.top, loaded.number) == (8, 4)
    assert [one.offset for one in pages.load(tables, "a", 99, 79).tail] == [4, 5, 6, 7, 8]


def test_what_is_kept_in_memory_is_what_is_read(tables: Tables) -> None:
    """A tail that was told of everything, against the tables, after whatever happened."""
    dice = random.Random(5)
    tail = Tail(0)
    for n in range(300):
        head = tables.touch("a")
        if not head.top or dice.random() < 0.4:
            post(tables, 1, f"m{n}")
        else:
            target = dice.randint(max(1, head.top - 20), head.top)
            one = dice.choice([edit(f"e{n}", target), react(dice.choice("xyz"), target)])
            do(tables, dice.choice([one, one, one, delete(target)]))
        if head.top > tail.top:
            # as it is announced: everything it says is true in the moment in which it comes
            (entry,) = pages.page(tables, "a", head.top - 1, None, 1, ops=True).messages
            tail.append(entry, 1, cached=64)
        oldest = tail.top - len(tail.tail) + 1
        page = pages.page(tables, "a", oldest - 1, None, 999, ops=True)
        assert page.messages == tail.tail
        only = pages.page(tables, "a", None, None, 9)
        known = tail.page(1, None, None, 9, ops=False)
        assert known is None or known == (only.messages, only.start, only.end)
