"""Numbering, dedup, trimming and pages, straight on the tables."""

import sqlite3
from collections.abc import Iterator

import pytest

from sioserver.engine import embedded_pages as pages
from sioserver.engine import embedded_tables
from sioserver.engine.embedded_entries import Append
from sioserver.engine.embedded_file import StoreFile
from sioserver.engine.embedded_tables import (
    PRUNE_ROWS,
    TRIM_EVERY,
    TRIM_ROWS,
    Tables,
)
from sioserver.engine.tail import TAIL_BYTES
from sioserver.model import User

from .conftest import ANN, draft

AT = 1_700_000_000_000
NULL = b"\xc0"


@pytest.fixture
def tables() -> Iterator[Tables]:
    file = StoreFile(":memory:", full=False)
    yield Tables(file.connection, dedup_window=100)
    file.close()


def new(
    id: str,
    room: str = "a",
    *,
    at: int = AT,
    length: int = 1000,
    age: float = 0,
    again: bool = True,
    user: User = ANN,
    pause: float = 0.0,
) -> Append:
    return Append(room, draft(id, user, at=at, again=again, pause=pause), NULL, length, age)


def put(tables: Tables, *appends: Append) -> dict[str, int]:
    tables.begin()
    tables.append(appends)
    return tables.commit()


def rows(tables: Tables, table: str) -> int:
    count: int = tables.connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
    return count


def test_a_batch_numbers_each_room(tables: Tables) -> None:
    appends = [new(f"m{n}", "ab"[n % 2]) for n in range(1000)]
    assert put(tables, *appends) == {"a": 1, "b": 1}
    assert [append.offset for append in appends] == [n // 2 + 1 for n in range(1000)]
    assert not any(append.duplicate for append in appends)
    assert rows(tables, "message") == rows(tables, "dedup") == 1000


def test_a_batch_knows_its_own_duplicates(tables: Tables) -> None:
    appends = [new("m"), new("n"), new("m", at=AT + 1), new("m", "b")]
    put(tables, *appends)
    assert [(a.offset, a.duplicate, a.at - AT) for a in appends] == [
        (1, False, 0), (2, False, 0), (1, True, 0), (1, False, 0),
    ]  # fmt: skip


def test_after_a_rollback_the_numbers_go_on_without_a_hole(tables: Tables) -> None:
    put(tables, new("m1"))
    tables.begin()
    lost = [new("m2"), new("m3"), new("x", "new-room")]
    tables.append(lost)
    tables.rollback()
    tables.rollback()
    later = [new("y", "other-room"), new("m4"), new("m2"), new("x", "new-room")]
    put(tables, *later)
    assert [(a.offset, a.duplicate) for a in later] == [
        (1, False), (2, False), (3, False), (1, False),
    ]  # fmt: skip
    assert [m.id for m in pages.load(tables, "a", 10, TAIL_BYTES).tail] == ["m1", "m4", "m2"]
    assert [m.id for m in pages.load(tables, "new-room", 10, TAIL_BYTES).tail] == ["x"]
    assert [m.id for m in pages.load(tables, "other-room", 10, TAIL_BYTES).tail] == ["y"]


def test_a_pause_is_exact(tables: Tables) -> None:
    put(tables, new("m1", pause=30))
    early, late = new("m2", pause=30, at=AT + 29_999), new("m3", pause=30, at=AT + 30_000)
    put(tables, early, late)
    assert (early.problem, early.wait) == ("rate_limited", 0.001)
    assert (late.problem, late.offset) == (None, 2)


def test_what_was_rolled_back_makes_nobody_wait(tables: Tables) -> None:
    lost = [new("m1", pause=30), new("m2", pause=30)]
    tables.begin()
    tables.append(lost)
    tables.rollback()
    assert [append.problem for append in lost] == [None, "rate_limited"]
    put(tables, lost[1])
    assert (lost[1].problem, lost[1].offset) == (None, 1)
    again = new("m3", pause=30)
    put(tables, again)
    assert again.problem == "rate_limited"


def test_pauses_of_so_many_are_kept(tables: Tables, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded_tables, "PAUSES", 3)
    users = [User(f"u{number}", "U") for number in range(4)]
    put(tables, *(new("m", user=user, pause=30, again=False) for user in users))
    again = [new("n", user=user, pause=30, again=False) for user in users]
    put(tables, *again)
    assert [append.problem for append in again] == [None, *["rate_limited"] * 3]


def test_a_transaction_that_was_left_open_is_undone(tables: Tables) -> None:
    tables.begin()
    tables.connection.execute("DELETE FROM meta")
    tables.begin()
    tables.commit()
    assert rows(tables, "meta") == 1


def test_a_room_without_a_history_stores_nothing(tables: Tables) -> None:
    put(tables, *(new(f"m{n}") for n in range(5)))
    append = new("m5", length=0)
    assert put(tables, append) == {"a": 7}
    assert (append.offset, rows(tables, "message")) == (6, 0)
    assert put(tables, new("m6"), new("m7", length=0)) == {"a": 9}
    assert rows(tables, "message") == 0
    back = new("m8")
    assert put(tables, back) == {"a": 9}
    assert [m.offset for m in pages.load(tables, "a", 9, TAIL_BYTES).tail] == [9]


def test_trimming_is_amortised(tables: Tables) -> None:
    first = 1
    trims = 0
    for n in range(10 * TRIM_EVERY):
        now = put(tables, new(f"m{n}", length=10))["a"]
        trims += now > first
        first = now
        assert rows(tables, "message") <= 10 + TRIM_EVERY
    assert trims <= 11


def test_a_trim_is_bounded(tables: Tables) -> None:
    count = 2 * TRIM_ROWS + 500
    put(tables, *(new(f"m{n}", length=count) for n in range(count)))
    assert put(tables, new("m", length=10)) == {"a": 1}
    firsts = []
    for _ in range(4):
        tables.begin()
        tables.trim(AT / 1000)
        firsts.append(tables.commit().get("a"))
    assert firsts == [TRIM_ROWS + 1, 2 * TRIM_ROWS + 1, count + 1 - 9, None]


def test_only_a_prefix_is_dropped_by_age(tables: Tables) -> None:
    ages = [50, 40, 5, 60, 1]  # the clock went back and forth
    log = [new(f"m{n}", at=AT - age * 1000, age=30) for n, age in enumerate(ages)]
    assert put(tables, *log) == {"a": 3}
    assert [m.offset for m in pages.load(tables, "a", 9, TAIL_BYTES).tail] == [3, 4, 5]


def test_pruning_is_bounded_and_spares_the_window(tables: Tables) -> None:
    put(tables, *(new(f"m{n}") for n in range(PRUNE_ROWS + 5)))
    put(tables, new("late", at=AT + 50_000))
    assert tables.prune(AT / 1000 + 99) is False
    assert rows(tables, "dedup") == PRUNE_ROWS + 6
    assert tables.prune(AT / 1000 + 100) is True
    assert rows(tables, "dedup") == 6
    assert tables.prune(AT / 1000 + 100) is False
    assert rows(tables, "dedup") == 1
    late = new("late", at=AT + 60_000)
    put(tables, late)
    assert late.duplicate


def test_the_tables_are_read_back(tables: Tables) -> None:
    put(tables, *(new(f"m{n}", "ab"[n % 2]) for n in range(9)))
    again = Tables(tables.connection, dedup_window=100)
    assert again.epoch == tables.epoch
    append = [new("x", "a"), new("x", "c"), new("m1", "b")]
    put(again, *append)
    assert [(a.offset, a.duplicate) for a in append] == [(6, False), (1, False), (1, True)]


def test_no_two_rooms_share_an_id(tables: Tables) -> None:
    for n in range(20):
        put(tables, new("m", f"room{n}"), new("m", f"other{n}"))
    assert rows(tables, "room") == 40
    with pytest.raises(sqlite3.IntegrityError):
        tables.connection.execute("INSERT INTO room SELECT 99, name, top, first, ops FROM room")
