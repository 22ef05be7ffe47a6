"""Nothing acknowledged is lost: a server that is killed under load, and readers who come and go.
Messages, and what is done to them: everybody ends up with the same.

Senders and readers are real clients of all kinds (load.py); the checker (itself tested in
tests/test_testing.py) judges what they saw.
"""

import asyncio
import time
from pathlib import Path

import pytest

from sioserver.testing import ServerProcess

from .load import Load, seeded

SENDERS = 8
READERS = 40
KILLS = 3
PER_LIFE = (150, 350)
"""Messages that are acknowledged before each kill: chosen at random from this range."""
DEADLINE = 90.0

SETTINGS = {"drain.seconds": 0, "presence.batch": 0.5, "limits.enabled": False}


@pytest.mark.timeout(180)  # takes a tenth of it; the deadline above says more than a timeout
async def test_nothing_acknowledged_is_lost(tmp_path: Path) -> None:
    seed, rng = seeded()
    began = time.monotonic()
    async with ServerProcess(tmp_path / "loss.db", settings=SETTINGS) as server:
        room = Load(lambda: server.url, rng)
        try:
            async with (
                asyncio.timeout(DEADLINE),
                room.running(senders=SENDERS, readers=READERS),
            ):
                for _ in range(KILLS):
                    await room.more(rng.randint(*PER_LIFE))
                    await server.restart()
                await room.more(PER_LIFE[0])
            await room.read_back(server.url)
        except TimeoutError:
            output = "\n".join(server.output[-20:])
            pytest.fail(f"seed {seed}: {room.late()}\n{output}")
    report = room.checker.check()
    took = time.monotonic() - began
    print(  # noqa: T201
        f"{room.acked} acknowledged, {room.operations} of them edits, deletes and reactions, "
        f"{room.received} received by {READERS} readers in "
        f"{room.visits} visits, {KILLS} kills, {took:.1f} s"
    )
    assert report.ok, f"seed {seed}: {report}\n{room.diaries(report)}"
    assert report.announced == 0, f"seed {seed}: {room.diaries(report)}"
    assert room.acked >= KILLS * PER_LIFE[0]
    assert room.operations > room.acked / 10
    assert room.received >= READERS * room.acked
