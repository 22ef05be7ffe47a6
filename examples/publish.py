"""Tell a room something from a program: python examples/publish.py REDIS_URL ROOM TEXT [USER]"""

# ruff: noqa: T201
import asyncio
import sys

from sioserver.client import Publisher


async def main(url: str, room: str, text: str, user: str = "bot") -> None:
    async with Publisher(url) as publisher:
        sent = await publisher.publish(room, text, user=user)
        print(f"number {sent.offset} of {room}")


asyncio.run(main(*sys.argv[1:]))
