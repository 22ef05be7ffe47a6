"""What is kept for too long is hidden, then deleted, while nobody posts."""

from __future__ import annotations

import pytest

from sioserver.engine.embedded import EmbeddedEngine
from sioserver.engine.embedded_tables import Rule

from .conftest import Keep, draft
from .embedded_kit import T, pragma, refused

KEEP = Keep()


@pytest.fixture
def engine(embedded: EmbeddedEngine) -> EmbeddedEngine:
    return embedded


async def test_what_cannot_be_deleted_is_hidden(engine: EmbeddedEngine) -> None:
    """A full disk: nobody is kept out, nothing too old is shown, and it goes when it can."""
    for n in range(30):
        await engine.publish("a", draft(f"m{n}", at=int(T * 1000) + n * 1000), KEEP)
    await pragma(engine, "query_only = 1")
    engine.watch("a")
    rule = Keep(history_age=100)

    async def shown() -> tuple[list[int], int]:
        page = await engine.history("a", after=0, limit=99)
        return [message.offset for message in page.messages], page.first

    async def stored() -> int:
        rows = await engine._journal.read(
            lambda t: t.connection.execute("SELECT count(*) FROM message").fetchone()
        )
        return int(rows[0])

    await engine.trim("a", rule, T + 110)
    assert await shown() == (list(range(11, 31)), 11)
    await refused(engine.publish("a", draft("lost"), KEEP))
    engine._retention.rules["a"] = Rule("a", rule.history_length, rule.history_age)
    await engine.sweep(T + 120)
    assert await stored() == 30
    assert await shown() == (list(range(21, 31)), 21)
    await pragma(engine, "query_only = 0")
    now = T + 120
    while engine.ready() is not None:
        now += 1
        await engine.sweep(now)
        await stored()
    await engine.sweep(T + 128)  # too soon for another round
    assert await stored() == 30
    await engine.sweep(T + 185)
    assert await stored() == 0
    assert await shown() == ([], 31)


async def test_rules_are_forgotten_with_their_rooms(engine: EmbeddedEngine) -> None:
    engine.watch("room0")
    for n in range(10):
        await engine.trim(f"room{n}", KEEP, T)
    await engine.sweep(T)
    assert set(engine._retention.rules) == {"room0", "room8", "room9"}
    await engine.publish("room0", draft("m"), Keep(history_length=7))
    assert engine._retention.rules["room0"].length == 7
