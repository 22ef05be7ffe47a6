"""Where other nodes come in."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from sioserver.metrics import Metrics
from sioserver.model import Peer
from sioserver.transport import doors as module
from sioserver.transport.caller import CALLER_HEADER, PROOF_HEADER, Caller, Seal
from sioserver.transport.doors import Doors, host_and_port
from sioserver.transport.handoff import Sender

from .cluster import SECRET, Cluster, Member, directory, free_address, on_both_loops
from .kit import soon, until


async def ask(member: Member, headers: dict[str, str], door: str, path: str) -> tuple[int, str]:
    """A request at one of the member's doors."""
    connector: aiohttp.BaseConnector
    if door == "unix":
        connector = aiohttp.UnixConnector(f"{member.peer.directory}/{member.peer.id}.sock")
        origin = "http://localhost"
    else:
        connector, origin = aiohttp.TCPConnector(), f"http://{member.peer.address}"
    async with (
        aiohttp.ClientSession(connector=connector) as http,
        http.get(origin + path, headers=headers) as answer,
    ):
        return answer.status, await answer.text()


def forged(**other: Any) -> dict[str, str]:
    return {CALLER_HEADER: "127.0.0.9 http -", PROOF_HEADER: "1 x", **other}


@on_both_loops
async def test_the_tcp_door_wants_a_proof(nodes: Cluster) -> None:
    member = await nodes.add(address=free_address())
    client = await member.site.polling()
    await member.eio.send(client.sid, "x")
    path = f"/engine.io/?EIO=4&transport=polling&sid={client.sid}"
    good = Seal(SECRET, time.time).headers("GET", path, Caller("127.0.0.9", "http"))
    refused = [
        {},
        forged(),
        Seal(SECRET + "x", time.time).headers("GET", path, Caller("127.0.0.9", "http")),
        Seal(SECRET, lambda: time.time() - 100).headers("GET", path, Caller("127.0.0.9", "http")),
        good | {CALLER_HEADER: "6.6.6.6 http -"},
    ]
    for headers in refused:
        assert (await ask(member, headers, "tcp", path))[0] == 403
    assert (await ask(member, good, "tcp", path + "&x"))[0] == 403
    assert member.metrics.forward_failures["denied"] == 6
    assert await ask(member, good, "tcp", path) == (200, "4x")
    assert client.sid in member.eio.sockets


@on_both_loops
async def test_the_unix_door_wants_a_caller(nodes: Cluster) -> None:
    member = await nodes.add("a")
    client = await member.site.polling()
    await member.eio.send(client.sid, "x")
    path = f"/anywhere/socket.io/?EIO=4&transport=polling&sid={client.sid}"
    assert (await ask(member, {}, "unix", path))[0] == 403
    assert (await ask(member, {CALLER_HEADER: "nonsense"}, "unix", path))[0] == 403
    assert await ask(member, forged(), "unix", path) == (200, "4x")


@on_both_loops
async def test_nothing_but_the_endpoint_is_behind_them(nodes: Cluster) -> None:
    member = await nodes.add("a")
    for path in ("/", "/metrics", "/healthz"):
        status, text = await ask(member, forged(), "unix", path)
        assert (status, text) == (400, '{"code":0,"message":"Transport unknown"}')


@on_both_loops
async def test_a_passed_connection_is_an_ordinary_client(nodes: Cluster) -> None:
    """Its headers are not believed, and it is closed behind a refusal."""
    member = await nodes.add("a", cors_allowed_origins="*")
    seen: list[str] = []
    member.eio.cors_allowed_origins = lambda o, environ: seen.append(environ["REMOTE_ADDR"]) or True
    with socket.create_server(("127.0.0.1", 0)) as listener:
        reader, writer = await asyncio.open_connection(*listener.getsockname())
        connection, _ = listener.accept()
    sender = Sender(f"{member.peer.directory}/{member.peer.id}.fd")
    url = member.site.url("websocket", f"{member.peer.id}-nobody")
    head = member.site.head(
        "GET",
        url,
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Origin: http://a.example",
        f"{CALLER_HEADER}: 6.6.6.6 https -",
    )
    writer.write(head)  # comes behind, and is not read
    with connection:
        assert await sender.send(connection.fileno(), head)
    answer = await soon(reader.read())
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert answer.count(b"HTTP/1.1") == 1
    assert seen == ["127.0.0.1"]
    writer.close()
    sender.close()


@on_both_loops
async def test_a_connection_that_cannot_be_served(
    nodes: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    member = await nodes.add("a")
    sender = Sender(f"{member.peer.directory}/{member.peer.id}.fd")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
        assert await sender.send(datagrams.fileno(), b"GET / HTTP/1.1\r\n\r\n")
    await until(lambda: "could not be served" in caplog.text)
    assert not member.router._doors._tasks
    sender.close()


# ---------------------------------------------------------------------------- files and ports


async def nobody(request: Any) -> Any:
    raise AssertionError


def made(peer: Peer) -> Doors:
    return Doors(peer, nobody, Seal(SECRET, time.time), Metrics())


@on_both_loops
async def test_what_lies_in_the_directory(nodes: Cluster) -> None:
    with directory() as path:
        doors = made(Peer("aaaaaaaa", path))
        await doors.start()
        assert sorted(os.listdir(path)) == ["aaaaaaaa.fd", "aaaaaaaa.sock"]
        await doors.stop()
        assert os.listdir(path) == []
        await doors.stop()


async def test_stale_files_are_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    with directory() as path:
        for name, kind in ((".sock", socket.SOCK_STREAM), (".fd", socket.SOCK_SEQPACKET)):
            for node in ("dead", "young", "alive"):
                with socket.socket(socket.AF_UNIX, kind) as left:
                    left.bind(f"{path}/{node}{name}")
        Path(path, "note").touch()
        alive = made(Peer("alive2", path))
        await alive.start()  # removes nothing yet: all are young
        assert len(os.listdir(path)) == 9
        old = time.time() - 2 * module.STALE
        for name in os.listdir(path):
            if not name.startswith("young"):
                os.utime(Path(path, name), (old, old))
        doors = made(Peer("aaaaaaaa", path))
        await doors.start()
        assert sorted(os.listdir(path)) == [
            "aaaaaaaa.fd", "aaaaaaaa.sock", "alive2.fd", "alive2.sock", "note",
            "young.fd", "young.sock",
        ]  # fmt: skip
        await doors.stop()
        await alive.stop()


async def test_a_path_that_is_too_long(tmp_path: Path) -> None:
    far = tmp_path / ("x" * 90)
    far.mkdir()
    with pytest.raises(OSError, match="too long"):
        await made(Peer("aaaaaaaa", str(far))).start()


async def test_a_port_that_is_taken() -> None:
    with directory() as path, socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(OSError, match="in use"):
            await made(Peer("aaaaaaaa", path, f"127.0.0.1:{port}")).start()
        assert os.listdir(path) == []  # nothing stays behind


@pytest.mark.parametrize(
    ("address", "parts"),
    [
        ("10.0.0.1:7000", ("10.0.0.1", 7000)),
        ("[::1]:7000", ("::1", 7000)),
        ("db.example:1", ("db.example", 1)),
    ],
)
def test_addresses(address: str, parts: tuple[str, int]) -> None:
    assert host_and_port(address) == parts


async def test_nowhere_to_listen() -> None:
    doors = made(Peer("aaaaaaaa"))
    await doors.start()
    assert doors._runners == []
    await doors.stop()


async def test_without_passing_of_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sioserver.transport.handoff.SUPPORTED", False)
    with directory() as path:
        doors = made(Peer("aaaaaaaa", path))
        await doors.start()
        assert os.listdir(path) == ["aaaaaaaa.sock"]
        await doors.stop()


@on_both_loops
async def test_a_connection_that_comes_just_when_it_stops(nodes: Cluster) -> None:
    member = await nodes.add("a")
    here, there = socket.socketpair()
    with there:
        there.settimeout(5)
        here.setblocking(False)
        member.router._doors._take(here, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        await member.router.stop()
        there.shutdown(socket.SHUT_WR)
        assert b"Transport unknown" in there.recv(1000)  # answered, and closed
        assert there.recv(1000) == b""
