"""The embedded engine's index, beside what the contract's tests see."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sioserver.config.schema import Store
from sioserver.engine import embedded_search as module
from sioserver.engine.embedded import EmbeddedEngine
from sioserver.engine.embedded_file import _SAID, has_trigrams
from sioserver.engine.embedded_search import PORTION, TOKENS, expression, indexed
from sioserver.errors import Refusal
from sioserver.matching import MAX_QUERY, fold, parse_query, text_of

from .conftest import Keep, Listener, delete, edit
from .test_contract_search import find, offsets, say

LETTERS = st.sampled_from([*"aB eéß茶お道ｔ\"'*+-^(){}:.,\0\n", "OR", "AND", "NEAR(", "tea"])
TEXTS = st.lists(LETTERS, max_size=25).map("".join)


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[EmbeddedEngine]:
    engine = EmbeddedEngine(
        Store(durability="normal", cached_messages=8),
        grace=1.0,
        path=tmp_path / "rooms.db",
        search_scan=40,
    )
    await engine.start(Listener())
    yield engine
    await engine.stop()


async def rows(engine: EmbeddedEngine, what: str = "count(*) FROM said") -> Any:
    return await engine._journal.read(
        lambda tables: tables.connection.execute(f"SELECT {what}").fetchone()[0]
    )


def test_this_sqlite_can_do_it() -> None:
    assert has_trigrams()


@given(st.lists(TEXTS, min_size=1, max_size=8), TEXTS)
def test_what_matches_is_looked_up(bodies: list[str], asked: str) -> None:
    """The index alone, with whatever is looked for: no error, and nothing is left out."""
    try:
        query = parse_query(asked)
    except ValueError:
        return
    wanted = expression(query)
    if wanted is None:
        assert all(len(term) < 3 for term in query.terms)
        return
    connection = sqlite3.connect(":memory:")
    connection.executescript(_SAID)
    texts = [text_of(body) for body in bodies]
    for number, text in enumerate(texts):
        connection.execute("INSERT INTO said (rowid, text) VALUES (?, ?)", (number, indexed(text)))
    found = connection.execute("SELECT rowid FROM said WHERE said MATCH ?", (wanted,)).fetchall()
    connection.close()
    assert {(n,) for n, text in enumerate(texts) if query.matches(text)} <= {*found}


def test_long_queries_are_looked_up_in_part() -> None:
    text = "".join(chr(ord("a") + number % 26) + str(number) for number in range(70))
    wanted = expression(parse_query(text[:MAX_QUERY]))
    assert wanted is not None
    assert TOKENS // 2 < wanted.count(" AND ") < TOKENS


def test_ideographs_are_indexed_by_ones_and_twos() -> None:
    assert indexed(fold("tea")) == "tea"
    assert indexed("caffè") == "caffè"
    assert indexed("茶道 x") == "茶道 x\x1e\x1f茶\x1f道\x1f"
    assert expression(parse_query("茶")) == '"\x1f茶\x1f"'
    assert expression(parse_query("茶道")) == '"茶\x1f道"'
    assert expression(parse_query("te 3")) is None


async def test_rooms_are_indexed_when_they_are_searched(engine: EmbeddedEngine) -> None:
    await say(engine, *(f"tea {number}" for number in range(PORTION + 30)))
    assert await rows(engine) == 0
    assert len((await find(engine, "tea", limit=1000)).messages) == PORTION + 30
    assert await rows(engine) == PORTION + 30
    assert await rows(engine, "upto FROM indexed") == PORTION + 30


async def test_old_texts_leave_the_store_at_once(engine: EmbeddedEngine) -> None:
    keep = Keep()
    await say(engine, "secret one", "secret two", "tea")
    assert await offsets(engine, "secret") == [2, 1]
    await engine.operate("den", edit("tea", 1), keep)
    await engine.operate("den", delete(2), keep)
    assert await rows(engine) == 1
    assert await rows(engine, "text FROM said") == "tea"
    assert await offsets(engine, "tea") == [3, 1]


async def test_trimming_empties_the_index(engine: EmbeddedEngine) -> None:
    await say(engine, *(f"tea {number}" for number in range(100)))
    await offsets(engine, "tea")
    await engine.trim("den", Keep(history_length=10), 1_700_000_000.0)
    await offsets(engine, "tea")
    assert await rows(engine) == 10
    await say(engine, "nothing", keep=Keep(history_length=0))
    assert await rows(engine) == 0


async def test_long_messages_make_short_portions(
    engine: EmbeddedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LETTERS", 20)
    await say(engine, *(f"tea {number} and much more" for number in range(9)))
    batches = engine._journal.stats()["store_batches_total"]
    assert len(await offsets(engine, "tea")) == 9
    assert engine._journal.stats()["store_batches_total"] - batches > 9


async def test_what_is_compared_is_bounded(
    engine: EmbeddedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CANDIDATES", 10)
    await say(engine, *(f"bcabd abca {number}" for number in range(100)))
    seen, before = 0, None
    while True:
        found = await find(engine, "abcabd", before=before)
        assert not found.messages
        seen += 1
        before = found.next
        if before is None:
            break
        assert (found.end, found.complete) == (before, False)
    assert seen == 3  # forty each


async def test_an_index_that_takes_long_is_waited_for(
    engine: EmbeddedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PATIENCE", -1.0)
    monkeypatch.setattr(module, "PORTION", 3)
    await say(engine, *(f"tea {number}" for number in range(7)))
    with pytest.raises(Refusal) as refusal:
        await find(engine, "tea")
    assert (refusal.value.code, refusal.value.temporary) == ("unavailable", True)
    monkeypatch.setattr(module, "PATIENCE", 60.0)
    assert len(await offsets(engine, "tea")) == 7


async def test_without_trigrams_messages_are_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same store, by a Python whose SQLite has trigrams and by one whose has none."""

    async def run(has: bool, *steps: Any) -> None:
        for name in ("embedded_file", "embedded_tables"):
            monkeypatch.setattr(f"sioserver.engine.{name}.has_trigrams", lambda: has)
        engine = EmbeddedEngine(
            Store(cached_messages=1), grace=1.0, path=tmp_path / "rooms.db", search_scan=3
        )
        await engine.start(Listener())
        for step in steps:
            await step(engine)
        await engine.stop()

    async def first(engine: EmbeddedEngine) -> None:
        await say(engine, "tea one", "tea two", "tea three")
        assert await offsets(engine, "tea") == [3, 2, 1]

    async def second(engine: EmbeddedEngine) -> None:
        await engine.operate("den", edit("coffee", 1), Keep())
        await engine.operate("den", delete(2), Keep())
        found = await find(engine, "tea")
        assert [one.offset for one in found.messages] == [3]

    async def third(engine: EmbeddedEngine) -> None:
        assert await offsets(engine, "tea") == [3]
        assert await offsets(engine, "coffee") == [1]

    await run(True, first)
    await run(False, second)
    await run(True, third)


async def test_a_store_that_was_made_without_trigrams(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("embedded_file", "embedded_tables"):
        monkeypatch.setattr(f"sioserver.engine.{name}.has_trigrams", lambda: False)
    engine = EmbeddedEngine(Store(), grace=1.0, path=tmp_path / "rooms.db", search_scan=2)
    await engine.start(Listener())
    await say(engine, "tea", "tea", "tea")
    found = await find(engine, "tea")
    assert ([one.offset for one in found.messages], found.complete) == ([3, 2], False)
    await engine.stop()
