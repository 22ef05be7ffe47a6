"""One request for a key set: what may come back, and what must not be done about it."""

import asyncio
import gzip
from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from sioserver.keys import fetch as module
from sioserver.keys.fetch import NotFetched, fetch
from sioserver.keys.files import LARGEST_FILE


class Place:
    """A server that answers as a test says, and what it was asked."""

    def __init__(self) -> None:
        self.answer = web.Response(body=b"keys")
        self.slow = asyncio.Event()
        self.slow.set()
        self.requests: list[web.Request] = []
        app = web.Application()
        app.router.add_get("/keys", self._keys)
        app.router.add_get("/other", self._keys)
        self.server = TestServer(app)

    async def _keys(self, request: web.Request) -> web.Response:
        self.requests.append(request)
        await self.slow.wait()
        return self.answer

    @property
    def url(self) -> str:
        return str(self.server.make_url("/keys"))


@pytest.fixture
async def place() -> AsyncIterator[Place]:
    place = Place()
    await place.server.start_server()
    yield place
    place.slow.set()
    await place.server.close()


async def test_what_is_there(place: Place) -> None:
    place.answer.set_cookie("a", "b")
    assert await fetch(place.url) == b"keys"
    (request,) = place.requests
    assert request.headers["Accept-Encoding"] == "identity"
    assert not {"Cookie", "Authorization", "Referer"} & request.headers.keys()


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (web.Response(status=404), "404"),
        (web.Response(status=500, body=b"keys"), "500"),
        (web.Response(status=204), "204"),
        (web.Response(status=302, headers={"Location": "/other"}), "302"),
        (web.Response(body=b"x" * (LARGEST_FILE + 1)), f"more than {LARGEST_FILE} bytes"),
    ],
)
async def test_what_is_no_key_set(place: Place, answer: web.Response, says: str) -> None:
    place.answer = answer
    with pytest.raises(NotFetched, match=says):
        await fetch(place.url)
    assert [request.path for request in place.requests] == ["/keys"]  # no redirect is followed


async def test_the_largest(place: Place) -> None:
    place.answer = web.Response(body=b"x" * LARGEST_FILE)
    assert len(await fetch(place.url)) == LARGEST_FILE


async def test_what_is_packed_is_not_unpacked(place: Place) -> None:
    packed = gzip.compress(b"x" * 10_000_000)
    place.answer = web.Response(body=packed, headers={"Content-Encoding": "gzip"})
    assert await fetch(place.url) == packed


async def test_no_answer_in_time(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TIMEOUT", 0.05)
    place.slow.clear()
    with pytest.raises(NotFetched, match=r"within 0\.05 seconds"):
        await fetch(place.url)


async def test_nobody_there(place: Place) -> None:
    url = place.url
    await place.server.close()
    with pytest.raises(NotFetched, match="ClientConnectorError"):
        await fetch(url)


async def test_something_else_than_http() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"\x16\x03\x01 hello\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        for scheme in ("http", "https"):
            with pytest.raises(NotFetched):
                await fetch(f"{scheme}://127.0.0.1:{port}/keys")


@pytest.mark.parametrize("url", ["https://", "file:///etc/passwd", "ftp://a/b", "http://[/"])
async def test_addresses_that_are_none(url: str) -> None:
    """The configuration refuses them already."""
    with pytest.raises(NotFetched):
        await fetch(url)
