"""What is done now and then, so that the store stays small and is used again when it can be."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest

from sioserver.engine.embedded import EmbeddedEngine
from sioserver.engine.embedded_upkeep import TIDY_EVERY, Upkeep
from sioserver.errors import Refusal

from .conftest import Keep, draft
from .embedded_kit import T

KEEP = Keep()


@pytest.fixture
def engine(embedded: EmbeddedEngine) -> EmbeddedEngine:
    return embedded


class Store:
    """The journal, the rules and one part: counts what is asked of it."""

    def __init__(self) -> None:
        self.trouble: str | None = None
        self.probes = 0
        self.rounds = 0
        self.reviews = 0
        self.pruned: list[Callable[[bool], None]] = []
        self.closed = False
        self.upkeep = Upkeep(cast(Any, self), cast(Any, Rules(self)), [self])

    def probe(self) -> None:
        self.probes += 1

    def post(self, run: object, *, done: Callable[[bool], None] | None = None) -> None:
        if self.closed:
            raise Refusal("unavailable")
        if done is not None:
            self.pruned.append(done)

    def tidy(self, now: float) -> None:
        self.rounds += 1


class Rules:
    def __init__(self, store: Store) -> None:
        self._store = store

    def tidy(self, now: float) -> None:
        self._store.reviews += 1


def test_a_round_a_minute_and_at_once_when_the_clock_was_set_back() -> None:
    store = Store()
    for now in (T, T + 1, T + TIDY_EVERY - 0.1, T + TIDY_EVERY, T + TIDY_EVERY + 1, T - 500):
        store.upkeep.tidy(now)
    assert store.rounds == len(store.pruned) == 3
    assert store.reviews == 6  # those know themselves when they are due


def test_pruning_goes_on_while_there_is_more() -> None:
    store = Store()
    store.upkeep.tidy(T)
    store.upkeep.tidy(T + 1)
    assert len(store.pruned) == 1
    store.pruned[0](True)
    store.upkeep.tidy(T + 2)
    store.upkeep.tidy(T + 3)
    assert (len(store.pruned), store.rounds) == (2, 1)
    store.pruned[1](False)
    store.upkeep.tidy(T + 4)
    assert len(store.pruned) == 2


def test_a_store_in_trouble_is_probed_and_not_tidied() -> None:
    store = Store()
    store.trouble = "the disk is full"
    for now in (T, T + 0.5, T + 1, T + 1.5, T + 2):
        store.upkeep.tidy(now)
    assert (store.probes, store.rounds, store.reviews) == (3, 0, 5)
    store.trouble = None
    store.upkeep.tidy(T + 3)
    assert (store.probes, store.rounds) == (3, 1)


def test_a_store_that_is_closed_meanwhile_is_no_failure() -> None:
    store = Store()
    store.closed = True
    store.upkeep.tidy(T)
    assert store.rounds == 0


async def test_old_drafts_are_forgotten_at_the_sweep(engine: EmbeddedEngine) -> None:
    await asyncio.gather(*(engine.publish("a", draft(f"m{n}"), KEEP) for n in range(50)))

    async def remembered() -> int:
        rows = await engine._journal.read(
            lambda t: t.connection.execute("SELECT count(*) FROM dedup").fetchone()
        )
        return int(rows[0])

    await engine.sweep(T + 86_399)
    assert await remembered() == 50
    await engine.sweep(T + 86_401)
    assert await remembered() == 50  # not so soon after the last round
    await engine.sweep(T + 86_460)
    assert await remembered() == 0
