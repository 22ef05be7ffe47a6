"""What it costs to publish a durable message through Redis.

    .venv/bin/python benchmarks/redis_publish.py [--seconds S] [--publishers N ...] [--json FILE]
        [--fsync always|everysec|none] [--url redis://...] [--loop uvloop|asyncio]

N publishers post 100-byte messages into one room that the node watches, each the next when the last
is acknowledged. Printed for each N: messages a second; microseconds of the node's CPU time for a
message (all of it: packing, the script, its reply, the copy that comes over the bus, announcing to
one listener); the server's CPU time for a message. And the same ("bare") for the script alone,
without an engine around it. A server of its own on a unix socket, unless there is an URL.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import secrets
import tempfile
import time
from pathlib import Path
from typing import Any

import redis

from sioserver.config import Config, RoomRule
from sioserver.config.schema import Redis as Settings
from sioserver.engine.redis import RedisEngine
from sioserver.engine.redis_keys import Keys
from sioserver.engine.redis_log import PUBLISH
from sioserver.engine.redis_servers import Redis
from sioserver.model import Draft, Event, Message, Peer, Position, PresenceDiff, User
from sioserver.valkey import Valkey

BODY = "x" * 100


class Listener:
    """Counts announcements."""

    announced = 0

    def on_message(self, room: str, epoch: str, message: Message) -> None:
        self.announced += 1

    def on_gap(self, room: str, after: Position) -> None:
        raise AssertionError("nothing may be lost")

    def on_presence(self, room: str, diff: PresenceDiff) -> None:
        pass

    def on_event(self, room: str, event: Event) -> None:
        pass

    def on_left(self, room: str, user_id: str) -> None:
        pass


class Meter:
    """CPU time of this process and of the server, between two looks."""

    def __init__(self, url: str) -> None:
        self._admin = redis.Redis.from_url(url)
        self.begin()

    def begin(self) -> None:
        self._server = self._of_server()
        self._here, self._at = time.process_time(), time.perf_counter()

    def take(self, count: int) -> dict[str, float]:
        here, took = time.process_time() - self._here, time.perf_counter() - self._at
        server = self._of_server() - self._server
        return {
            "messages_per_second": round(count / took),
            "node_us": round(here / count * 1e6, 2),
            "server_us": round(server / count * 1e6, 2),
        }

    def _of_server(self) -> float:
        info: Any = self._admin.info("cpu")
        return float(info["used_cpu_user"]) + float(info["used_cpu_sys"])


async def engine(settings: Settings, publishers: int, seconds: float) -> dict[str, float]:
    """Through a whole engine."""
    node = RedisEngine(Config(redis=settings), Peer(secrets.token_hex(4)))
    listener = Listener()
    await node.start(listener)
    node.watch("room")
    rule, sent = RoomRule(), 0

    async def publisher(number: int, end: float) -> None:
        nonlocal sent
        user = User(f"user{number}", "Somebody")
        count = 0
        while time.perf_counter() < end:
            count += 1
            id = f"{number}-{end:.0f}-{count}"
            draft = Draft(id, user, BODY, int(time.time() * 1000), resendable=True)
            await node.publish("room", draft, rule)
            sent += 1

    async def run(seconds: float) -> None:
        end = time.perf_counter() + seconds
        await asyncio.gather(*(publisher(number, end) for number in range(publishers)))

    await run(seconds / 5)  # warm
    meter = Meter(settings.url)
    before = sent
    await run(seconds)
    found = meter.take(sent - before)
    assert listener.announced == sent
    await node.stop()
    return found


async def bare(settings: Settings, publishers: int, seconds: float) -> dict[str, float]:
    """The same script, with nothing around it but the connection."""
    link = Redis(settings, name="bench", on_connected=lambda: None, on_lost=lambda reason: None)
    await link.start()
    keys = Keys(settings.prefix)
    room = keys.room("bare")
    data, sent = b"y" * 160, 0

    async def publisher(number: int, end: float) -> None:
        nonlocal sent
        count = 0
        while time.perf_counter() < end:
            count += 1
            at = int(time.time() * 1000)
            place = keys.draft("bare", f"user{number}", f"{end:.0f}-{count}")
            arguments = ("e1", at, data, 1000, 0, "PUBLISH", at + 3000, 3_600_000, 0)
            names = (room.meta, room.log, place, room.folds, room.done)
            await link.script(PUBLISH, names, arguments)
            sent += 1

    meter = Meter(settings.url)
    end = time.perf_counter() + seconds
    await asyncio.gather(*(publisher(number, end) for number in range(publishers)))
    found = meter.take(sent)
    await link.stop()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description="Cost of publishing through Redis.")
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--publishers", type=int, nargs="*", default=[1, 10, 100])
    parser.add_argument("--fsync", choices=["always", "everysec", "none"], default="everysec")
    parser.add_argument("--url", default="")
    parser.add_argument("--loop", choices=["uvloop", "asyncio"], default="uvloop")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        server = None
        if not args.url:
            fsync = None if args.fsync == "none" else args.fsync
            server = Valkey(folder, socket=Path(folder) / "valkey.sock", fsync=fsync)
            server.start()
        url = args.url or server.url
        rows = []
        print("publishers  way     messages/s    node us  server us")
        try:
            for publishers in args.publishers:
                for way in (engine, bare):
                    settings = Settings(url=url, prefix=f"bench{secrets.token_hex(4)}")
                    with asyncio.Runner(loop_factory=loop_factory(args.loop)) as runner:
                        found = runner.run(way(settings, publishers, args.seconds))
                    row = {"publishers": publishers, "way": way.__name__, **found}
                    rows.append(row)
                    print(
                        f"{publishers:10d}  {way.__name__:6} {found['messages_per_second']:11,d}"
                        f" {found['node_us']:10.2f} {found['server_us']:10.2f}",
                        flush=True,
                    )
        finally:
            if server is not None:
                server.kill()
    if args.json:
        options = {"fsync": args.fsync, "loop": args.loop, "seconds": args.seconds}
        args.json.write_text(json.dumps({"options": options, "rows": rows}, indent=1) + "\n")


def loop_factory(name: str) -> Any:
    if name == "asyncio":
        return asyncio.new_event_loop
    import uvloop

    return uvloop.new_event_loop


if __name__ == "__main__":
    main()
