"""A connection goes to another process."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from sioserver.transport import handoff
from sioserver.transport.handoff import Receiver, Sender

from .cluster import Cluster, directory, on_both_loops
from .kit import soon, until


class Taken:
    """What a receiver was given."""

    def __init__(self) -> None:
        self.all: list[tuple[socket.socket, bytes]] = []

    def __call__(self, connection: socket.socket, data: bytes) -> None:
        self.all.append((connection, data))

    def close(self) -> None:
        for connection, _ in self.all:
            connection.close()


@contextmanager
def receiving() -> Iterator[tuple[str, Taken, Receiver]]:
    with directory() as path:
        taken = Taken()
        receiver = Receiver(f"{path}/x.fd", taken)
        assert receiver.start()
        try:
            yield f"{path}/x.fd", taken, receiver
        finally:
            receiver.stop()
            taken.close()


@contextmanager
def connection() -> Iterator[tuple[socket.socket, socket.socket]]:
    here, there = socket.socketpair()
    with here, there:
        here.setblocking(False)
        there.settimeout(5)
        yield here, there


@on_both_loops
async def test_a_connection_lives_on(nodes: Cluster) -> None:
    with receiving() as (path, taken, _receiver), connection() as (here, there):
        there.send(b"in the kernel")
        sender = Sender(path)
        assert await sender.send(here.fileno(), b"read before")
        here.close()  # the copy of who passed it on
        (found, data) = await until(lambda: taken.all and taken.all[0])
        assert data == b"read before"
        assert found.recv(100) == b"in the kernel"
        assert not found.getblocking()
        assert not os.get_inheritable(found.fileno())
        found.send(b"and back")
        assert there.recv(100) == b"and back"
        sender.close()


@on_both_loops
async def test_many_over_one_connection_and_in_order(nodes: Cluster) -> None:
    with receiving() as (path, taken, receiver), connection() as (here, _there):
        sender = Sender(path)
        sent = [sender.send(here.fileno(), b"%d" % number) for number in range(500)]
        assert all(await asyncio.gather(*sent[:250]))
        assert all(await asyncio.gather(*sent[250:]))
        await until(lambda: len(taken.all) == 500)
        assert [int(data) for _, data in taken.all] == [*range(500)]
        assert len(receiver._senders) == 1
        sender.close()
        await until(lambda: not receiver._senders)


@on_both_loops
async def test_nobody_there(nodes: Cluster) -> None:
    with directory() as path, connection() as (here, _there):
        sender = Sender(f"{path}/x.fd")
        assert not await sender.send(here.fileno(), b"x")
        assert not await Sender("x" * 200).send(here.fileno(), b"x")


@on_both_loops
async def test_a_process_that_died_and_one_that_took_its_place(nodes: Cluster) -> None:
    with directory() as path, connection() as (here, _there):
        taken = Taken()
        sender = Sender(f"{path}/x.fd")
        for _life in range(2):
            receiver = Receiver(f"{path}/x.fd", taken)
            receiver.start()
            assert await sender.send(here.fileno(), b"x")
            await until(lambda: taken.all)
            receiver.stop()
            taken.close()
            taken.all.clear()
            assert not await sender.send(here.fileno(), b"x")
            assert sender._socket is None


@contextmanager
def frozen() -> Iterator[tuple[str, socket.socket]]:
    """A process that accepts, in the kernel, and takes nothing."""
    with directory() as path, socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(f"{path}/x.fd")
        listener.listen()
        yield f"{path}/x.fd", listener


async def filled(sender: Sender, number: int) -> list[asyncio.Task[bool]]:
    """Send until the kernel takes no more, and some."""
    tasks: list[asyncio.Task[bool]] = []
    while len(sender._waiting) < 3:
        tasks.append(asyncio.create_task(sender.send(number, b"%06d" % len(tasks))))
        await asyncio.sleep(0)
    return tasks


@on_both_loops
async def test_a_slow_process(nodes: Cluster) -> None:
    with frozen() as (path, listener), connection() as (here, _there):
        sender = Sender(path)
        tasks = await filled(sender, here.fileno())
        assert not all(task.done() for task in tasks)
        taken = Taken()
        receiver = Receiver(path, taken)
        receiver._listener = listener
        listener.setblocking(False)
        receiver._listen()
        assert all(await soon(asyncio.gather(*tasks)))
        await until(lambda: len(taken.all) == len(tasks))
        assert [int(data) for _, data in taken.all] == [*range(len(tasks))]
        assert not sender._waiting
        sender.close()
        receiver.stop()
        taken.close()


@on_both_loops
async def test_a_process_that_dies_while_others_wait(nodes: Cluster) -> None:
    with frozen() as (path, listener), connection() as (here, _there):
        sender = Sender(path)
        tasks = await filled(sender, here.fileno())
        waiting = [task for task in tasks if not task.done()]
        listener.close()
        assert await soon(asyncio.gather(*waiting)) == [False] * len(waiting)


def take_all(line: socket.socket) -> list[bytes]:
    """What lies in the kernel; the descriptors are closed."""
    found: list[bytes] = []
    while True:
        try:
            data, numbers, _, _ = socket.recv_fds(line, 65_536, 1)
        except BlockingIOError:
            return found
        for number in numbers:
            os.close(number)
        found.append(data)


@on_both_loops
async def test_what_goes_off_in_the_turn_in_which_the_time_is_over_has_gone(
    nodes: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or two processes would use one connection."""
    # the first that waits must not give up before the last is there, however busy the machine is
    monkeypatch.setattr(handoff, "PATIENCE", 1.0)
    loop = asyncio.get_running_loop()
    with frozen() as (path, listener), connection() as (here, _there):
        sender = Sender(path)
        tasks = await filled(sender, here.fileno())
        over = loop.time() + handoff.PATIENCE
        line, _ = listener.accept()
        with line:
            line.setblocking(False)
            taken = len(take_all(line))
            while time.monotonic() <= over + 0.01:  # the loop is busy until then
                pass
            said = await soon(asyncio.gather(*tasks))
            assert taken + len(take_all(line)) == sum(said) == len(tasks)
        sender.close()


@on_both_loops
async def test_who_waits_too_long_gives_up(nodes: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handoff, "PATIENCE", 0.01)
    monkeypatch.setattr(handoff, "QUEUE", 3)
    with frozen() as (path, _listener), connection() as (here, _there):
        before = descriptors()
        sender = Sender(path)
        tasks = await filled(sender, here.fileno())
        assert not await sender.send(here.fileno(), b"x")  # the queue is full
        assert await soon(asyncio.gather(*tasks[-3:])) == [False] * 3
        sender.close()
        assert descriptors() == before


def descriptors() -> int:
    return len(os.listdir("/dev/fd"))


async def test_what_is_too_large_is_not_sent() -> None:
    with receiving() as (path, taken, _receiver), connection() as (here, _there):
        sender = Sender(path)
        assert await sender.send(here.fileno(), b"x" * handoff.LARGEST)
        assert not await sender.send(here.fileno(), b"x" * (handoff.LARGEST + 1))
        await until(lambda: taken.all)
        assert len(taken.all[0][1]) == handoff.LARGEST
        sender.close()


@on_both_loops
async def test_what_is_no_connection_is_dropped(
    nodes: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    with receiving() as (path, taken, receiver), connection() as (here, there):
        before = descriptors()
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as stranger:
            stranger.connect(path)
            stranger.send(b"no descriptor")
            socket.send_fds(stranger, [b"two"], [here.fileno(), there.fileno()])
            socket.send_fds(stranger, [b"x" * (handoff.LARGEST + 1)], [here.fileno()])
            socket.send_fds(stranger, [b"good"], [here.fileno()])
            await until(lambda: taken.all)
            assert [data for _, data in taken.all] == [b"good"]
            assert len([line for line in caplog.messages if "was lost" in line]) == 3
        await until(lambda: not receiver._senders)
        taken.close()
        assert descriptors() == before


@on_both_loops
async def test_a_descriptor_that_is_no_socket(
    nodes: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    with receiving() as (path, taken, receiver), connection() as (here, _there):
        before = descriptors()
        sender, number = Sender(path), os.open("/dev/null", os.O_RDONLY)
        assert await sender.send(number, b"x")
        os.close(number)
        assert await sender.send(here.fileno(), b"y")
        await until(lambda: taken.all)
        assert [data for _, data in taken.all] == [b"y"]
        assert "was lost" in caplog.text
        sender.close()
        await until(lambda: not receiver._senders)
        taken.close()
        assert descriptors() == before


@on_both_loops
async def test_too_many_senders(nodes: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handoff, "SENDERS", 1)
    with receiving() as (path, taken, _receiver), connection() as (here, _there):
        first, second = Sender(path), Sender(path)
        assert await first.send(here.fileno(), b"first")
        await until(lambda: taken.all)
        await second.send(here.fileno(), b"second")
        await until(lambda: first._socket)
        assert await first.send(here.fileno(), b"third")
        await until(lambda: len(taken.all) == 2)
        assert [data for _, data in taken.all] == [b"first", b"third"]
        first.close()
        second.close()


async def test_without_such_sockets(monkeypatch: pytest.MonkeyPatch) -> None:
    with directory() as path:
        monkeypatch.setattr(handoff, "SUPPORTED", False)
        assert not Receiver(f"{path}/x.fd", Taken()).start()
        monkeypatch.setattr(handoff, "SUPPORTED", True)
        monkeypatch.setattr(socket, "SOCK_SEQPACKET", 999)
        assert not Receiver(f"{path}/x.fd", Taken()).start()


async def test_a_place_that_cannot_be_had() -> None:
    with pytest.raises(OSError, match=r"\S"):
        Receiver("/nowhere/x.fd", Taken()).start()


@on_both_loops
async def test_no_descriptor_left(
    nodes: Cluster, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It waits for one, and does not burn a core meanwhile."""
    monkeypatch.setattr(handoff, "NO_ROOM_PAUSE", 0.01)
    with receiving() as (path, taken, receiver), connection() as (here, _there):
        accept, tried = receiver._accept, []

        class Full:
            def __getattr__(self, name: str) -> Any:
                return getattr(listener, name)

            def accept(self) -> Any:
                tried.append(1)
                raise OSError(24, "Too many open files")

        listener = receiver._listener
        assert listener is not None
        monkeypatch.setattr(receiver, "_accept", lambda _: accept(Full()))  # type: ignore[arg-type]
        asyncio.get_running_loop().remove_reader(listener.fileno())
        receiver._listen()
        sender = Sender(path)
        assert await sender.send(here.fileno(), b"x")
        await until(lambda: len(tried) >= 3)
        monkeypatch.setattr(receiver, "_accept", accept)
        await until(lambda: taken.all)
        assert "Too many open files" in caplog.text
        sender.close()


async def test_the_socket_file_goes_with_it() -> None:
    with receiving() as (path, _taken, receiver):
        assert Path(path).exists()
        receiver.stop()
        assert not Path(path).exists()
        receiver.stop()


OTHER = """
import asyncio, socket, sys
from sioserver.transport.handoff import Receiver

async def main():
    done = asyncio.get_running_loop().create_future()
    def take(connection, data):
        connection.setblocking(True)
        connection.sendall(b"here is " + str(__import__("os").getpid()).encode() + b" " + data)
        connection.close()
        done.set_result(None)
    receiver = Receiver(sys.argv[1], take)
    receiver.start()
    print("ready", flush=True)
    await done
    receiver.stop()

asyncio.run(main())
"""


@on_both_loops
async def test_another_process(nodes: Cluster) -> None:
    """A real one; and its end of the connection outlives the copy of this one."""
    with directory() as path, connection() as (here, there):
        other = subprocess.Popen(
            [sys.executable, "-c", OTHER, f"{path}/x.fd"], stdout=subprocess.PIPE
        )
        assert other.stdout is not None
        assert other.stdout.readline() == b"ready\n"
        sender = Sender(f"{path}/x.fd")
        assert await sender.send(here.fileno(), b"with love")
        here.close()
        assert there.recv(100) == f"here is {other.pid} with love".encode()
        assert there.recv(100) == b""
        assert other.wait(5) == 0
        other.stdout.close()
        sender.close()


def test_the_largest_message_fits_the_kernels_default() -> None:
    one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with one, other:
        one.setblocking(False)
        assert one.send(b"x" * handoff.LARGEST) == handoff.LARGEST
