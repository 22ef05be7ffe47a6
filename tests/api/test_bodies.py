"""Bodies of requests to the API."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from sioserver.api.bodies import read, read_object
from sioserver.errors import Refusal

MOST = 1000

Http = TestClient[web.Request, web.Application]


@pytest.fixture
async def http() -> AsyncIterator[Http]:
    async def echo(request: web.Request) -> web.Response:
        kinds = request.query.getall("kind", [])
        try:
            return web.Response(body=bytes(await read(request, MOST, *kinds)))
        except Refusal as refusal:
            return web.Response(status=refusal.status, text=refusal.message)

    app = web.Application()
    app.router.add_post("/", echo)
    async with TestClient(TestServer(app)) as client:
        yield client


JSON = {"Content-Type": "application/json"}


async def test_to_the_byte(http: Http) -> None:
    for size, status in ((0, 200), (MOST, 200), (MOST + 1, 413)):
        async with http.post("/", data=b"x" * size, headers=JSON) as answer:
            assert answer.status == status
            assert len(await answer.read()) == (
                size if status == 200 else len("at most 1000 bytes are read")
            )


async def test_what_comes_in_pieces(http: Http) -> None:
    async def pieces(count: int) -> AsyncIterator[bytes]:
        for _ in range(count):
            yield b"x" * 500

    for count, status in ((2, 200), (3, 413)):
        async with http.post("/", data=pieces(count), headers=JSON) as answer:
            assert answer.status == status


async def test_what_is_packed(http: Http) -> None:
    for packed, status in (
        (gzip.compress(b"x" * MOST), 200),
        (gzip.compress(b"x" * 1_000_000), 413),
    ):
        headers = {**JSON, "Content-Encoding": "gzip"}
        async with http.post("/", data=packed, headers=headers) as answer:
            assert answer.status == status, packed


async def test_what_is_not_packed_as_it_says(http: Http) -> None:
    reader, writer = await asyncio.open_connection(http.host, http.port)
    head = "POST / HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Encoding: gzip"
    writer.write(f"{head}\r\nContent-Length: 10\r\n\r\nnot packed".encode())
    answer = await reader.read()
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert answer.endswith(b"the body is malformed")
    writer.close()
    await writer.wait_closed()


@pytest.mark.parametrize(
    ("kind", "query", "status"),
    [
        ("application/json", "", 200),
        ("Application/JSON; charset=utf-8", "", 200),
        ("text/plain", "", 400),
        ("application/octet-stream", "", 400),
        ("application/octet-stream", "?kind=application/octet-stream", 200),
        ("application/json", "?kind=application/octet-stream", 400),
    ],
)
async def test_kinds(http: Http, kind: str, query: str, status: int) -> None:
    async with http.post("/" + query, data=b"{}", headers={"Content-Type": kind}) as answer:
        assert answer.status == status


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (b'{"a": [1, "\\u00e9"]}', {"a": [1, "é"]}),
        (b" {} ", {}),
        (b'{"a": 1, "a": 2}', {"a": 2}),
        (b'{"a": ' + b"[" * 63 + b"]" * 63 + b"}", None),
        (b'{"a": ' + b"[" * 64 + b"]" * 64 + b"}", "deeper than 64"),
        (b"[]", "is an object"),
        (b"null", "is an object"),
        (b"", "not understood"),
        (b'{"a": NaN}', "not understood"),
        (b'{"a": 1e999}', "not understood"),
        (b'{"a": "\\ud800"}', "not understood"),
        (b'{"a": "\xff"}', "not understood"),
        (b"{" * 100_000, "not understood"),
    ],
)
async def test_objects(body: bytes, found: object) -> None:
    got: list[object] = []

    async def look(request: web.Request) -> web.Response:
        try:
            got.append(await read_object(request, 1_000_000))
        except Refusal as refusal:
            got.append(refusal.message)
        return web.Response()

    app = web.Application()
    app.router.add_post("/", look)
    async with TestClient(TestServer(app)) as http:
        await http.post("/", data=body, headers=JSON)
    if isinstance(found, str):
        assert found in str(got[0])
    else:
        assert isinstance(got[0], dict)
        assert found is None or got == [found]


async def test_what_could_have_been_sent_is_said() -> None:
    async def look(request: web.Request) -> web.Response:
        try:
            await read_object(request, 10, "application/json", "application/octet-stream")
        except Refusal as refusal:
            return web.Response(text=refusal.message)
        return web.Response()

    app = web.Application()
    app.router.add_post("/", look)
    async with TestClient(TestServer(app)) as http:
        for headers in ({"Content-Type": "text/plain"}, {}):
            answer = await http.post(
                "/", data=b"{}", headers=headers, skip_auto_headers=["Content-Type"]
            )
            text = await answer.text()
            assert text == "the Content-Type has to be application/json or application/octet-stream"
