"""The embedded engine's tables and copies, beside what test_contract_moderation.py says of every
engine."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from math import inf
from typing import Any

import pytest

from sioserver.config.schema import Store, Webhook, Webhooks
from sioserver.engine import moderated
from sioserver.engine.embedded import EmbeddedEngine
from sioserver.errors import Refusal
from sioserver.model import EVERYWHERE, Act, Sanction

from .conftest import GRACE, Listener

BAN = Sanction("ban", "ann", 2_000.0, 1_000.0, "mod")
ACT = Act("ban", "mod", 1_000.0, "ann")


@pytest.fixture
def listener() -> Listener:
    return Listener()


@pytest.fixture
async def engine(listener: Listener) -> AsyncIterator[EmbeddedEngine]:
    engine = EmbeddedEngine(Store(), grace=GRACE, path=":memory:")
    await engine.start(listener)
    yield engine
    await engine.stop()


async def rows(engine: EmbeddedEngine, table: str) -> int:
    query = f"SELECT count(*) FROM {table}"
    found: int = await engine._journal.read(
        lambda tables: tables.connection.execute(query).fetchone()[0]
    )
    return found


async def test_a_copy_misses_nothing_while_it_is_read(
    engine: EmbeddedEngine, listener: Listener
) -> None:
    """Whatever is decided while the room is read for the first time is in its copy."""
    engine.watch("lobby")
    users = [f"user {n}" for n in range(20)]
    work: list[Any] = []
    for user in users:
        work.append(engine.moderation.look("lobby"))
        ban = Sanction("ban", user, inf, 1.0, "mod")
        work.append(engine.moderation.impose("lobby", ban, ACT))
    await asyncio.gather(*work)
    rules = engine.moderation.rules["lobby"]
    assert {sanction.user for sanction in rules} == set(users)
    assert await engine.moderation.look("lobby") is rules


async def test_a_room_that_was_let_go_of_while_it_was_read(engine: EmbeddedEngine) -> None:
    await engine.moderation.impose("lobby", BAN, ACT)
    engine.watch("lobby")
    looking = asyncio.create_task(engine.moderation.look("lobby"))
    await asyncio.sleep(0)
    engine.unwatch("lobby")
    assert list(await looking) == [BAN]
    assert "lobby" not in engine.moderation.rules


async def test_rows_that_are_over_go(engine: EmbeddedEngine) -> None:
    await engine.moderation.impose("lobby", BAN, ACT)
    await engine.moderation.impose("lobby", Sanction("ban", "ben", inf, 1.0, "mod"), ACT)
    await engine.sweep(1_999.0)
    assert await rows(engine, "decision") == 2
    await engine.sweep(2_100.0)
    assert (await rows(engine, "decision"), await rows(engine, "act")) == (1, 2)
    await engine.sweep(1_001.0 + moderated.ACTS_AGE)
    assert (await rows(engine, "decision"), await rows(engine, "act")) == (1, 0)


async def test_nothing_is_learned_of_who_is_not_banned(engine: EmbeddedEngine) -> None:
    engine.moderation.learn(EVERYWHERE, "ann", ("10.0.0.1",))
    assert await rows(engine, "decision") == 0
    await engine.stop()
    engine.moderation.learn(EVERYWHERE, "ann", ("10.0.0.1",))


async def test_what_is_there_is_counted(engine: EmbeddedEngine) -> None:
    await engine.moderation.impose(EVERYWHERE, BAN, ACT)
    stats = engine.stats()
    assert (stats["rooms_moderated"], stats["sanctions"]) == (1, 1)


async def test_what_cannot_be_noted_is_not_done(
    listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are one transaction."""
    endpoint = Webhook(name="crm", events=["moderation"])
    engine = EmbeddedEngine(
        Store(), grace=GRACE, path=":memory:", endpoints=Webhooks(endpoints=[endpoint])
    )
    await engine.start(listener)
    engine.watch("lobby")
    await engine.moderation.look("lobby")

    def full(*_: Any) -> int:
        error = sqlite3.OperationalError("database or disk is full")
        error.sqlite_errorcode = sqlite3.SQLITE_FULL
        raise error

    monkeypatch.setattr("sioserver.engine.embedded_webhooks.write_note", full)
    with pytest.raises(Refusal) as refused:
        await engine.moderation.impose("lobby", BAN, ACT)
    assert refused.value.code == "unavailable"
    assert [await rows(engine, table) for table in ("decision", "act", "hook_note")] == [0] * 3
    assert listener.sanctions == []
    assert "lobby" not in engine.moderation.rules
    monkeypatch.undo()
    await engine.moderation.impose("lobby", BAN, ACT)
    assert [await rows(engine, table) for table in ("decision", "act", "hook_note")] == [1] * 3
    assert listener.sanctions == [("lobby", BAN)]
    await engine.stop()


async def test_they_are_counted_only_where_there_may_be_too_many(
    engine: EmbeddedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(moderated, "MOST", 6)
    engine.watch("lobby")
    await engine.moderation.look("lobby")
    said: list[str] = []
    await engine._journal.read(lambda tables: tables.connection.set_trace_callback(said.append))
    counted: list[bool] = []
    for n in range(6):
        said.clear()
        await engine.moderation.impose("lobby", Sanction("ban", f"u{n}", inf, 1.0, "mod"), ACT)
        counted.append(any("count(*) FROM decision" in text for text in said))
    assert counted == [False, False, False, True, True, True]
    with pytest.raises(Refusal, match="lift some"):
        await engine.moderation.impose("lobby", Sanction("ban", "u7", inf, 1.0, "mod"), ACT)
    said.clear()
    await engine.moderation.impose("far", BAN, ACT)  # nobody here knows how many there are
    assert any("count(*) FROM decision" in text for text in said)
