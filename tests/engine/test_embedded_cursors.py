"""Proven cursors on their way into the table, whatever the disk does meanwhile."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from sioserver.config.schema import Store
from sioserver.engine.embedded import EmbeddedEngine
from sioserver.engine.embedded_tables import Tables
from sioserver.model import Membership

from .conftest import ANN, Keep, Listener, draft
from .embedded_kit import T, pragma

KEEP = Keep()


@pytest.fixture
def engine(embedded: EmbeddedEngine) -> EmbeddedEngine:
    return embedded


async def test_a_cursor_that_is_written_while_it_is_read(engine: EmbeddedEngine) -> None:
    """Read before, and looked at when it has been written: it is known all the same."""
    await engine.join("a", ANN)
    for n in range(3):
        await engine.publish("a", draft(f"m{n}"), KEEP)
    engine.advance("a", "ann", 2)
    first, second, read, written = (threading.Event() for _ in range(4))

    def hold(_: Tables) -> None:
        read.set()
        assert second.wait(5)

    # three batches, and the event loop does nothing while the thread works
    engine._journal.post(lambda _: first.wait(5), writes=False)
    joining = asyncio.create_task(engine.join("a", ANN))
    await asyncio.sleep(0)
    engine._journal.post(hold, writes=False)
    first.set()
    assert read.wait(5)
    engine._cursors.write()
    engine._journal.post(lambda _: written.set(), writes=False)
    second.set()
    assert written.wait(5)
    assert (await joining).cursor == 2


async def test_cursors_wait_for_the_disk(engine: EmbeddedEngine, tmp_path: Path) -> None:
    await engine.join("a", ANN)
    for n in range(6):
        await engine.publish("a", draft(f"m{n}"), KEEP)
    await pragma(engine, "query_only = 1")
    engine.advance("a", "ann", 3)
    await engine.sweep(T)
    engine.advance("a", "ann", 5)
    await engine.history("a", after=0, limit=1)
    assert engine.stats()["cursors_waiting"] == 1
    await pragma(engine, "query_only = 0")
    await engine.stop()
    again = EmbeddedEngine(Store(), grace=5, path=tmp_path / "rooms.db")
    await again.start(Listener())
    assert await again.join("a", ANN) == Membership(0, 5, 0, 0)
    await again.stop()


async def test_a_cursor_travels_with_the_next_message(engine: EmbeddedEngine) -> None:
    await engine.join("a", ANN)
    await engine.publish("a", draft("m1"), KEEP)
    engine.advance("a", "ann", 1)
    await engine.publish("a", draft("m2"), KEEP)
    await engine.history("a", after=0, before=2, limit=0)
    stored = await engine._journal.read(lambda t: t.connection.execute(
        "SELECT cursor FROM member").fetchall())  # fmt: skip
    assert stored == [(1,)]
