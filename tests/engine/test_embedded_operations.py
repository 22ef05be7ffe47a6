"""Operations straight on the tables, beside what test_contract_operations.py says of engines."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from sioserver.engine import embedded_pages as pages
from sioserver.engine.embedded_entries import NOT_FOUND, NOT_THEIRS, Append, Operate
from sioserver.engine.embedded_file import StoreFile
from sioserver.engine.embedded_operations import operate
from sioserver.engine.embedded_tables import TRIM_EVERY, Rule, Tables
from sioserver.model import Operation

from .conftest import BEN, delete, draft, edit, react

AT = 1_700_000_000_000
encode = msgspec.msgpack.encode


@pytest.fixture
def tables() -> Iterator[Tables]:
    file = StoreFile(":memory:", full=False)
    yield Tables(file.connection, dedup_window=100)
    file.close()


def post(tables: Tables, *bodies: Any, length: int = 1000, **more: Any) -> None:
    tables.begin()
    tables.append([
        Append("a", draft(f"m{n}", again=False, **more), encode(body), length, 0)
        for n, body in enumerate(bodies)
    ])  # fmt: skip
    tables.commit()


def do(tables: Tables, operation: Operation, *, least: int = 1, length: int = 1000) -> Operate:
    body = encode(operation.body) if operation.kind == "edit" else b""
    job = Operate("a", operation, body, length, 0, least=least)
    tables.begin()
    operate(tables, job)
    tables.commit()
    return job


def trim(tables: Tables, length: int) -> None:
    tables.begin()
    tables.apply([Rule("a", length, 0)], AT / 1000)
    tables.commit()


def everything(tables: Tables) -> str:
    """All that the file holds of messages."""
    found = [tables.connection.execute(f"SELECT * FROM {name}").fetchall() for name in _TABLES]
    return repr(found)


_TABLES = ("message", "fold")


def count(tables: Tables, table: str) -> int:
    found: int = tables.connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
    return found


def test_what_a_message_said_before_is_kept_nowhere(tables: Tables) -> None:
    post(tables, "the first", "another", mentions=("somebody",), reply_to="m9")
    assert "the first" in everything(tables)
    do(tables, edit("the second", 1))
    assert "the first" not in everything(tables)
    do(tables, edit("the third", 1))
    assert "the second" not in everything(tables)
    do(tables, react("thumb", 1))
    assert "the third" in everything(tables)
    do(tables, delete(1))
    do(tables, delete(2))
    for word in ("the third", "somebody", "another"):
        assert word not in everything(tables)
    assert "m9" in everything(tables)


def test_a_transaction_that_fails_changes_nothing(tables: Tables) -> None:
    post(tables, "hi")
    before = everything(tables)
    job = Operate("a", edit("new", 1), encode("new"), 1000, 0)
    tables.begin()
    operate(tables, job)
    assert (job.offset, job.problem) == (2, None)
    tables.rollback()
    assert everything(tables) == before
    tables.begin()
    operate(tables, job)  # tried for a second time
    tables.commit()
    assert (job.offset, job.target, job.duplicate, job.problem) == (2, 1, False, None)
    assert [one.body for one in pages.page(tables, "a", None, None, 9).messages] == ["new"]


def test_a_job_that_is_tried_again_forgets_what_was_wrong(tables: Tables) -> None:
    post(tables, "hi")
    job = Operate("a", edit("new", 2), encode("new"), 1000, 0)
    tables.begin()
    operate(tables, job)
    assert job.problem == NOT_FOUND
    tables.rollback()
    post(tables, "second")
    tables.begin()
    operate(tables, job)
    tables.commit()
    assert (job.problem, job.target) == (None, 2)


def test_what_is_refused_does_not_touch_the_room(tables: Tables) -> None:
    post(tables, "hi")
    for operation, problem in (
        (edit("new", 1, by=BEN), NOT_THEIRS),
        (edit("new", 2), NOT_FOUND),
        (edit("hi", 1), None),
    ):
        job = Operate("a", operation, encode(operation.body), 1000, 0)
        tables.begin()
        operate(tables, job)
        assert job.problem == problem
        assert tables.commit() == {}
    assert (count(tables, "message"), count(tables, "fold")) == (1, 0)


def test_what_is_as_good_as_deleted_is_not_found(tables: Tables) -> None:
    post(tables, "one", "two")
    assert do(tables, delete(1), least=2).problem == NOT_FOUND
    assert do(tables, delete(id="m0"), least=2).problem == NOT_FOUND
    assert do(tables, delete(2), least=2).problem is None


def test_the_folds_go_with_the_last_that_was_said_of_a_message(tables: Tables) -> None:
    post(tables, "one", "two", "three")
    do(tables, edit("new", 1))  # 4
    do(tables, react("x", 3))  # 5
    do(tables, react("y", 3))  # 6
    assert count(tables, "fold") == 2
    left = []
    for length in (6, 3, 2, 1, 0):
        trim(tables, length)
        left.append((count(tables, "message"), count(tables, "fold")))
    assert left == [(6, 2), (3, 2), (2, 1), (1, 1), (0, 0)]

    post(tables, "last")
    top = pages.page(tables, "a", None, None, 0).top.offset
    do(tables, edit("new", top), length=0)
    assert (count(tables, "message"), count(tables, "fold")) == (0, 0)


def test_folds_stay_for_edits_that_outlive_their_message(tables: Tables) -> None:
    post(tables, "one", "two")
    do(tables, edit("new", 1))
    do(tables, edit("newer", 1))
    trim(tables, 3)
    assert (count(tables, "message"), count(tables, "fold")) == (3, 1)
    page = pages.page(tables, "a", None, None, 9, ops=True)
    assert [(one.kind, one.body) for one in page.messages] == [
        ("message", "two"), ("edit", "newer"), ("edit", "newer"),
    ]  # fmt: skip


def test_operations_trim_too(tables: Tables) -> None:
    post(tables, *["x"] * 10, length=10)
    for n in range(2 * TRIM_EVERY):
        do(tables, react("x", 10, on=not n % 2), length=10)
        if n and n % TRIM_EVERY == 0:
            post(tables, "x", length=10)  # else there would soon be no message to react to
    assert count(tables, "message") <= 10 + TRIM_EVERY
