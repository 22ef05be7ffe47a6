"""The program as a process: what it prints, what it obeys, how it ends."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from sioserver import __version__
from sioserver.app import create_app
from sioserver.serve import connections_of, peer_of
from sioserver.transport.routing import host_tag

from .app_kit import EVIL, PATIENCE, POLLING, WebSocket, client_of, configured


def test_a_node_and_how_the_others_find_it() -> None:
    one, other = peer_of(configured()), peer_of(configured())
    assert len(one.id) == 8
    assert int(one.id, 16) != int(other.id, 16)
    assert (one.directory, one.address) == ("", "")
    config = configured(cluster={"address": "[::1]:9000", "secret": "x" * 32})
    assert peer_of(config).address == "[::1]:9000"
    assert peer_of(config).id[:4] == host_tag("[::1]")
    assert len(peer_of(config).id) == 12
    third = peer_of(config, "/run/x", 2)
    assert (third.directory, third.address) == ("/run/x", "[::1]:9002")


async def test_what_has_become_a_websocket_is_still_an_open_file() -> None:
    app = create_app(configured())
    connections = connections_of(app, configured())
    async with client_of(app) as http:
        assert connections._others() == 0
        await http.get(POLLING)  # its connections are counted by themselves
        assert connections._others() == 0
        await WebSocket.open(http)
        assert connections._others() == 1


# ---------------------------------------------------------------------------- the process


class Program:
    """`sioserver serve` as a process."""

    def __init__(self, *arguments: str, port: int = 0, env: dict[str, str] | None = None) -> None:
        clean = {name: os.environ[name] for name in os.environ if not name.startswith("SIOSERVER_")}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "sioserver", "serve", "--port", str(port), *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**clean, **(env or {})},
        )
        self.port = 0
        self.first = ""

    def wait_until_it_serves(self) -> None:
        assert self.process.stdout is not None
        self.first = self.process.stdout.readline()
        assert self.first.startswith(f"sioserver {__version__} serves http://"), self.first
        self.port = int(self.first.rpartition(":")[2])

    def ended(self) -> tuple[int, str, str]:
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        out, err = self.process.stdout.read(), self.process.stderr.read()
        return self.process.wait(PATIENCE), self.first + out, err


@contextmanager
def program(*arguments: str, **options: Any) -> Iterator[Program]:
    started = Program(*arguments, **options)
    try:
        yield started
    finally:
        with started.process:  # closes the pipes and waits
            started.process.kill()


MEMORY = ("--store", ":memory:")


async def test_the_program_answers_to_its_own_name_and_watches_connections() -> None:
    with program(*MEMORY, "--set", "limits.header_timeout=0.2") as server:
        await asyncio.to_thread(server.wait_until_it_serves)
        async with aiohttp.ClientSession(f"http://127.0.0.1:{server.port}") as http:
            for headers, status in ((EVIL, 421), ({}, 200)):
                async with http.get("/metrics", headers=headers) as answer:
                    assert answer.status == status
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            async with asyncio.timeout(PATIENCE):
                assert await reader.read() == b""
            writer.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
async def test_a_signal_ends_it_quickly(number: signal.Signals, loop: str) -> None:
    """Also with clients who do nothing, on either transport, under either event loop."""
    settings = ("--set", f"transport.loop={loop}", "--set", "drain.seconds=0.3")
    with program(*MEMORY, *settings) as server:
        await asyncio.to_thread(server.wait_until_it_serves)
        url = f"http://127.0.0.1:{server.port}"
        query = {"EIO": "4", "transport": "polling"}
        async with aiohttp.ClientSession(url, connector=aiohttp.TCPConnector(limit=0)) as http:
            sockets = [await WebSocket.open(http, auth={"user": f"u{n}"}) for n in range(40)]
            assert (await sockets[0].call("message", "hi"))["ok"]
            polls = []
            for _ in range(10):
                async with http.get("/socket.io/", params=query) as answer:
                    sid = json.loads((await answer.text())[1:])["sid"]
                polls.append(asyncio.create_task(poll(http, {**query, "sid": sid})))
            assert (await sockets[0].call("typing", True))["ok"]
            began = time.monotonic()
            server.process.send_signal(number)
            for client in sockets:
                async with asyncio.timeout(PATIENCE):
                    while (message := await client.ws.receive()).type is aiohttp.WSMsgType.TEXT:
                        assert not message.data.startswith("41")  # or it would not come back
                assert (message.type, message.data) == (aiohttp.WSMsgType.CLOSE, 1001)
            for text in await asyncio.gather(*polls):
                assert "41" not in text
            code, out, err = await asyncio.to_thread(server.ended)
        assert code == 0
        assert time.monotonic() - began < 10
        assert "Traceback" not in err
        assert out.count("\n") == 3
        assert "INFO" in err
        assert "stopping" in err


async def poll(http: aiohttp.ClientSession, query: dict[str, str]) -> str:
    async with http.get("/socket.io/", params=query) as answer:
        return await answer.text()


def test_what_it_prints(tmp_path: Path) -> None:
    store = tmp_path / "store.db"
    with program("--store", str(store)) as server:
        server.wait_until_it_serves()
        assert 0 < server.port < 65536
        server.process.send_signal(signal.SIGTERM)
        code, out, _ = server.ended()
    assert code == 0
    assert out == (
        f"sioserver {__version__} serves http://127.0.0.1:{server.port}\n"
        f"  store: {store}\n"
        "  ANYBODY WHO CAN REACH IT MAY JOIN AND USE ANY NAME: "
        "set auth.secret, auth.public_keys or auth.jwks\n"
    )


@pytest.mark.parametrize("trace", ["appendonlydir/appendonly.aof.manifest", "appendonly.aof"])
def test_messages_of_workers_are_not_silently_left(tmp_path: Path, trace: str) -> None:
    store = tmp_path / "store.db"
    theirs = tmp_path / "store.db-valkey"
    for left in (False, True):
        (theirs / trace).parent.mkdir(parents=True, exist_ok=True)
        if left:
            (theirs / trace).touch()
        with program("--store", str(store)) as server:
            server.wait_until_it_serves()
            server.process.send_signal(signal.SIGTERM)
            code, _, err = server.ended()
        assert code == 0
        lines = [line for line in err.splitlines() if "start with --workers to have them" in line]
        assert [f"wrote into {theirs} are not" in line for line in lines] == [True] * left


def test_a_signal_right_after_the_first_line() -> None:
    """Whoever waits for the line may stop the server at once."""
    with program(*MEMORY) as server:
        server.wait_until_it_serves()
        server.process.send_signal(signal.SIGINT)
        code, _, err = server.ended()
    assert code == 0
    assert "Traceback" not in err


def test_the_signal_to_reload_does_not_end_it() -> None:
    with program(*MEMORY) as server:
        server.wait_until_it_serves()
        server.process.send_signal(signal.SIGHUP)
        assert server.process.stderr is not None
        line = next(line for line in server.process.stderr if "SIGHUP" in line)
        assert "only with workers (--workers) is the configuration read again" in line
        server.process.send_signal(signal.SIGTERM)
        assert server.ended()[0] == 0


def test_with_a_secret_nobody_needs_a_warning() -> None:
    env = {"SIOSERVER_AUTH__SECRET": "a secret of more than thirty-two bytes"}
    with program(*MEMORY, env=env) as server:
        server.wait_until_it_serves()
        server.process.send_signal(signal.SIGTERM)
        code, out, _ = server.ended()
    assert code == 0
    assert out.splitlines()[1:] == ["  store: in memory, gone when it stops"]


def test_a_port_in_use() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with program(*MEMORY, port=port) as server:
            code, out, err = server.ended()
    assert code == 1
    assert out == ""
    (line,) = [line for line in err.splitlines() if " INFO " not in line]
    assert line.startswith(f"sioserver: cannot listen on 127.0.0.1:{port}: ")
    assert line.endswith("in use; choose another with --port, or stop what uses it")


def test_an_address_of_another_machine() -> None:
    with program(*MEMORY, "--host", "192.0.2.1", "--set", "auth.insecure_anonymous=true") as server:
        code, _, err = server.ended()
    assert code == 1
    (line,) = [line for line in err.splitlines() if " INFO " not in line]
    assert line.startswith("sioserver: cannot listen on 192.0.2.1:0: ")


def test_a_locked_store(tmp_path: Path) -> None:
    store = str(tmp_path / "store.db")
    with program("--store", store) as first:
        first.wait_until_it_serves()
        with program("--store", store) as second:
            code, out, err = second.ended()
    assert code == 1
    assert out == ""
    (line,) = [line for line in err.splitlines() if " INFO " not in line]
    assert line.startswith("sioserver: ")
    assert store in line


def test_a_store_that_is_none(tmp_path: Path) -> None:
    store = tmp_path / "store.db"
    store.write_text("these are my private notes, not a database\n" * 200)
    before = store.read_bytes()
    with program("--store", str(store)) as server:
        code, _, err = server.ended()
    assert code == 1
    assert "Traceback" not in err
    assert str(store) in err
    assert store.read_bytes() == before


def test_the_log_as_configured() -> None:
    for settings, quiet in (
        (("--set", "log.format=json"), False),
        (("--set", "log.level=error"), True),
    ):
        with program(*MEMORY, *settings) as server:
            server.wait_until_it_serves()
            server.process.send_signal(signal.SIGTERM)
            code, _, err = server.ended()
        assert code == 0
        if quiet:
            assert err == ""
        else:
            messages = [json.loads(line)["message"] for line in err.splitlines()]
            assert any(message.startswith("stopping") for message in messages)


def test_ipv6() -> None:
    if not socket.has_ipv6:
        pytest.skip("this machine has no IPv6")
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        pytest.skip("this machine has no IPv6 loopback address")
    with program(*MEMORY, "--host", "::1") as server:
        server.wait_until_it_serves()
        assert server.first.startswith(f"sioserver {__version__} serves http://[::1]:")
        server.process.send_signal(signal.SIGTERM)
        assert server.ended()[0] == 0
