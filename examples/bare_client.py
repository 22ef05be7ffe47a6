"""The same with nothing but python-socketio: python examples/bare_client.py [URL [NAME]]"""

# ruff: noqa: T201
import sys

import socketio

url = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8000"
name = sys.argv[2] if len(sys.argv) > 2 else "bob"

sio = socketio.Client()
sio.on("message", lambda message, position: print(f"{message['name']}: {message['body']}"))
sio.connect(url, auth={"user": name})
for line in sys.stdin:
    answer = sio.call("message", line.rstrip("\n"))
    if not answer["ok"]:
        print("not sent:", answer["error"]["message"])
sio.disconnect()
