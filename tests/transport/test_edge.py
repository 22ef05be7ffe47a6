"""Who asks, from where; CORS; what each answer has."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest

from sioserver.transport.edge import takes

from .kit import engineio_server, serve

SELF = object()  # stands for the server's own origin

RULES = {
    "default": (None, {SELF: 200, "http://evil.example": 400, "null": 400, None: 200}),
    "one": ("http://a.example", {"http://a.example": 200, SELF: 400, None: 200}),
    "list": (
        ["http://a.example", "https://*.b.example"],
        {"http://a.example": 200, "https://c.b.example": 200, "https://b.example": 400},
    ),
    "any": ("*", {"http://evil.example": 200, "null": 200, None: 200}),
    "any in a list": (["*"], {"http://evil.example": 200}),
    "off": ([], {"http://evil.example": 200}),
    "callable 1": (
        lambda origin: origin == "http://a.example",
        {"http://a.example": 200, SELF: 400},
    ),
    "callable 2": (
        lambda origin, environ: environ["REQUEST_METHOD"] == "GET",
        {"http://evil.example": 200},
    ),
}


@pytest.mark.parametrize(("allowed", "origins"), RULES.values(), ids=RULES.keys())
async def test_origins(allowed: Any, origins: dict[Any, int]) -> None:
    async with serve(engineio_server(cors_allowed_origins=allowed), "engine.io") as site:
        for origin, status in origins.items():
            text = site.origin if origin is SELF else origin
            headers = {} if text is None else {"Origin": text}
            async with site.http.get(site.url(), headers=headers) as answer:
                assert answer.status == status, origin
                shown = answer.headers.get("Access-Control-Allow-Origin")
                assert shown == (text if status == 200 and allowed != [] else None)
            if status == 200:
                ws = await site.http.ws_connect(site.url("websocket"), headers=headers)
                await ws.close()
            else:
                with pytest.raises(aiohttp.WSServerHandshakeError):
                    await site.http.ws_connect(site.url("websocket"), headers=headers)


async def test_a_forwarded_host_is_believed_only_from_a_proxy() -> None:
    headers = {
        "Origin": "https://evil.example",
        "X-Forwarded-Host": "evil.example",
        "X-Forwarded-Proto": "https",
    }
    for trusted, status in (((), 400), (("127.0.0.1",), 200)):
        async with serve(engineio_server(trusted_proxies=trusted), "engine.io") as site:
            assert (await site.get(headers=headers))[0] == status


async def test_preflight() -> None:
    async with serve(engineio_server(cors_allowed_origins="http://a.example"), "engine.io") as site:
        headers = {"Origin": "http://a.example", "Access-Control-Request-Headers": "x-token"}
        async with site.http.options(site.url(), headers=headers) as answer:
            assert answer.status == 200
            assert answer.headers["Access-Control-Allow-Origin"] == "http://a.example"
            assert answer.headers["Access-Control-Allow-Methods"] == "OPTIONS, GET, POST"
            assert answer.headers["Access-Control-Allow-Headers"] == "x-token"
            assert answer.headers["Access-Control-Allow-Credentials"] == "true"


async def test_the_clients_address() -> None:
    seen: list[dict[str, Any]] = []
    for trusted in ((), ("127.0.0.1", "10.0.0.0/8")):
        eio = engineio_server(trusted_proxies=trusted)
        eio.on("connect", lambda sid, environ: seen.append(environ))
        async with serve(eio, "engine.io") as site:
            headers = [
                ("X-Forwarded-For", "6.6.6.6, 1.2.3.4"),
                ("X-Forwarded-For", "10.0.0.7"),
                ("X-Forwarded-Proto", "https"),
                ("User-Agent", "me"),
            ]
            await site.get(headers=headers)
    assert [environ["REMOTE_ADDR"] for environ in seen] == ["127.0.0.1", "1.2.3.4"]
    assert [environ["wsgi.url_scheme"] for environ in seen] == ["http", "https"]
    assert all(environ["HTTP_USER_AGENT"] == "me" for environ in seen)
    assert all("EIO=4" in environ["QUERY_STRING"] for environ in seen)


@pytest.mark.parametrize(
    ("cookie", "wanted"),
    [
        (None, None),
        ("io", "io={sid}; path=/; SameSite=Lax"),
        ({"name": "x", "HttpOnly": True, "path": lambda: "/p"}, "x={sid}; HttpOnly; path=/p"),
    ],
)
async def test_the_cookie(cookie: Any, wanted: str | None) -> None:
    async with serve(engineio_server(cookie=cookie), "engine.io") as site:
        async with site.http.get(site.url()) as answer:
            sid = (await answer.text()).split('"')[3]
            shown = answer.headers.get("Set-Cookie")
            assert shown == (wanted and wanted.format(sid=sid))
        async with site.http.get(site.url(sid=sid)) as answer:
            assert "Set-Cookie" not in answer.headers


@pytest.mark.parametrize(
    ("on", "accepted", "coding"),
    [
        (True, "gzip, deflate", "gzip"),
        (True, "deflate;q=1", "deflate"),
        (True, "br", None),
        (True, "", None),
        (False, "gzip", None),
    ],
)
async def test_compression(on: bool, accepted: str, coding: str | None) -> None:
    async with serve(engineio_server(http_compression=on), "engine.io") as site:
        client = await site.polling()
        for size in (10, 5000):
            await site.eio.send(client.sid, "x" * size)
            headers = {"Accept-Encoding": accepted}
            async with site.http.get(site.url(sid=client.sid), headers=headers) as answer:
                assert answer.headers.get("Content-Encoding") == (coding if size > 1024 else None)
                assert await answer.text() == "4" + "x" * size


def test_the_compressed_form_is_gzip() -> None:
    assert gzip.decompress(engineio_server()._gzip(b"x")) == b"x"


@pytest.mark.parametrize(
    ("handler", "counts"),
    [
        (lambda a: None, {1}),
        (lambda a, b=1: None, {1, 2}),
        (lambda *a: None, {0, 1, 2, 3}),
        (lambda a, /, **kw: None, {1}),
        (lambda a, *, b: None, set()),
    ],
)
def test_takes(handler: Callable[..., None], counts: set[int]) -> None:
    assert {count for count in range(4) if takes(handler, count)} == counts
    assert takes(print, 3)
    assert takes("".join, 1)
