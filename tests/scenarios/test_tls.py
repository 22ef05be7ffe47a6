"""TLS in front of everything: one process and workers, both event loops, real clients."""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
import struct
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from cryptography import x509

from sioserver.client import Transport
from sioserver.testing import ServerProcess

from ..certificates import DAY, Certificates
from .kit import Bare, until

LOOPS = pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
TRANSPORTS = pytest.mark.parametrize("transport", ["polling", "websocket", None])
EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
PATIENCE = 30.0


@pytest.fixture
def files(tmp_path: Path) -> Certificates:
    return Certificates(tmp_path)


@pytest.fixture
async def http(files: Certificates) -> AsyncIterator[aiohttp.ClientSession]:
    """Requests of somebody who trusts the authority."""
    connector = aiohttp.TCPConnector(ssl=files.client(), limit=0)
    async with aiohttp.ClientSession(connector=connector) as session:
        yield session


def serving(files: Certificates, loop: str = "auto", **options: Any) -> ServerProcess:
    more = {"transport.loop": loop, "drain.seconds": 0, "log.level": "info"}
    options["settings"] = {**files.settings, **more, **options.get("settings", {})}
    return ServerProcess(**options)


@asynccontextmanager
async def connected(
    server: ServerProcess, context: ssl.SSLContext
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", server.port, ssl=context, server_hostname="127.0.0.1"
    )
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def shown(server: ServerProcess, files: Certificates) -> int:
    """The number of the certificate that a new connection is shown."""
    async with connected(server, files.client()) as (_, writer):
        der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    return x509.load_der_x509_certificate(der).serial_number


def number(files: Certificates) -> int:
    return x509.load_pem_x509_certificate(files.cert.read_bytes()).serial_number


async def samples(
    server: ServerProcess, http: aiohttp.ClientSession, name: str
) -> dict[str, float]:
    async with http.get(f"{server.url}/metrics", headers={"Connection": "close"}) as answer:
        text = await answer.text()
    found = re.findall(rf'^sioserver_{name}(?:{{\w+="(\w+)"}})? (\S+)$', text, re.M)
    return {label: float(value) for label, value in found}


def troubles(server: ServerProcess) -> list[str]:
    """What an operator would be alarmed by."""
    return [line for line in server.output if re.search("Traceback|ERROR|WARNING|Error", line)]


# ---------------------------------------------------------------------------- clients


@LOOPS
@pytest.mark.parametrize(
    ("transport", "reader"),
    [("polling", "auto"), ("websocket", "picows"), ("websocket", "aiohttp"), (None, "auto")],
)
async def test_a_chat(
    files: Certificates,
    http: aiohttp.ClientSession,
    loop: str,
    transport: Transport | None,
    reader: str,
) -> None:
    """With what fills more than one record, and what fits into one with others."""
    big = "x" * 60_000
    async with (
        serving(files, loop, settings={"transport.websocket": reader}) as server,
        Bare(server.url, transport, user="ann", http=http) as ann,
        Bare(server.url, transport, user="bob", http=http) as bob,
    ):
        assert server.url.startswith("https://")
        used = transport or "websocket"
        await until(lambda: ann.sio.transport() == bob.sio.transport() == used)
        for body in ("hi", big, b"\0\xff" * 20_000):
            assert (await ann.call("message", body))["ok"]
        answers = await asyncio.gather(*(bob.call("message", n) for n in range(100)))
        assert all(answer["ok"] for answer in answers)
        await until(lambda: len(ann.messages) == len(bob.messages) == 103)
        assert ann.messages == bob.messages
        assert [message["body"] for message in ann.messages[:2]] == ["hi", big]
        assert ann.offsets == list(range(1, 104))
        assert (await samples(server, http, "tls_handshakes_total"))["done"] >= 2
        assert troubles(server) == []


@TRANSPORTS
async def test_who_comes_back_over_tls_gets_what_was_missed(
    files: Certificates, http: aiohttp.ClientSession, tmp_path: Path, transport: Transport | None
) -> None:
    async with serving(files, store=tmp_path / "store.db") as server:
        async with Bare(server.url, transport, user="ann", http=http) as ann:
            await ann.call("message", "before")
            await until(lambda: ann.messages)
        async with Bare(server.url, transport, user="bob", http=http) as bob:
            await bob.call("message", "missed")
            files.issue()
            await server.restart()
            await until(lambda: len(bob.welcomes) == 2)
            again = {"user": "ann", "position": ann.position}
            async with Bare(server.url, transport, http=http, **again) as ann:
                await until(lambda: ann.messages)
                assert [message["body"] for message in ann.messages] == ["missed"]
                assert await shown(server, files) == number(files)


async def test_the_clients_for_python_scripts(files: Certificates, http: Any) -> None:
    """A machine that trusts the authority needs nothing more than the address."""
    async with (
        serving(files) as server,
        Bare(server.url, None, user="ann", http=http) as ann,
        asyncio.timeout(PATIENCE),
    ):
        for name in ("bare_client", "chat_client"):
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, str(EXAMPLES / f"{name}.py"), server.url, "zoe"),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                env={"SSL_CERT_FILE": str(files.authority), "PYTHONPATH": ":".join(sys.path)},
            )
            await process.communicate(f"from {name}\n".encode())
            assert process.returncode == 0
            await until(lambda: f"from {name}" in [m["body"] for m in ann.messages])  # noqa: B023


@LOOPS
async def test_versions(files: Certificates, http: aiohttp.ClientSession, loop: str) -> None:
    async with serving(files, loop) as server:
        for newest, spoken in (("1.2", "TLSv1.2"), ("1.3", "TLSv1.3")):
            version = ssl.TLSVersion[f"TLSv{newest.replace('.', '_')}"]
            async with connected(server, files.client(newest=version)) as (_, writer):
                assert writer.get_extra_info("ssl_object").version() == spoken
        with pytest.warns(DeprecationWarning, match="TLSv1_1"):
            old = files.client(ssl.TLSVersion.TLSv1_1, ssl.TLSVersion.TLSv1_1)
        old.set_ciphers("ALL:@SECLEVEL=0")
        # asyncio says nothing to whom it refuses
        with pytest.raises((ssl.SSLError, ConnectionResetError)):
            async with connected(server, old):
                pass
        assert (await samples(server, http, "tls_handshakes_total"))["version"] == 1


@LOOPS
async def test_pages_are_of_this_server_when_their_scheme_is_https(
    files: Certificates, http: aiohttp.ClientSession, loop: str
) -> None:
    async with serving(files, loop) as server:
        asked = f"{server.url}/socket.io/?EIO=4&transport="
        ours = {"Origin": server.url}
        async with http.get(asked + "polling", headers=ours) as answer:
            assert answer.status == 200
            assert answer.headers["Strict-Transport-Security"] == "max-age=2592000"
        async with http.ws_connect(asked + "websocket", headers=ours) as ws:
            assert (await ws.receive_str()).startswith("0{")
        other = {"Origin": server.url.replace("https:", "http:")}
        async with http.get(asked + "polling", headers=other) as answer:
            assert answer.status == 400
        with pytest.raises(aiohttp.WSServerHandshakeError, match="400"):
            await http.ws_connect(asked + "websocket", headers=other)


# ---------------------------------------------------------------------------- strangers


@LOOPS
async def test_who_speaks_no_tls_is_no_news_but_counted(
    files: Certificates, http: aiohttp.ClientSession, loop: str
) -> None:
    async with serving(files, loop) as server, asyncio.timeout(PATIENCE):
        for said in (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\0" * 100, b"\x16\x03\x01\x02"):
            for linger in (False, True):
                reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
                writer.write(said)
                if linger:  # a reset instead of an orderly end
                    option = struct.pack("ii", 1, 0)
                    writer.get_extra_info("socket").setsockopt(
                        socket.SOL_SOCKET, socket.SO_LINGER, option
                    )
                elif said[0] != 0x16:
                    assert not (await reader.read()).startswith(b"HTTP")
                writer.close()
        with pytest.raises(ssl.SSLCertVerificationError):
            async with connected(server, ssl.create_default_context()):
                pass
        # in the middle of a request, and of a WebSocket, without goodbye
        for begin in (b"GET /so", upgrade()):
            async with connected(server, files.client()) as (reader, writer):
                writer.write(begin)
                if b"Upgrade" in begin:
                    await reader.readuntil(b"0{")
        while (found := await samples(server, http, "tls_handshakes_total"))["plain"] < 2:
            pass
        assert found["done"] >= 3
        assert await server.stop() == 0
    assert troubles(server) == []


def upgrade() -> bytes:
    return (
        b"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
        b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )


# ---------------------------------------------------------------------------- new certificates


@LOOPS
async def test_one_process_takes_a_new_certificate_and_keeps_its_connections(
    files: Certificates, http: aiohttp.ClientSession, loop: str
) -> None:
    async with (
        serving(files, loop) as server,
        Bare(server.url, "websocket", user="ann", http=http) as ann,
        Bare(server.url, "polling", user="bob", http=http) as bob,
    ):
        old = number(files)
        assert await shown(server, files) == old
        files.issue(expires_at=2_000_000_000.0)
        assert await shown(server, files) == old
        server.reload()
        await server.printed(r"SIGHUP: new connections get the .* expires on 2033-05-18 03:33 UTC")
        assert await shown(server, files) == number(files) != old
        assert await samples(server, http, "tls_expires_at_seconds") == {"": 2_000_000_000.0}

        kept = number(files)
        files.cert.write_text("half a certifica")
        server.reload()
        line = await server.printed("ERROR .*SIGHUP")
        assert (
            f"the old certificate stays: tls.cert: there is no certificate (PEM) in {files.cert}"
            in (line.string)
        )
        assert await shown(server, files) == kept
        assert (await ann.call("message", "still here"))["ok"]
        await until(lambda: bob.messages)
        assert (ann.disconnects, bob.disconnects) == (0, 0)


async def test_workers_take_a_new_certificate_and_no_broken_one(
    files: Certificates, http: aiohttp.ClientSession
) -> None:
    async with serving(files, workers=2) as server:
        before = dict(server.workers)
        old = number(files)
        key = files.key.read_bytes()
        files.issue()
        files.key.write_bytes(key)
        server.reload()
        line = await server.printed("ERROR .*SIGHUP")
        assert "the old configuration stays: tls.key: the key in" in line.string
        assert server.workers == before
        for _ in range(8):  # whichever answers
            assert await shown(server, files) == old
        async with http.get(f"{server.url}/readyz") as answer:
            assert answer.status == 200
        files.issue()
        server.reload()
        await server.printed("all workers are replaced")
        for _ in range(8):
            assert await shown(server, files) == number(files)


@pytest.mark.parametrize("workers", [1, 2])
async def test_a_certificate_that_has_expired_is_told(files: Certificates, workers: int) -> None:
    now = time.time()
    files.issue(begins_at=now - 90 * DAY, expires_at=now - DAY)
    files.key.chmod(0o644)
    async with serving(files, workers=workers) as server:
        await server.printed("WARNING .*tls: the certificate expired on .*: clients refuse it")
        await server.printed(f"WARNING .*may read the key in {files.key}")
        files.issue(begins_at=now - 80 * DAY, expires_at=now + 10 * DAY)
        server.reload()
        await server.printed("WARNING .*tls: the certificate expires on")
        warnings = [line for line in server.output if "WARNING" in line and "tls:" in line]
        assert len(warnings) == 3


# ---------------------------------------------------------------------------- workers


@LOOPS
@pytest.mark.skipif(sys.platform != "linux", reason="connections are spread over the workers")
async def test_an_upgrade_that_reaches_the_wrong_worker_is_relayed(
    files: Certificates, loop: str
) -> None:
    """Each request on a connection of its own, to whichever worker: the state of TLS is in the
    process that accepted, so the connection itself cannot be handed to the other."""
    worst = aiohttp.TCPConnector(ssl=files.client(), limit=0, force_close=True)
    async with (
        serving(files, loop, workers=2, settings={"limits.enabled": False}) as server,
        aiohttp.ClientSession(connector=worst) as http,
    ):
        people = [
            Bare(server.url, None if n % 2 else "polling", user=f"u{n}", http=http)
            for n in range(40)
        ]
        await asyncio.gather(*(one.__aenter__() for one in people))
        await until(
            lambda: all(one.sio.transport() == "websocket" for one in people[1::2]), PATIENCE
        )
        answers = await asyncio.gather(
            *(one.call("message", f"{n}" * 5000) for n, one in enumerate(people))
        )
        assert all(answer["ok"] for answer in answers)
        await until(lambda: all(len(one.messages) == 40 for one in people), PATIENCE)
        assert all(one.messages == people[0].messages for one in people)
        assert sum(one.disconnects for one in people) == 0
        forwards: dict[str, dict[str, float]] = {}
        while len(forwards) < 2:  # both have told
            async with http.get(f"{server.url}/metrics") as answer:
                text = await answer.text()
            (node,) = re.findall(r'sioserver_node_info{id="(\w+)"}', text)
            found = re.findall(
                r'sioserver_(forwards|forward_failures)_total{\w+="(\w+)"} (\S+)', text
            )
            forwards[node] = {label: float(value) for _, label, value in found}
        total = {
            label: sum(counts[label] for counts in forwards.values())
            for label in next(iter(forwards.values()))
        }
        # by chance half of them
        assert total["relay"] >= 2
        assert total["polling"] >= 20
        del total["relay"], total["polling"]
        assert set(total.values()) == {0.0}  # `handoff` among them
        await asyncio.gather(*(one.__aexit__() for one in people))
        assert troubles(server) == []
