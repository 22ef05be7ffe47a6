"""The same with nothing but python-socketio: python examples/bare_client.py [URL [NAME]]"""

# ruff: noqa: T201
import asyncio
import sys

import socketio


async def main(url: str = "http://127.0.0.1:8000", name: str = "bob") -> None:
    # Not socketio.Client: it runs each event in a thread of its own, in any order.
    sio = socketio.AsyncClient()
    sio.on("message", lambda message, position: print(f"{message['name']}: {message['body']}"))
    await sio.connect(url, auth={"user": name})
    while line := await asyncio.to_thread(sys.stdin.readline):
        answer = await sio.call("message", line.rstrip("\n"))
        if not answer["ok"]:
            print("not sent:", answer["error"]["message"])
    await sio.disconnect()


asyncio.run(main(*sys.argv[1:]))
