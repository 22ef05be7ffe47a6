"""Live cursors: python examples/cursors.py [URL [NAME]], in two terminals or more.

The server needs a rule for the room, in config.toml:

    [[rooms]]
    match = "board"
    relay_latest = ["cursor"]
"""

# ruff: noqa: T201
import asyncio
import math
import sys
from typing import Any

from sioserver.client import RoomClient


async def main(url: str = "http://127.0.0.1:8000", name: str = "ann") -> None:
    def hear(event: str, *args: Any) -> None:
        if event == "cursor":
            place, sender = args
            print(f"{sender['name']} is at {place['x']:.0f}, {place['y']:.0f}", flush=True)
        elif event == "notice":
            print(args[0]["message"])

    async with RoomClient(url, room="board", user=name, on_event=hear) as room:
        step = 0
        while True:
            # Somebody who reads slowly is told the newest place only, not each on the way.
            angle = step / 20
            place = {"x": 100 + 90 * math.cos(angle), "y": 100 + 90 * math.sin(angle)}
            await room.relay("cursor", place)
            await asyncio.sleep(0.05)
            step += 1


try:
    asyncio.run(main(*sys.argv[1:]))
except KeyboardInterrupt:
    pass
