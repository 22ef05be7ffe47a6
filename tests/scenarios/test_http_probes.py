"""What strangers send to an HTTP port: heads that two parsers could read differently, connections
that say nothing, heads and bodies that take for ever. Each is answered or closed, and nobody else
notices."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from sioserver.startup import allow_many_files

from ..hostile import House, configured, house
from ..transport import kit
from ..transport.kit import soon, until

MANY = 1000

POST = "POST /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: a\r\n"
GET = "GET /healthz HTTP/1.1\r\nHost: a\r\n"
NEXT = "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"

# What is sent, and the status of the one answer to it.
HEADS = {
    "length and chunked": (POST + "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
    "chunked and length": (POST + "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n", 400),
    "two lengths": (POST + "Content-Length: 4\r\nContent-Length: 5\r\n\r\nabcd", 400),
    "two equal lengths": (POST + "Content-Length: 4\r\nContent-Length: 4\r\n\r\nabcd", 400),
    "a list of lengths": (POST + "Content-Length: 4, 4\r\n\r\nabcd", 400),
    "length with a sign": (POST + "Content-Length: +4\r\n\r\nabcd", 400),
    "negative length": (POST + "Content-Length: -4\r\n\r\nabcd", 400),
    "length with a line": (POST + "Content-Length: 1_0\r\n\r\nabcdefghij", 400),
    "length in hexadecimal": (POST + "Content-Length: 0x4\r\n\r\nabcd", 400),
    "length in other digits": (POST + "Content-Length: \u0664\r\n\r\nabcd", 400),
    "an unknown coding": (POST + "Transfer-Encoding: xchunked\r\n\r\n", 400),
    "chunked, but not last": (POST + "Transfer-Encoding: chunked, identity\r\n\r\n", 400),
    "chunked twice": (POST + "Transfer-Encoding: chunked, chunked\r\n\r\n", 400),
    "coding behind a tab": (POST + "Transfer-Encoding:\tchun ked\r\n\r\n", 400),
    "a bare line feed": ("GET /healthz HTTP/1.1\nHost: a\n\n", 400),
    "a bare carriage return": ("GET /healthz HTTP/1.1\rHost: a\r\r", 400),
    "a folded header": (GET + "X: a\r\n b\r\n\r\n", 400),
    "a NUL in a header": (GET + "X: a\0b\r\n\r\n", 400),
    "a space before the colon": (GET + "X : a\r\n\r\n", 400),
    "a header without a name": (GET + ": a\r\n\r\n", 400),
    "a header without a colon": (GET + "X\r\n\r\n", 400),
    "a space before the first header": ("GET /healthz HTTP/1.1\r\n Host: a\r\n\r\n", 400),
    "no host": ("GET /healthz HTTP/1.1\r\n\r\n", 400),
    "two hosts": (GET + "Host: b\r\n\r\n", 400),
    "a long header": (GET + f"X: {'x' * 9000}\r\n\r\n", 431),
    "a long address": (f"GET /{'u' * 20_000} HTTP/1.1\r\nHost: a\r\n\r\n", 431),
    "many headers": (GET + "".join(f"X{n}: x\r\n" for n in range(5000)) + "\r\n", 431),
    "another version": ("GET /healthz HTTP/3.0\r\nHost: a\r\n\r\n", 400),
    "no version": ("GET /healthz\r\n\r\n", 400),
    "HTTP/2": ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    "TLS": ("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
    "no method": (" /healthz HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "a target with a space": ("GET /health z HTTP/1.1\r\nHost: a\r\n\r\n", 400),
}

CHUNKED = POST.replace("polling ", "polling&sid={sid} ") + "Transfer-Encoding: chunked\r\n\r\n"
CHUNKS = {
    "hexadecimal with a sign": "+1\r\n3\r\n0\r\n\r\n",
    "a prefix": "0x1\r\n3\r\n0\r\n\r\n",
    "a line": "0_1\r\n3\r\n0\r\n\r\n",
    "negative": "-1\r\n3\r\n0\r\n\r\n",
    "enormous": "ffffffffffffffffff\r\n3\r\n0\r\n\r\n",
    "longer than said": "1\r\n33\r\n0\r\n\r\n",
    "a bare line feed": "1\n3\n0\n\n",
    "an extension with a line feed": "1;a\n\r\n3\r\n0\r\n\r\n",
}


@pytest.fixture(autouse=True)
def _new_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    """No client of the kit keeps any."""
    monkeypatch.setattr(kit, "WAY", "aiohttp")


async def send(place: House, data: bytes) -> bytes:
    """All that comes back until the connection is closed."""
    reader, writer = await place.raw()
    try:
        writer.write(data)
        return await soon(reader.read())
    except ConnectionError:
        return b""
    finally:
        writer.transport.abort()


async def test_heads_that_parsers_could_read_differently() -> None:
    """Each is refused as a whole: nothing behind it is taken for a request."""
    async with house() as place, place.siege():
        for what, (head, status) in HEADS.items():
            answers = await send(place, head.encode("utf-8") + NEXT.encode())
            found = [int(word) for word in answers.split(b" ")[1:2]]
            assert found == [status], (what, answers[:200])
            assert answers.count(b"HTTP/1.") == 1, what
            assert b"evil" not in answers, what
        assert place.limits()["max_line"] >= 1
        assert place.limits()["max_headers"] == 1


async def test_chunks_that_parsers_could_read_differently() -> None:
    async with house() as place, place.siege():
        for what, chunks in CHUNKS.items():
            session = place.eio.sockets[(await place.polling()).sid]
            data = (CHUNKED.format(sid=session.sid) + chunks + NEXT).encode()
            answers = await send(place, data)
            assert [int(word) for word in answers.split(b" ")[1:2]] == [400], (what, answers[:200])
            assert b'"ok":true' not in answers, what
            session.end("over", "left")


async def test_chunks_that_are_no_good_end_the_session() -> None:
    """What was in them is lost, and the client has to know."""
    async with house() as place, place.siege():
        for what, chunks in CHUNKS.items():
            session = place.eio.sockets[(await place.polling()).sid]
            reader, writer = await place.raw()
            writer.write(CHUNKED.format(sid=session.sid).encode())
            await until(lambda session=session: session.posting)  # type: ignore[misc]
            writer.write((chunks + NEXT).encode())
            answers = await soon(reader.read())
            assert answers.startswith(b"HTTP/1.1 400 "), (what, answers[:200])
            assert b'"ok":true' not in answers, what
            assert session.closed, what
            writer.close()
            await place.get(session.sid)  # its end


async def test_an_upgrade_with_a_body_is_no_way_to_smuggle_a_request() -> None:
    async with house() as place, place.siege():
        head = place.upgrade_head(place.url("websocket"))
        head = head.replace(b"\r\n\r\n", b"\r\nContent-Length: 5\r\n\r\n")
        answers = await send(place, head + b"hello" + NEXT.encode())
        assert answers.count(b"HTTP/1.1 ") == 1
        assert b'"ok":true' not in answers


async def test_an_absolute_target_is_answered_like_any_other() -> None:
    """RFC 9112, 3.2.2: a server has to take it. Nothing of it is reflected."""
    async with house() as place, place.siege():
        head = (
            "GET http://127.0.0.1/healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
        )
        assert (await send(place, head.encode())).startswith(b"HTTP/1.1 200 ")


async def test_this_is_no_way_to_anywhere_else() -> None:
    async with house() as place, place.siege():
        head = b"CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example\r\n\r\n"
        reader, writer = await place.raw()
        writer.write(head + NEXT.encode())
        answers = await soon(reader.readuntil(b'"ok":true'))
        assert answers.startswith(b"HTTP/1.1 404 ")
        assert b"evil" not in answers
        writer.close()


LORIS: Mapping[str, tuple[bytes, str]] = {
    "nothing": (b"", "header_timeout"),
    "a head that drips": (b"GET / HTTP/1.1\r\nHost: a\r\nX: ", "header_timeout"),
    "a body that drips": (
        POST.encode() + b"Content-Length: 100000\r\n\r\n4",
        "",  # the request is refused before its body is there; then it has some time to come
    ),
}


@pytest.mark.parametrize("kind", LORIS)
async def test_a_thousand_that_never_end_are_closed_in_time(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sioserver.transport.http_connections.LINGER", 0.5)
    allow_many_files()
    beginning, limit = LORIS[kind]
    config = configured(limits={"header_timeout": 1, "body_timeout": 1})
    async with house(config) as place, place.siege():
        before = place.limits()
        opened = await asyncio.gather(*(place.raw() for _ in range(MANY)))
        open_now = {id(writer): writer for _, writer in opened}

        async def wait(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                await reader.read()
            except ConnectionError:
                pass
            open_now.pop(id(writer))
            writer.transport.abort()

        async def drip() -> None:
            while open_now:
                for writer in list(open_now.values()):
                    writer.write(b"x")
                await asyncio.sleep(0.05)  # that slowly: it is the attack

        for _, writer in opened:
            writer.write(beginning)
        waiting: list[Any] = [wait(*pair) for pair in opened]
        async with asyncio.timeout(30):
            await asyncio.gather(*waiting, *([drip()] if beginning else []))
        if limit:
            assert place.counted(before, place.limits()) == {limit: MANY}


HERE = {"X-Forwarded-For": "2001:db8::1"}
ELSEWHERE = {"X-Forwarded-For": "203.0.113.9"}


@pytest.mark.parametrize(
    ("limits", "limit"),
    [
        ({"address_connections": 50}, "address_connections"),
        ({"address_accept_rate": 0.001, "address_accept_burst": 50}, "address_accept_rate"),
    ],
)
async def test_a_flood_of_sessions_from_one_network(limits: dict[str, float], limit: str) -> None:
    """Whatever it writes into the header, and whichever address of its network it takes."""
    config = configured(server={"trusted_proxies": ["127.0.0.1"]}, limits=limits)
    async with house(config) as place, place.siege():
        before = place.limits()

        async def come(number: int) -> int:
            spoofed = f"198.51.100.{number % 250}, 2001:db8::{number:x}"
            headers = {"X-Forwarded-For": spoofed}
            async with place.http.get(place.url(), headers=headers) as answer:
                return answer.status

        found = [
            status for _ in range(10) for status in await asyncio.gather(*map(come, range(50)))
        ]
        assert found.count(200) == 50
        assert found.count(503) == 450
        assert place.counted(before, place.limits()) == {limit: 450}
        for headers, status in ((HERE, 503), (ELSEWHERE, 200)):
            async with place.http.get(place.url(), headers=headers) as answer:
                assert answer.status == status
        for sid in place.sessions:
            place.eio.sockets[sid].end("over", "left")
