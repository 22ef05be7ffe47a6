"""Reaching a server: what the URL says, TLS, users, the first words, and the pauses between."""

from __future__ import annotations

import asyncio
import ssl
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from sioserver.config.schema import Redis as Settings
from sioserver.engine.redis_access import (
    LONGEST_PAUSE,
    Access,
    Address,
    Hello,
    NotReady,
    ReplyError,
    keep_connected,
    pauses,
    risks,
)

from ..redis_servers import ask, standalone, tls_proxy
from .redis_kit import FakeRedis, always, on_both_loops


def access(url: str) -> Access:
    return Access(Settings(url=url), "a name")


async def greet(url: str, *more: Any) -> tuple[Hello, list[Any]]:
    wanted = access(url)
    transport, hello, replies = await wanted.connect(wanted.address, *more)
    transport.abort()
    return hello, replies


# -- URLs


@pytest.mark.parametrize(
    ("url", "address", "user", "database"),
    [
        ("redis://", Address("localhost", 6379), (None, None), 0),
        ("redis://there:1234/7", Address("there", 1234), (None, None), 7),
        ("redis://:p%40ss@[::1]:1", Address("::1", 1), (None, "p@ss"), 0),
        ("redis://ann:x@h?db=3", Address("h", 6379), ("ann", "x"), 3),
        ("unix:///run/v.sock", Address("/run/v.sock", 0), (None, None), 0),
        ("unix://ann:x@/run/v.sock?db=2", Address("/run/v.sock", 0), ("ann", "x"), 2),
    ],
)
def test_what_an_url_says(
    url: str, address: Address, user: tuple[str | None, str | None], database: int
) -> None:
    found = access(url)
    assert found.address == address
    assert (found.username, found.password) == user
    assert found.database == database
    assert found.tls is None


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("http://h", "scheme"),
        ("redis://app:pa#s-w0rd@h:1", r"in a password write %23 for #"),
        ("redis://h?colour=red", r"^redis.url cannot be used: there is no option 'colour'$"),
        ("rediss://h?ssl_ca_certs=/no/such/file", "No such file"),
        ("redis://h:port", "port"),
    ],
)
def test_what_makes_no_sense_is_said_without_the_password(url: str, complaint: str) -> None:
    with pytest.raises(NotReady, match=complaint) as raised:
        access(url.replace("://", "://:hush@"))
    assert raised.value.hopeless
    assert "hush" not in str(raised.value)
    assert "'app" not in str(raised.value)
    assert raised.value.__cause__ is None or "hush" not in str(raised.value.__cause__)


def test_tls_as_the_url_wants_it() -> None:
    tls = access("rediss://h").tls
    assert tls is not None
    assert tls.verify_mode is ssl.CERT_REQUIRED
    assert tls.check_hostname
    tls = access("rediss://h?ssl_cert_reqs=none").tls
    assert tls is not None
    assert tls.verify_mode is ssl.CERT_NONE


def test_addresses_as_text() -> None:
    texts = [str(address) for address in (Address("h", 1), Address("::1", 2), Address("/s", 0))]
    assert texts == ["h:1", "[::1]:2", "/s"]


# -- errors


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("WRONGTYPE of key", "WRONGTYPE"),
        ("OOM command not allowed. script: 1234, on @user_script:1.", "OOM"),
        (
            "ERR Error running script (call to f_1): @user_script:1: @user_script: 1: "
            "-OOM command not allowed",
            "OOM",
        ),
        ("ERR Error running script: nil value", "ERR"),
    ],
)
def test_the_code_of_an_error(text: str, code: str) -> None:
    assert ReplyError(text).code == code


# -- greetings


@on_both_loops
async def test_a_greeting_tells_what_is_there() -> None:
    async with FakeRedis() as fake:
        hello, replies = await greet(fake.url, ("ECHO", "1"))
        assert hello == Hello(master=True, cluster=False, version=(7, 2), clock=fake.clock)
        assert replies == [b"OK"]


@pytest.mark.parametrize(
    ("ping", "loading"),
    [(b"-LOADING data\r\n", True), (b"-MASTERDOWN link\r\n", False), (b"-BUSY script\r\n", False)],
)
async def test_a_server_that_cannot_serve_says_so(ping: bytes, loading: bool) -> None:
    async with FakeRedis() as fake:
        fake.ping = ping
        with pytest.raises(NotReady, match=ping.split()[0][1:].decode()) as raised:
            await greet(fake.url)
        assert raised.value.loading is loading
        assert not raised.value.hopeless


async def test_a_server_whose_disk_is_full_can_still_be_read() -> None:
    async with FakeRedis() as fake:
        fake.ping = b"-MISCONF disk\r\n"
        await greet(fake.url)


@pytest.mark.parametrize(
    ("about", "complaint"),
    [({"version": b"6.0.9"}, "at least 6.2"), ({"mode": b"sentinel"}, "redis.sentinels")],
)
async def test_a_server_that_will_never_do(about: dict[str, bytes], complaint: str) -> None:
    async with FakeRedis() as fake:
        for name, value in about.items():
            setattr(fake, name, value)
        with pytest.raises(NotReady, match=complaint) as raised:
            await greet(fake.url)
        assert raised.value.hopeless


async def test_a_greeting_that_says_nothing() -> None:
    async with FakeRedis() as fake:
        fake._obey = lambda line, command: line.say(b"+OK\r\n")  # type: ignore[method-assign]
        with pytest.raises(NotReady, match="does not greet"):
            await greet(fake.url)


async def test_something_that_is_no_redis() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        with pytest.raises(NotReady, match=r"not a Redis: .* \(one that speaks TLS needs rediss"):
            await greet(f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        with pytest.raises(OSError, match=r"\(one that does not speak TLS needs redis://"):
            await greet(f"rediss://127.0.0.1:{server.sockets[0].getsockname()[1]}")


async def test_a_server_that_hangs_up() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        with pytest.raises(ConnectionResetError, match=r"\(one that speaks TLS needs"):
            await greet(f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        with pytest.raises(ConnectionResetError, match=r"\(one that does not speak TLS needs"):
            await greet(f"rediss://127.0.0.1:{server.sockets[0].getsockname()[1]}")


@on_both_loops
async def test_a_server_without_tls_is_silent() -> None:
    async with FakeRedis() as fake:
        fake.stalled = True
        url = fake.url.replace("redis:", "rediss:")
        with pytest.raises(OSError, match=r"\(one that does not speak TLS needs redis://"):
            await Access(Settings(url=url, timeout=0.1), "x").connect(
                Address("127.0.0.1", fake.port)
            )


@pytest.mark.parametrize(
    ("persistence", "memory", "words"),
    [
        (b"aof_enabled:1", b"maxmemory:0\r\nmaxmemory_policy:allkeys-lru", []),
        (b"aof_enabled:1", b"maxmemory:9\r\nmaxmemory_policy:noeviction", []),
        (b"# P\r\naof_enabled:0\r\n", b"", ["no append-only file"]),
        (
            b"",
            b"maxmemory:9\r\nmaxmemory_policy:volatile-ttl\r\n",
            ["(maxmemory-policy volatile-ttl)"],
        ),
        (b"\xff", b":", []),
    ],
)
def test_what_may_become_of_messages(persistence: bytes, memory: bytes, words: list[str]) -> None:
    found = list(risks(persistence, memory))
    assert len(found) == len(words)
    for risk, word in zip(found, words, strict=True):
        assert word in risk


# -- real servers


async def test_user_password_and_database(tmp_path: Path) -> None:
    with standalone(tmp_path) as server:
        ask(server, "ACL", "SETUSER", "ann", "on", ">se:cret", "~*", "+@all")
        ask(server, "ACL", "SETUSER", "default", ">other")
        for user in ("ann:se%3Acret", ":other", "default:other"):
            url = f"redis://{user}@127.0.0.1:{server.port}/5"
            _, [info, who] = await greet(url, ("CLIENT", "INFO"), ("ACL", "WHOAMI"))
            assert b" db=5 " in info
            assert b" name=a-name " in info
            assert who == (b"ann" if user.startswith("ann") else b"default")
        for wrong in ("", "ann:other@", ":se%3Acret@"):
            with pytest.raises(NotReady, match="check user and password") as raised:
                await greet(f"redis://{wrong}127.0.0.1:{server.port}")
            assert raised.value.hopeless
        with pytest.raises(NotReady, match="out of range"):
            await greet(f"redis://:other@127.0.0.1:{server.port}/99")


@on_both_loops
async def test_tls() -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        with standalone(directory) as server:
            async with tls_proxy(server, directory / "tls", client_certificates=True) as proxy:
                mine = f"&ssl_certfile={directory}/tls/client.pem"
                mine += f"&ssl_keyfile={directory}/tls/client.key"
                _, [reply] = await greet(proxy.url + mine, ("ECHO", "x" * 100_000))
                assert len(reply) == 100_000
                with pytest.raises(OSError, match=r"(?i)certificate|reset|closed"):
                    await greet(proxy.url)  # without a certificate of ours
                with pytest.raises(ssl.SSLCertVerificationError):
                    await greet(f"rediss://localhost:{proxy.port}")
                with pytest.raises(ssl.SSLCertVerificationError):
                    await greet(proxy.url.replace("localhost", "127.0.0.1") + mine)


# -- keeping it


def test_pauses_double_up_to_a_second() -> None:
    found = list(islice(pauses(jitter=lambda low, high: high), 7))
    assert found == [0.05, 0.1, 0.2, 0.4, 0.8, LONGEST_PAUSE, LONGEST_PAUSE]
    jittered = list(islice(pauses(), 7))
    assert all(full / 2 <= pause <= full for pause, full in zip(jittered, found, strict=True))
    assert jittered != list(islice(pauses(), 7))


class Keeper:
    def __init__(self) -> None:
        self.failures: list[tuple[Address | None, str]] = []
        self.hellos: list[Hello] = []
        self.broken: asyncio.Future[None]
        self.changed = asyncio.Event()

    def on_transport(
        self, transport: asyncio.Transport, hello: Hello, address: Address
    ) -> asyncio.Future[None]:
        self.transport = transport
        self.hellos.append(hello)
        self.broken = asyncio.get_running_loop().create_future()
        self.changed.set()
        return self.broken

    def on_failure(self, address: Address | None, error: Exception) -> None:
        self.failures.append((address, str(error)))
        self.changed.set()

    async def news(self) -> None:
        await self.changed.wait()
        self.changed.clear()


async def test_attempts_go_on_until_it_works_and_again_after_each_break() -> None:
    async with FakeRedis() as fake:
        wanted, keeper = access(fake.url), Keeper()
        fake.role, fake.stalled = b"replica", False
        keeping = asyncio.create_task(
            keep_connected(wanted, always(wanted.address), keeper, timeout=0.3)
        )
        await keeper.news()
        assert keeper.failures == [(wanted.address, "it is a replica, and cannot be written to")]
        fake.stalled = True
        while "no answer" not in keeper.failures[-1][1]:
            await keeper.news()
        fake.role, fake.stalled = b"master", False
        while not keeper.hellos:
            await keeper.news()
        for number in (1, 2):
            keeper.transport.abort()
            keeper.broken.set_result(None)
            while len(keeper.hellos) == number:
                await keeper.news()
        keeper.transport.abort()
        keeping.cancel()
        await asyncio.wait([keeping])
        assert keeping.cancelled()


@pytest.mark.parametrize("failure", [NotReady("nobody knows"), KeyError("nobody knows")])
async def test_a_place_that_is_not_known_yet_is_asked_for_again(failure: Exception) -> None:
    """Also after what nobody foresaw: the node would stay without Redis for ever."""
    places: list[Any] = [failure, None]

    async def where() -> Address:
        if found := places.pop(0):
            raise found
        return wanted.address

    async with FakeRedis() as fake:
        wanted, keeper = access(fake.url), Keeper()
        keeping = asyncio.create_task(keep_connected(wanted, where, keeper, timeout=5))
        while not keeper.hellos:
            await keeper.news()
        assert keeper.failures == [(None, str(failure))]
        keeper.transport.abort()
        keeping.cancel()
        await asyncio.wait([keeping])
