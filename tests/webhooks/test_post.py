"""One request to an endpoint, and everything that can become of it."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from sioserver.webhooks.post import MOST_READ, Answer, Poster

from .kit import Receiver, answers, hangs

BODY = b'{"events":[]}'


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with Receiver() as receiver:
        yield receiver


async def post(url: str, timeout: float = 20.0, times: int = 1) -> Answer:
    poster = Poster(url, timeout=timeout, concurrency=2)
    try:
        for _ in range(times):
            answer = await poster.post(BODY, {"X-Test": "1"})
        return answer
    finally:
        await poster.close()


async def test_it_is_taken(receiver: Receiver) -> None:
    assert await post(receiver.url) == Answer("ok")
    headers, body = receiver.raw[0]
    assert (headers["X-Test"], body) == ("1", BODY)
    assert headers["Accept-Encoding"] == "identity"


@pytest.mark.parametrize("status", [301, 302, 307, 308, 400, 404, 410, 429, 500, 503])
async def test_any_other_status_is_a_failure(receiver: Receiver, status: int) -> None:
    """A redirect too: the receiver fails when it is asked elsewhere."""
    receiver.behaviour = answers(status, Location="/elsewhere")
    answer = await post(receiver.url)
    assert (answer.result, answer.detail) == ("status", f"the answer is {status}")


@pytest.mark.parametrize(
    ("value", "seconds"), [("7", 7.0), ("", 0.0), ("soon", 0.0), ("-1", 0.0), ("99999999", 0.0)]
)
async def test_the_endpoint_may_say_when(receiver: Receiver, value: str, seconds: float) -> None:
    receiver.behaviour = answers(503, **{"Retry-After": value})
    assert (await post(receiver.url)).retry_after == seconds


async def test_an_answer_that_does_not_come(receiver: Receiver) -> None:
    receiver.behaviour = hangs
    answer = await post(receiver.url, timeout=0.1)
    assert answer == Answer("timeout", "no answer within 0.1 seconds")


async def test_an_answer_that_does_not_end(receiver: Receiver) -> None:
    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(1000):
            await response.write(b"x" * MOST_READ)
        return response

    receiver.behaviour = endless
    assert (await post(receiver.url)).result == "ok"  # and the rest is not read


async def test_nobody_is_there() -> None:
    async with Receiver() as receiver:
        url = receiver.url
    answer = await post(url)
    assert answer.result == "unreachable"
    assert "ClientConnectorError" in answer.detail


async def test_what_is_no_http() -> None:
    async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"SSH-2.0-OpenSSH_9.0\r\n\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(babble, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        assert (await post(f"http://127.0.0.1:{port}/")).result == "unreachable"


async def test_a_certificate_that_nobody_knows(receiver: Receiver) -> None:
    import trustme

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)

    async def quiet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        raise AssertionError("it was let in")

    async with await asyncio.start_server(quiet, "127.0.0.1", 0, ssl=context) as server:
        port = server.sockets[0].getsockname()[1]
        answer = await post(f"https://127.0.0.1:{port}/")
    assert answer.result == "unreachable"
    assert "CertificateError" in answer.detail


async def test_connections_are_used_again(receiver: Receiver) -> None:
    peers = set()

    async def note(request: web.Request) -> web.Response:
        assert request.transport is not None
        peers.add(request.transport.get_extra_info("peername"))
        return web.Response(text="x" * 1000)

    receiver.behaviour = note
    assert (await post(receiver.url, times=3)).result == "ok"
    assert len(peers) == 1
