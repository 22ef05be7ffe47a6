"""A worker from the inside: its orders, its news, and its end when nobody is left."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sioserver.config import Config
from sioserver.model import Peer
from sioserver.workers import worker
from sioserver.workers.line import STOP, Failed, Serving, Start, decode_news, encode_start
from sioserver.workers.process import COMMAND
from sioserver.workers.worker import ORPHAN, Line, _receive

PATIENCE = 30.0


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


class Orders:
    """What a worker was told."""

    def __init__(self, line: Line) -> None:
        self.told: asyncio.Queue[str] = asyncio.Queue()
        line.obey(lambda: self.told.put_nowait("stop"), lambda: self.told.put_nowait("leave"))

    async def next(self) -> str:
        async with asyncio.timeout(PATIENCE):
            return await self.told.get()


def line_of(end: socket.socket, listeners: list[int] | None = None) -> Line:
    return Line(end, Start(Config(), 1, 0, "", listeners or []), Peer("ab12"))


async def test_the_order_to_stop(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    line = line_of(theirs)
    orders = Orders(line)
    ours.sendall(STOP)
    assert await orders.next() == "stop"
    assert not line.gone
    asyncio.get_running_loop().remove_reader(theirs)


async def test_the_end_of_the_supervisor(
    pair: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    alarms: list[int] = []
    monkeypatch.setattr(worker.signal, "alarm", alarms.append)
    ours, theirs = pair
    line = line_of(theirs)
    orders = Orders(line)
    ours.close()
    assert await orders.next() == "leave"
    assert line.gone
    assert alarms == [16]  # drain.seconds and some more: then it is killed


async def test_a_line_that_breaks_is_the_end_of_the_supervisor(
    pair: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker.signal, "alarm", lambda _: None)
    ours, theirs = pair
    theirs.sendall(b"unread")
    orders = Orders(line_of(theirs))
    ours.close()  # with something unread: a reset on this kind of socket
    assert await orders.next() == "leave"


def test_news(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    line_of(theirs).serving()
    assert decode_news(ours.recv(1000)) == Serving("ab12")
    line_of(theirs).failed("the port")
    assert decode_news(ours.recv(1000)) == Failed("the port")
    ours.close()
    line_of(theirs).serving()  # nobody listens


def test_the_sockets_are_those_of_the_descriptors() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs, socket.create_server(("127.0.0.1", 0)) as listener:
        line = line_of(theirs, [os.dup(listener.fileno())])
        (own,) = line.sockets
        with own:
            assert own.getsockname() == listener.getsockname()


def test_the_start_is_read_and_nothing_behind_it(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    ours, theirs = pair
    start = Start(Config(), 1, 2, "x", [3])
    ours.sendall(encode_start(start) + STOP)
    assert _receive(theirs) == start
    assert theirs.recv(64) == STOP


@pytest.mark.parametrize("size", [0, 3, 4, 20])
def test_a_supervisor_that_ends_too_early(
    size: int, pair: tuple[socket.socket, socket.socket]
) -> None:
    ours, theirs = pair
    ours.sendall(encode_start(Start(Config(), 1, 2, "x", [3]))[:size])
    ours.close()
    assert _receive(theirs) is None


def test_the_program_ends_when_nobody_says_what_to_do(tmp_path: Path) -> None:
    """And imports nothing from where it happens to stand."""
    (tmp_path / "msgspec.py").write_text("raise SystemExit(77)")
    done = subprocess.run([*COMMAND, "1"], stdin=_empty(), cwd=tmp_path, timeout=PATIENCE)
    assert done.returncode == ORPHAN


def _empty() -> int:
    ours, theirs = socket.socketpair()
    ours.close()
    return theirs.detach()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells of a parent's end")
def test_a_parent_that_dies_is_noticed_before_there_is_a_loop() -> None:
    child = (
        "import signal, sys; from sioserver.workers import worker; worker._end_with_parent(); "
        "print('armed', flush=True); signal.pause()"
    )
    parent = (
        "import os, signal, subprocess, sys\n"
        f"p = subprocess.Popen([sys.executable, '-c', {child!r}], stdout=subprocess.PIPE)\n"
        "p.stdout.readline(); print(p.pid, flush=True); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", parent], stdout=subprocess.PIPE, text=True, timeout=PATIENCE
    )
    assert done.returncode == -signal.SIGKILL
    try:
        number = os.pidfd_open(int(done.stdout))
    except ProcessLookupError:
        return
    with os.fdopen(number) as ended:
        import select

        assert select.select([ended], [], [], PATIENCE)[0]
