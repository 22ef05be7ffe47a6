"""A worker from the outside."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys

import msgspec
import pytest

from sioserver.config import Config
from sioserver.workers.line import Start
from sioserver.workers.process import Process, in_words

PATIENCE = 30.0
READ = """
import os, socket, sys
line = socket.socket(fileno=0)
size = int.from_bytes(line.recv(4, socket.MSG_WAITALL), "big")
start = line.recv(size, socket.MSG_WAITALL)
"""
SERVE = READ + 'line.sendall(b\'{"type":"serving","node":"ab12"}\\n\')\n'


class Started:
    """A process whose program is a text. It is looked at when a child has ended."""

    def __init__(self, program: str, listeners: list[socket.socket] | None = None) -> None:
        self.program = program
        self.listeners = listeners or []

    async def __aenter__(self) -> Process:
        config = msgspec.convert({"drain": {"seconds": 0}}, Config)
        numbers = [listener.fileno() for listener in self.listeners]
        start = Start(config, 7, 0, "", numbers)
        self.process = Process(start, self.listeners, [sys.executable, "-c", self.program])
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGCHLD, self.process.look)
        return self.process

    async def __aexit__(self, *_: object) -> None:
        if not self.process.ended.done():
            self.process.kill()
            await self.process.gone()
        asyncio.get_running_loop().remove_signal_handler(signal.SIGCHLD)


async def ended(process: Process) -> int:
    async with asyncio.timeout(PATIENCE):
        return await process.ended


async def test_it_gets_its_orders_and_its_sockets() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        program = SERVE + (
            "import msgspec\n"
            "numbers = msgspec.msgpack.decode(start)['listeners']\n"
            "port = socket.socket(fileno=numbers[0]).getsockname()[1]\n"
            "assert sys.argv[1] == '7'\n"
            "assert line.recv(64) == b'stop\\n'\n"
            "sys.exit(port % 200)\n"
        )
        async with Started(program, [listener]) as process:
            assert await process.serves()
            assert process.serving
            assert process.node.result() == "ab12"
            process.stop()
            assert await ended(process) == listener.getsockname()[1] % 200


async def test_one_that_ends_without_having_served() -> None:
    async with Started("raise SystemExit(3)") as process:
        assert not await process.serves()
        assert await ended(process) == 3
        assert (process.serving, process.reason) == (False, "")


async def test_it_says_why_it_cannot_start() -> None:
    program = READ + 'line.sendall(b\'{"type":"failed","reason":"the port"}\\n\'); sys.exit(1)'
    async with Started(program) as process:
        assert not await process.serves()
        assert await ended(process) == 1
        assert process.reason == "the port"


async def test_one_that_gets_nowhere() -> None:
    async with Started("import signal; signal.pause()") as process:
        assert not await process.serves(within=0.01)
        process.stop()  # it has no clients, so it is simply ended
        assert await ended(process) == -signal.SIGTERM


async def test_leaving_is_a_signal() -> None:
    program = "import signal; signal.signal(signal.SIGTERM, lambda *_: sys.exit(5))\n"
    async with Started("import sys\n" + program + SERVE + "line.recv(1)") as process:
        assert await process.serves()
        process.leave()
        assert await ended(process) == 5
        process.leave()  # nobody is there any more
        process.kill()


async def test_one_that_does_not_end_is_killed(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("sioserver.workers.process.GRACE", 0.05)
    program = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    async with Started(program + SERVE + "line.recv(1)") as process:
        assert await process.serves()
        process.leave()
        await process.gone()
        assert await ended(process) == -signal.SIGKILL
    assert f"worker 7, pid {process.pid}, does not end and is killed" in caplog.messages


async def test_one_that_talks_nonsense_is_killed(caplog: pytest.LogCaptureFixture) -> None:
    async with Started(READ + "line.sendall(b'hello\\n'); line.recv(1)") as process:
        assert await ended(process) == -signal.SIGKILL
    assert any("is not understood" in message for message in caplog.messages)


async def test_a_program_that_is_missing() -> None:
    start = Start(Config(), 1, 0, "", [])
    with pytest.raises(OSError):
        Process(start, [], ["/no/such/program"])


def test_ends_in_words() -> None:
    assert in_words(0) == "exit code 0"
    assert in_words(-9) == "SIGKILL"
    assert in_words(-signal.SIGSEGV) == "SIGSEGV"
