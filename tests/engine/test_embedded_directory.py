"""The embedded engine's directory, beside what the contract's tests see."""

from __future__ import annotations

from pathlib import Path

from sioserver.config.schema import Store
from sioserver.engine.embedded import EmbeddedEngine
from sioserver.engine.embedded_directory import CHUNK

from .conftest import ANN, Listener


async def test_reading_lets_others_have_a_turn(tmp_path: Path) -> None:
    engine = EmbeddedEngine(Store(), grace=1.0, path=tmp_path / "rooms.db")
    await engine.start(Listener())
    await engine.enter("r0", ANN, "c1")
    names = [f"r{number}" for number in range(2 * CHUNK + 1)]
    engine.directory.note(dict.fromkeys(names), 5.0, 10_000)
    found = await engine.directory.rooms(limit=10_000)
    assert sorted(one.room for one in found) == sorted(names)
    assert {one.room for one in found if one.online} == {"r0"}
    rows = await engine._journal.read(
        lambda tables: tables.connection.execute("SELECT count(*) FROM listed").fetchone()[0]
    )
    assert rows == len(names)
    await engine.stop()
