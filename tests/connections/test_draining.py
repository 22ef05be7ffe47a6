"""Letting go of many connections, a few at a time."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest

from sioserver.connections.draining import SLICE, spread


async def test_all_are_ended_once_in_groups_and_in_no_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ended: list[int] = []
    groups: list[int] = []
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        groups.append(len(ended))
        pauses.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    await spread([partial(ended.append, number) for number in range(100)], 10 * SLICE)
    assert sorted(ended) == [*range(100)]
    assert ended != [*range(100)]
    assert groups == [*range(10, 100, 10)]
    assert len(set(pauses)) == 9
    assert all(0.5 * SLICE <= pause <= 1.5 * SLICE for pause in pauses)


async def test_without_time_all_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    async def sleep(seconds: float) -> None:
        raise AssertionError("nobody waits")

    monkeypatch.setattr(asyncio, "sleep", sleep)
    ended: list[int] = []
    await spread([partial(ended.append, number) for number in range(3)], 0.0)
    await spread([], 5.0)
    assert len(ended) == 3
