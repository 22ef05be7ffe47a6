"""Thousands come back at once, when all workers are replaced one after the other."""

import asyncio
import time
from pathlib import Path

import pytest

from sioserver.client import RoomClient
from sioserver.testing import ServerProcess

from .crowd import Crowd, room_for
from .kit import until
from .load import seeded

CLIENTS = 2000
WORKERS = 2
POSTS = 20
DEADLINE = 100.0


@pytest.mark.timeout(150)  # takes a fifth of it; the deadline above says more than a timeout
async def test_all_come_back_after_a_rolling_restart_and_have_missed_nothing(
    tmp_path: Path,
) -> None:
    room_for(2 * CLIENTS)
    seed, rng = seeded()
    settings = {"limits.enabled": False, "presence.batch": 1}
    async with (
        asyncio.timeout(DEADLINE),
        ServerProcess(tmp_path / "s.db", workers=WORKERS, settings=settings) as server,
        RoomClient(server.url, "storm", user="poster", timeout=60) as poster,
    ):
        crowd = Crowd(lambda: server.url, "storm", CLIENTS, rng=rng)
        began = time.monotonic()
        async with crowd.here():
            came = time.monotonic() - began
            before = dict(server.workers)
            assert len(before) == WORKERS
            began = time.monotonic()
            server.reload()
            for number in range(1, POSTS + 1):  # spread over the storm: one with each crowd of them
                enough = CLIENTS + number * CLIENTS // (2 * POSTS)
                await crowd.until(lambda enough=enough: crowd.visits >= enough)
                await poster.send(number, timeout=None)

            def replaced() -> bool:
                now = server.workers
                return len(now) == WORKERS and all(now[n] != before[n] for n in before)

            await until(replaced, 60)
            rolled = time.monotonic() - began
            await crowd.until(lambda: all(c.connected and c.visits > 1 for c in crowd.clients))
            back = time.monotonic() - began
            await poster.send("all are here", timeout=None)
            await crowd.until(lambda: all(c.received == POSTS + 1 for c in crowd.clients))
    away = sorted(client.longest for client in crowd.clients)
    print(  # noqa: T201
        f"{CLIENTS} clients came in {came:.1f} s; the workers were replaced in {rolled:.1f} s, all "
        f"clients were back {back:.1f} s after the signal, away for {away[CLIENTS // 2]:.1f} s "
        f"(median), {away[CLIENTS * 99 // 100]:.1f} s (99 %), {away[-1]:.1f} s (the longest); "
        f"attempts that failed: {dict(crowd.failures)}"
    )
    assert crowd.refused == []
    assert crowd.wrong == [], f"seed {seed}"
    assert [c.user for c in crowd.clients if c.recovered != c.visits - 1] == []
    assert "ConnectionRefusedError" not in crowd.failures
    assert not any("Traceback" in line for line in server.output)
