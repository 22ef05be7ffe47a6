"""A worker that serves nothing: it does what a file says, and writes down what it was told.

The file `plan` beside `notes` holds one word: "serve", "refuse", "crash", "silent" (gets nowhere)
or "stubborn" (serves, and does not end when it is asked to). Each note is a JSON line.
"""

import json
import os
import signal
import socket
import sys
import threading
from pathlib import Path

import msgspec

from sioserver.workers.line import Failed, Serving, Start, encode_news
from sioserver.workers.worker import _receive, _take_line

PLACE = Path(os.environ["STUB_PLACE"])


def note(what: str, **more: object) -> None:
    line = json.dumps({"what": what, "pid": os.getpid(), **more}) + "\n"
    with (PLACE / "notes").open("a") as notes:
        notes.write(line)


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    line = _take_line()
    start = _receive(line)
    if start is None:
        sys.exit(9)
    plan = (PLACE / "plan").read_text()
    note("start", plan=plan, inodes=inodes(start), **msgspec.to_builtins(start))
    if plan == "crash":
        sys.exit(3)
    if plan == "refuse":
        line.sendall(encode_news(Failed("there is no luck here")))
        sys.exit(1)
    if plan == "stubborn":
        signal.signal(signal.SIGTERM, lambda *_: note("leave"))
    else:
        signal.signal(signal.SIGTERM, leave)
    if plan != "silent":
        threading.Thread(target=answer, args=(start,), daemon=True).start()
        note("serving", number=start.number)
        line.sendall(encode_news(Serving(f"{os.getpid():x}")))
    while order := line.recv(64):
        note("order", order=order.decode())
        if plan != "stubborn":
            sys.exit(0)
    note("alone")


def leave(*_: object) -> None:
    note("leave")
    sys.exit(0)


def inodes(start: Start) -> list[int]:
    return [os.fstat(number).st_ino for number in start.listeners]


def answer(start: Start) -> None:
    """Everybody who connects is told who has accepted."""
    listener = socket.socket(fileno=os.dup(start.listeners[0]))
    listener.setblocking(True)
    while True:
        connection, _ = listener.accept()
        with connection:
            connection.sendall(f"{os.getpid()}\n".encode())


main()
