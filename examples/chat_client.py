"""A chat that survives lost connections: python examples/chat_client.py [URL [NAME]]"""

# ruff: noqa: T201
import asyncio
import sys

from sioserver.client import Gap, RoomClient


async def main(url: str = "http://127.0.0.1:8000", name: str = "ann") -> None:
    async def talk() -> None:
        while line := await asyncio.to_thread(sys.stdin.readline):
            await room.send(line.rstrip("\n"))
        await room.close()

    async with RoomClient(url, room="lobby", user=name) as room, asyncio.TaskGroup() as tasks:
        tasks.create_task(talk())
        async for message in room:
            print("..." if isinstance(message, Gap) else f"{message.name}: {message.body}")


asyncio.run(main(*sys.argv[1:]))
