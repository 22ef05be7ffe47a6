"""What it costs to publish a durable message in the embedded engine.

    .venv/bin/python benchmarks/publish.py [--seconds S] [--publishers N ...]

N publishers post 100-byte messages into one room, each the next when the last is acknowledged, that
is after its commit. Printed for each N and durability: messages a second, microseconds of the event
loop's and of the writer's CPU time for a message, and how many messages shared a commit. One room
with one listener; no network, no Socket.IO.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from pathlib import Path

from sioserver.config import RoomRule
from sioserver.config.schema import Store
from sioserver.engine.embedded import EmbeddedEngine
from sioserver.model import Draft, Message, PresenceDiff, User

BODY = "x" * 100


class Listener:
    """Counts announcements."""

    announced = 0

    def on_message(self, room: str, epoch: str, message: Message) -> None:
        self.announced += 1

    def on_presence(self, room: str, diff: PresenceDiff) -> None:
        pass


async def measure(path: Path, durability: str, publishers: int, seconds: float) -> str:
    store = Store(durability="full" if durability == "full" else "normal")
    engine = EmbeddedEngine(store, grace=5.0, path=path)
    listener = Listener()
    await engine.start(listener)
    engine.watch("room")
    rule, sent = RoomRule(), 0
    end = time.perf_counter() + seconds

    async def publisher(number: int) -> None:
        nonlocal sent
        user = User(f"user{number}", "Somebody")
        count = 0
        while time.perf_counter() < end:
            count += 1
            draft = Draft(f"{number}-{count}", user, BODY, int(time.time() * 1000), resendable=True)
            await engine.publish("room", draft, rule)
            sent += 1

    before = engine.stats()
    loop_cpu, all_cpu = time.thread_time(), time.process_time()
    begin = time.perf_counter()
    await asyncio.gather(*map(publisher, range(publishers)))
    took = time.perf_counter() - begin
    loop_cpu, all_cpu = time.thread_time() - loop_cpu, time.process_time() - all_cpu
    batches = engine.stats()["store_batches_total"] - before["store_batches_total"]
    assert listener.announced == sent
    await engine.stop()
    return (
        f"{durability:10} {publishers:5d} {sent / took:12,.0f} {loop_cpu / sent * 1e6:10.1f}"
        f" {(all_cpu - loop_cpu) / sent * 1e6:10.1f} {sent / batches:10.1f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Cost of publishing in the embedded engine.")
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--publishers", type=int, nargs="*", default=[1, 10, 200])
    args = parser.parse_args()
    print("durability publishers messages/s   loop us  writer us  in a commit")
    for durability in ("full", "normal"):
        for publishers in args.publishers:
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "bench.db"
                print(asyncio.run(measure(path, durability, publishers, args.seconds)))


if __name__ == "__main__":
    main()
