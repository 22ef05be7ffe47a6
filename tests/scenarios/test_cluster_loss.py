"""Nothing acknowledged is lost by several nodes either, whatever happens to them and to Redis.

The load and its checker are those of test_loss.py; here a Valkey that forgets nothing (AOF, always)
lies behind a proxy that can cut it off. The last tests plant faults, so that it is known that
nothing of the kind would pass unnoticed.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from sioserver.testing import ServerProcess
from sioserver.valkey import Valkey

from ..chaos import Proxy
from ..redis_servers import ask
from ..resp import Dropper
from .kit import UNREADY_WITHIN, becomes, nodes, until
from .load import ROOM, Load, seeded

WORKERS = 3
SENDERS = 6
READERS = 24
BETWEEN = 60
"""Messages that are acknowledged after each fault before the next one comes."""
DEADLINE = 150.0
FROZEN = 10.0
"""Seconds for which Redis is stopped."""

SETTINGS = {
    "drain.seconds": 0,
    "presence.batch": 0.5,
    "presence.lease": 5,  # Redis is away for longer
    "limits.enabled": False,
    "rooms.recovery_limit": 100_000,  # nobody is told of a gap because of having missed too much
}


# ---------------------------------------------------------------------------- under load


class Faults:
    """What is done to the workers and to their Redis. Each one is over when it returns."""

    def __init__(self, server: ServerProcess, valkey: Valkey, proxy: Proxy, room: Load) -> None:
        self.server = server
        self.valkey = valkey
        self.proxy = proxy
        self.room = room

    async def nothing_is_acknowledged(self, seconds: float) -> None:
        """For so long, but for answers that were under way already."""
        end = time.monotonic() + seconds
        while await self._is_acknowledged(0.3):
            assert time.monotonic() < end, "messages go on being acknowledged"
        assert not await self._is_acknowledged(end - time.monotonic())

    async def _is_acknowledged(self, within: float) -> bool:
        more = asyncio.create_task(self.room.more(1))
        done, _ = await asyncio.wait({more}, timeout=within)
        more.cancel()
        return bool(done)

    async def kill_worker(self, number: int) -> None:
        before = self.server.workers[number]
        self.server.kill_worker(number)
        await until(lambda: self.server.workers.get(number, before) != before, 20)

    async def kill_redis(self) -> None:
        self.valkey.kill()
        await becomes(503, self.server.url, UNREADY_WITHIN)
        await self.valkey.async_start()

    async def freeze_redis(self) -> None:
        began = time.monotonic()
        self.valkey.pause()
        await becomes(503, self.server.url, UNREADY_WITHIN)
        await self.nothing_is_acknowledged(FROZEN - (time.monotonic() - began))
        self.valkey.resume()

    async def cut_off(self) -> None:
        await self.proxy.cut("rst")
        await becomes(503, self.server.url, UNREADY_WITHIN)
        await self.nothing_is_acknowledged(2.0)
        self.proxy.heal()

    async def go_deaf(self) -> None:
        self.proxy.stall()
        await becomes(503, self.server.url, UNREADY_WITHIN)
        await self.nothing_is_acknowledged(2.0)  # new connections are deaf as well
        self.proxy.heal()

    async def blip(self) -> None:
        await self.proxy.blip("rst")

    async def lose_the_bus(self) -> None:
        ask(self.valkey, "CLIENT", "KILL", "TYPE", "pubsub")

    async def be_slow(self) -> None:
        for way in (self.proxy.up, self.proxy.down):
            way.latency, way.piece = 0.05, 5
        await self.room.more(BETWEEN // 2)
        self.proxy.heal()


@pytest.mark.timeout(240)  # takes a third of it; the deadline above says more than a timeout
async def test_nothing_acknowledged_is_lost_by_workers_that_share_a_redis(
    tmp_path: Path, valkey: Valkey
) -> None:
    seed, rng = seeded()
    began = time.monotonic()
    told = []
    async with Proxy(valkey.port) as proxy:
        settings = {**SETTINGS, "redis.url": f"redis://127.0.0.1:{proxy.port}/0"}
        async with ServerProcess(workers=WORKERS, settings=settings) as server:
            room = Load(lambda: server.url, rng)
            faults = Faults(server, valkey, proxy, room)
            plan: list[tuple[str, Callable[[], Awaitable[None]]]] = [
                *(
                    (f"worker {n} killed", lambda n=n: faults.kill_worker(n))
                    for n in range(1, WORKERS + 1)
                ),
                ("Redis killed", faults.kill_redis),
                ("Redis frozen for 10 s", faults.freeze_redis),
                ("Redis cut off", faults.cut_off),
                ("connections to Redis broken", faults.blip),
                ("connections of the bus broken", faults.lose_the_bus),
                ("Redis slow, in pieces", faults.be_slow),
                ("Redis half-open", faults.go_deaf),
            ]
            try:
                async with (
                    asyncio.timeout(DEADLINE),
                    room.running(senders=SENDERS, readers=READERS),
                ):
                    await room.more(BETWEEN)
                    for name, fault in plan:
                        started = time.monotonic()
                        await fault()
                        lasted = time.monotonic() - started
                        first, everybody = await room.recovered()
                        told.append(
                            f"{started:.1f} {name} for {lasted:.1f} s: first delivery after "
                            f"{first:.2f} s, every sender has an answer after {everybody:.2f} s"
                        )
                        await room.more(BETWEEN)
            except TimeoutError:
                pytest.fail(
                    f"seed {seed}: {room.late()}\n{told}\n" + "\n".join(server.output[-30:])
                )
    report = room.checker.check()
    told.append(
        f"{room.acked} messages acknowledged, {room.received} received by {READERS} readers in "
        f"{room.visits} visits, {time.monotonic() - began:.1f} s"
    )
    print("\n".join(told))  # noqa: T201
    assert report.ok, f"seed {seed}: {report}\n{room.diaries(report)}"
    assert report.announced == 0, f"seed {seed}: {room.diaries(report)}"
    assert room.received >= READERS * room.acked


# ---------------------------------------------------------------------------- planted faults

# Python that a node runs before it starts.

NO_FILLING = """
from sioserver.engine.redis_rooms import Room
def offer(room, message, size):
    if message.offset > room.top:
        room.begin_at(message.offset - 1)
        room._take(message, size)
    return False
Room.offer = offer
"""

NO_DEDUP = """
from sioserver.engine import redis_scripts
load = redis_scripts.load_script
def changed(name):
    script = load(name)
    source = script.source.replace("local first = redis.call('GET', KEYS[3])", "local first = nil")
    assert (source == script.source) == (name != "publish")
    return redis_scripts.Script(name, source)
redis_scripts.load_script = changed
"""


def planted(source: str) -> type[ServerProcess]:
    class Planted(ServerProcess):
        program = source + ServerProcess.program

    return Planted


async def short_load(
    valkey: Valkey,
    plant: str,
    *,
    each: int = 0,
    faults: Callable[[Proxy, Load], Awaitable[None]] | None = None,
) -> tuple[Load, Dropper]:
    """A short load on two nodes with a plant, to which one of `each` messages of the bus does not
    get through."""
    _, rng = seeded()
    dropper = Dropper(each, ROOM.encode())
    async with Proxy(valkey.port) as proxy:
        if each:
            proxy.down.rewrite = dropper
        url = f"redis://127.0.0.1:{proxy.port}/0"
        async with nodes(2, url, settings=SETTINGS, kind=planted(plant)) as servers:
            room = Load(lambda: rng.choice(servers).url, rng)
            async with asyncio.timeout(60), room.running(senders=4, readers=8):
                await room.more(200)
                if faults is not None:
                    await faults(proxy, room)
                await room.more(200)
    return room, dropper


async def lose_answers(proxy: Proxy, room: Load) -> None:
    """Redis does what it is asked for, and the connection breaks before its answers arrive."""
    for _ in range(3):
        proxy.down.stall()
        passed = proxy.up.bytes
        await until(lambda passed=passed: proxy.up.bytes > passed + 200)
        await proxy.blip()
        proxy.heal()
        await room.more(20)


async def test_messages_that_the_bus_loses_are_fetched(valkey: Valkey) -> None:
    room, dropper = await short_load(valkey, "", each=97)
    assert dropper.dropped >= 2
    report = room.checker.check()
    assert report.ok, report
    assert report.announced == 0


async def test_answers_that_are_lost_cost_nothing(valkey: Valkey) -> None:
    room, _ = await short_load(valkey, "", faults=lose_answers)
    report = room.checker.check()
    assert report.ok, report
    assert report.announced == 0


async def test_a_node_that_does_not_fill_holes_is_found_out(valkey: Valkey) -> None:
    room, dropper = await short_load(valkey, NO_FILLING, each=97)
    assert dropper.dropped >= 2
    report = room.checker.check()
    assert report.of("loss")
    assert report.of("gap")


async def test_a_node_that_does_not_know_what_was_posted_is_found_out(valkey: Valkey) -> None:
    room, _ = await short_load(valkey, NO_DEDUP, faults=lose_answers)
    assert room.checker.check().of("duplicate")
