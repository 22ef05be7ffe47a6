"""Who asks, from where; CORS; what each answer has."""

from __future__ import annotations

import gc
import gzip
import json
import weakref
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest

from sioserver.origins import Origins
from sioserver.transport import edge
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


@pytest.mark.parametrize(
    ("said", "origin", "own"),
    [
        # two lists without X-Forwarded-For: only the proxy that asked is known
        (("http, https", "evil.example, a.example"), "https://a.example", True),
        (("https, http", "evil.example, a.example"), "https://evil.example", False),
        (("HTTPS", "a.example"), "https://a.example", True),
        (("https", "a.example:443"), "https://a.example", True),
        (("https", "a.example"), "http://a.example", False),
        (("https", "a.example"), "https://inner:8000", False),
        ((None, "a.example"), "http://a.example", True),
        (("https", None), "https://inner:8000", True),
        ((None, None), "http://inner:8000", True),
        ((None, None), "https://inner:8000", False),
    ],
)
@pytest.mark.parametrize("policy", [None, Origins()])
async def test_the_own_origin_behind_a_trusted_proxy(
    said: tuple[str | None, str | None], origin: str, own: bool, policy: Origins | None
) -> None:
    names = ("X-Forwarded-Proto", "X-Forwarded-Host")
    headers = {name: text for name, text in zip(names, said, strict=True) if text is not None}
    headers |= {"Host": "inner:8000", "Origin": origin}
    eio = engineio_server(trusted_proxies=["127.0.0.1"], origins=policy)
    async with serve(eio, "engine.io") as site:
        assert (await site.get(headers=headers))[0] == (200 if own else 400)


async def test_what_a_client_writes_to_the_left_of_a_proxy_is_not_believed() -> None:
    """Two proxies that append: the first was asked by the client, who had written all three."""
    headers = [
        ("X-Forwarded-For", "10.0.0.9, 192.0.2.1"),
        ("X-Forwarded-For", "10.0.0.1"),
        ("X-Forwarded-Proto", "ftp, https"),
        ("X-Forwarded-Proto", "http"),
        ("X-Forwarded-Host", "evil.example, a.example"),
        ("X-Forwarded-Host", "inner"),
    ]
    eio = engineio_server(trusted_proxies=["127.0.0.1", "10.0.0.0/8"])
    async with serve(eio, "engine.io") as site:
        for origin, status in (
            ("https://a.example", 200),
            ("https://evil.example", 400),
            ("ftp://evil.example", 400),
            ("http://inner", 400),
        ):
            assert (await site.get(headers=[*headers, ("Origin", origin)]))[0] == status


async def test_preflight() -> None:
    async with serve(engineio_server(cors_allowed_origins="http://a.example"), "engine.io") as site:
        headers = {"Origin": "http://a.example", "Access-Control-Request-Headers": "x-token"}
        async with site.http.options(site.url(), headers=headers) as answer:
            assert answer.status == 200
            assert answer.headers["Access-Control-Allow-Origin"] == "http://a.example"
            assert answer.headers["Access-Control-Allow-Methods"] == "OPTIONS, GET, POST"
            assert answer.headers["Access-Control-Allow-Headers"] == "x-token"
            assert answer.headers["Access-Control-Allow-Credentials"] == "true"


LISTED = ["http://a.example", "https://*.b.example"]
POLICIES = {
    "own": (Origins(), {SELF: 200, None: 200, "http://a.example": 400, "null": 400}),
    "listed": (
        Origins(LISTED),
        {
            SELF: 200,
            None: 200,
            "http://a.example": 200,
            "https://c.b.example": 200,
            "https://b.example": 400,
            "https://evilb.example": 400,
            "https://a.example": 400,
            "http://a.example:81": 400,
            "null": 400,
            "http://a.example, http://evil.example": 400,
        },
    ),
    "anybody": (Origins(anybody=True), {SELF: 200, None: 200, "http://evil.example": 200}),
}


@pytest.mark.parametrize(("origins", "pages"), POLICIES.values(), ids=POLICIES.keys())
async def test_the_origins_of_a_policy_at_every_door(
    origins: Origins, pages: dict[Any, int]
) -> None:
    eio = engineio_server(origins=origins, ping_interval=20, ping_timeout=20)
    async with serve(eio, "engine.io") as site:
        client = await site.polling()
        for page, status in pages.items():
            text = site.origin if page is SELF else page
            headers = {} if text is None else {"Origin": text}
            shown = "*" if origins.anybody else text if status == 200 else None
            sid = None
            # the first GET opens a session, which is this page's alone
            for method, body in (("OPTIONS", None), ("GET", None), ("POST", "4x"), ("GET", None)):
                url = site.url(sid=sid)
                async with site.http.request(method, url, headers=headers, data=body) as answer:
                    assert answer.status == status, (method, page)
                    if method == "GET" and sid is None:
                        first = await answer.text()
                        sid = json.loads(first[1:])["sid"] if status == 200 else client.sid
                    assert answer.headers.get("Access-Control-Allow-Origin") == shown
                    assert answer.headers.get("Vary") == (None if origins.anybody else "Origin")
                    assert "Access-Control-Allow-Credentials" not in answer.headers
                    assert "Set-Cookie" not in answer.headers
                    told = answer.headers.get("Access-Control-Allow-Methods")
                    assert (told is not None) == (method == "OPTIONS" and shown is not None)
            if status == 200:
                ws = await site.http.ws_connect(site.url("websocket"), headers=headers)
                assert "Set-Cookie" not in ws._response.headers
                await ws.close()
                continue
            for url in (site.url("websocket"), site.url("websocket", client.sid)):
                with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                    await site.http.ws_connect(url, headers=headers)
                assert refused.value.status == status


@pytest.mark.parametrize(
    ("wanted", "allowed"),
    [
        ("authorization, x-shop", "authorization, x-shop"),
        ("X-Shop", "X-Shop"),
        ("", None),
        ("x;y", None),
        ("<b>", None),
        ("x, ", None),
    ],
)
async def test_what_a_preflight_allows(wanted: str, allowed: str | None) -> None:
    async with serve(engineio_server(origins=Origins(LISTED)), "engine.io") as site:
        for origin, status in (("http://a.example", 200), ("http://evil.example", 400)):
            headers = {"Origin": origin, "Access-Control-Request-Headers": wanted}
            async with site.http.options(site.url(), headers=headers) as answer:
                assert answer.status == status
                names = answer.headers.get("Access-Control-Allow-Headers")
                assert names == (allowed if status == 200 else None)
                assert ("Access-Control-Max-Age" in answer.headers) == (status == 200)


@pytest.mark.parametrize(
    ("site_of", "status"), [("cross-site", 400), ("same-site", 400), ("same-origin", 200)]
)
async def test_what_another_site_embeds_opens_no_session(site_of: str, status: int) -> None:
    """An image or a script: the browser sends no Origin, and shows nobody the answer."""
    headers = {"Sec-Fetch-Site": site_of}
    async with serve(engineio_server(origins=Origins(LISTED)), "engine.io") as site:
        assert (await site.get(headers=headers))[0] == status
        headers["Origin"] = "http://a.example"
        assert (await site.get(headers=headers))[0] == 200
    for server in (engineio_server(origins=Origins(anybody=True)), engineio_server()):
        async with serve(server, "engine.io") as site:
            assert (await site.get(headers={"Sec-Fetch-Site": site_of}))[0] == 200


@pytest.mark.parametrize("transport", ["polling", "websocket"])
async def test_jsonp_is_refused(transport: str) -> None:
    async with serve(engineio_server(origins=Origins(anybody=True)), "engine.io") as site:
        async with site.http.get(site.url(transport, j="0")) as answer:
            assert answer.status == 400
            assert "___eio" not in await answer.text()
        assert not site.eio.sockets


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


class Unhashable:
    __hash__ = None  # type: ignore[assignment]

    def __call__(self, a: Any) -> None: ...


class Slotted:
    __slots__ = ()

    def __call__(self, a: Any) -> None: ...


def test_takes_is_found_out_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes 30 us, and is asked for every client that comes and goes."""
    found_out: list[tuple[Any, int]] = []
    real = edge._takes

    def counted(handler: Any, count: int) -> bool:
        found_out.append((handler, count))
        return real(handler, count)

    monkeypatch.setattr(edge, "_takes", counted)

    def function(a: Any) -> None: ...

    class Handlers:
        def one(self, a: Any) -> None: ...

    handlers = Handlers()
    for _ in range(3):
        assert (takes(function, 1), takes(function, 2)) == (True, False)
        # made anew each time; and other objects have the same function
        assert (takes(handlers.one, 1), takes(Handlers().one, 2)) == (True, False)
    assert found_out == [(function, 1), (function, 2), (Handlers.one, 2), (Handlers.one, 3)]
    # what has no hash, or no weak references, is asked again
    for handler in (Unhashable(), Slotted()):
        found_out.clear()
        assert takes(handler, 1)
        assert takes(handler, 1)
        assert len(found_out) == 2
    # and nothing is kept alive
    kept = weakref.ref(function)
    del function
    found_out.clear()
    gc.collect()
    assert kept() is None
