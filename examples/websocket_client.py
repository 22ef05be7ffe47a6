"""A chat over a plain WebSocket, without a Socket.IO library: what you type is posted.

    python examples/websocket_client.py http://127.0.0.1:8000 ann

Comes back when the line breaks, gets what it missed, and posts what was not answered again, once.
Ends with its input. The frames are described in docs/websocket.md.
"""

# ruff: noqa: T201, S311
import asyncio
import itertools
import json
import random
import sys
import uuid

import aiohttp


class Chat:
    def __init__(self, server: str, user: str) -> None:
        self.url, self.hello = f"{server}/ws", {"room": "lobby", "user": user}
        self.position = self.ws = None
        self.numbers = itertools.count(2)
        self.unanswered = {}  # frames by their ids, until the ack has come
        self.done = asyncio.Event()

    async def post(self, text: str) -> None:
        number = next(self.numbers)
        self.done.clear()
        self.unanswered[number] = ["message", text, number, {"id": uuid.uuid4().hex}]
        if self.ws is not None and not self.ws.closed:
            await self.ws.send_json(self.unanswered[number])

    async def run(self) -> None:
        async with aiohttp.ClientSession() as http:
            for pause in itertools.chain((0.5, 1, 2, 4, 8, 16), itertools.repeat(30)):
                try:
                    async with http.ws_connect(self.url, protocols=["sioserver.v1"]) as ws:
                        await ws.send_json(["join", {**self.hello, "position": self.position}, 1])
                        async for message in ws:
                            await self.hear(ws, *json.loads(message.data))
                        if (ws.close_code or 0) >= 3500:
                            return  # for good; a notice has said why
                except aiohttp.ClientError as error:
                    print(f"no connection: {error}", file=sys.stderr)
                await asyncio.sleep(pause * random.uniform(0.5, 1))

    async def hear(self, ws, event, data, mark=None, *more) -> None:
        if event == "ack":
            self.unanswered.pop(mark, None)
            if mark != 1 and not self.unanswered:
                self.done.set()
            if not data["ok"]:
                print("refused:", data["error"]["message"], file=sys.stderr)
            elif mark == 1:  # joined
                self.ws = ws
                for frame in list(self.unanswered.values()):
                    await ws.send_json(frame)
            return
        self.position = mark or self.position
        if event == "message":
            print(f"{data['name']}: {data['body']}", flush=True)
        elif event in ("gap", "notice"):
            print(event, data, file=sys.stderr)


async def main(server: str, user: str) -> None:
    chat = Chat(server, user)
    running = asyncio.create_task(chat.run())
    while line := await asyncio.to_thread(sys.stdin.readline):
        await chat.post(line.rstrip("\n"))
    posted = asyncio.create_task(chat.done.wait())
    if chat.unanswered:
        await asyncio.wait((posted, running), return_when=asyncio.FIRST_COMPLETED)
    running.cancel()
    posted.cancel()


asyncio.run(main(*sys.argv[1:]))
