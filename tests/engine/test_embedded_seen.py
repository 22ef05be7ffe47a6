"""When users were seen last in the embedded engine, beside what test_contract_seen.py says."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sioserver.config.schema import Store
from sioserver.engine.base_seen import KEPT
from sioserver.engine.embedded import EmbeddedEngine
from sioserver.errors import Refusal

from .conftest import ANN, BEN, GRACE, Listener, until

AT = 1_700_000_000.0


@pytest.fixture
async def engine() -> AsyncIterator[EmbeddedEngine]:
    engine = EmbeddedEngine(Store(), grace=GRACE, path=":memory:")
    await engine.start(Listener())
    yield engine
    await engine.stop()


async def test_who_is_within_the_grace_when_the_engine_stops(tmp_path: Path) -> None:
    engine = EmbeddedEngine(Store(), grace=GRACE, path=tmp_path / "rooms.db")
    await engine.start(Listener())
    await engine.enter("a", ANN, "c1")
    await engine.enter("a", BEN, "c2")
    await engine.sweep(AT)
    await engine.exit("a", "ann", "c1", AT + 60)
    await engine.exit("a", "ben", "c2", AT + 60)
    await engine.enter("a", BEN, "c3")  # came back
    await engine.stop()
    again = EmbeddedEngine(Store(), grace=GRACE, path=tmp_path / "rooms.db")
    await again.start(Listener())
    assert await again.seen.of(["ann", "ben"]) == {"ann": round((AT + 60) * 1000)}
    await again.stop()


async def test_who_was_not_here_for_long_is_forgotten(engine: EmbeddedEngine) -> None:
    engine.seen.note("old", AT)
    engine.seen.note("new", AT + 10)
    engine.seen.write()
    await until(lambda: engine.stats()["seen_waiting"] == 0, "written")
    engine.seen.tidy(AT + KEPT + 5)
    assert await engine.seen.of(["old", "new"]) == {"new": round((AT + 10) * 1000)}


async def test_what_cannot_be_written_waits(
    engine: EmbeddedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise Refusal("unavailable")

    engine.seen.note("ann", AT)
    with monkeypatch.context() as patch:
        patch.setattr(engine._journal, "post", refuse)
        engine.seen.write()
    assert engine.stats()["seen_waiting"] == 1
    engine.seen._under_way = {"ben": 5}  # a lot that the thread could not write
    engine.seen._not_written(Refusal("unavailable"))
    engine.seen.write()
    await until(lambda: engine.stats()["seen_waiting"] == 0, "written")
    assert await engine.seen.of(["ann", "ben"]) == {"ann": round(AT * 1000), "ben": 5}


async def test_more_than_one_query_takes(engine: EmbeddedEngine) -> None:
    ids = [f"u{number}" for number in range(1500)]
    for user_id in ids:
        engine.seen.note(user_id, AT)
    engine.seen.write()
    await until(lambda: engine.stats()["seen_waiting"] == 0, "written")
    assert set(await engine.seen.of(ids)) == set(ids)
