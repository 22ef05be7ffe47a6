"""The embedded engine's mentions, beside what the contract's tests see."""

from __future__ import annotations

from pathlib import Path

from sioserver.config.schema import Store
from sioserver.engine.embedded import EmbeddedEngine
from sioserver.model import Mention, Position

from .conftest import ANN, Listener, draft
from .test_contract import KEEP


async def test_no_more_rows_than_are_kept(tmp_path: Path) -> None:
    engine = EmbeddedEngine(Store(), grace=1.0, path=tmp_path / "rooms.db")
    await engine.start(Listener())
    await engine.join("den", ANN)
    await engine.publish("den", draft("m"), KEEP)
    for offset in range(1, 251):
        mention = Mention(0, "den", "m", offset, "ben", "Ben", offset)
        await engine.mentions.add("den", Position("e", offset), mention, ["ann"])
    rows = await engine._journal.read(
        lambda tables: tables.connection.execute("SELECT count(*) FROM mention").fetchone()[0]
    )
    assert rows == 200
    await engine.stop()
