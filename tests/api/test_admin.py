"""The operator's HTTP API."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import jwt
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from sioserver.api.admin import MAX_BODY
from sioserver.app import METRICS, create_app
from sioserver.auth.api_keys import BYTES, make
from sioserver.config import Config
from sioserver.config.schema import Api, Auth, Limits, Server, Store
from sioserver.metrics import Metrics

SECRET = "correct horse battery staple, and more"
KEY, ENTRY = make("ops", ["admin"], b"o" * BYTES)
SCRAPER, SCRAPER_ENTRY = make("scraper", ["metrics"], b"s" * BYTES)
OPS = {"Authorization": f"Bearer {KEY}"}
PATH = "/api/revocations"

Http = TestClient[web.Request, web.Application]


@asynccontextmanager
async def running(**sections: Any) -> AsyncIterator[Http]:
    config = Config(
        **{
            "auth": Auth(secret=SECRET),
            "api": Api(keys=[str(ENTRY), str(SCRAPER_ENTRY)]),
            "store": Store(path=":memory:"),
            **sections,
        }
    )
    async with TestClient(TestServer(create_app(config))) as http:
        yield http


@pytest.fixture
async def http() -> AsyncIterator[Http]:
    async with running() as http:
        yield http


def counts(http: Http) -> Metrics:
    return http.server.app[METRICS]  # type: ignore[attr-defined, no-any-return]


def token(**claims: Any) -> str:
    return jwt.encode({"sub": "ann", "exp": time.time() + 600, **claims}, SECRET, "HS256")


async def post(http: Http, body: Any, **headers: str) -> tuple[int, dict[str, Any]]:
    async with http.post(PATH, json=body, headers={**OPS, **headers}) as answer:
        return answer.status, await answer.json()


async def listed(http: Http, query: str = "") -> dict[str, Any]:
    async with http.get(PATH + query, headers=OPS) as answer:
        assert answer.status == 200, await answer.text()
        found: dict[str, Any] = await answer.json()
        return found


# ---------------------------------------------------------------------------- what


async def test_a_rule_is_made_told_and_lifted(http: Http) -> None:
    before = time.time()
    status, answer = await post(http, {"user": "ann / ä"})
    assert status == 200
    rule = answer["revocation"]
    assert rule["user"] == "ann / ä"
    assert before <= rule["before"] <= time.time()
    assert rule["until"] > before + 399 * 86400
    assert await listed(http) == {"ok": True, "items": [rule]}
    where = f"{PATH}/users/ann%20%2F%20%C3%A4"
    async with http.delete(where, headers=OPS) as answer:
        assert (answer.status, await answer.json()) == (200, {"ok": True})
        assert answer.headers["Cache-Control"] == "no-store"
    assert await listed(http) == {"ok": True, "items": []}
    async with http.delete(where, headers=OPS) as answer:
        assert answer.status == 404
        assert (await answer.json())["error"]["message"] == "there is no such rule"


async def test_every_kind(http: Http) -> None:
    now = time.time()
    until = now + 60
    wanted: list[dict[str, Any]] = [
        {"before": now - 5, "until": until},
        {"token": "t1", "until": until},
        {"user": "ann", "before": now - 5, "until": until},
    ]
    for body in wanted:
        assert await post(http, body) == (200, {"ok": True, "revocation": body})
    assert (await listed(http))["items"] == wanted
    for path in ("all", "tokens/t1", "users/ann"):
        async with http.delete(f"{PATH}/{path}", headers=OPS) as answer:
            assert answer.status == 200
    assert (await listed(http))["items"] == []


async def test_pages(http: Http) -> None:
    for number in range(5):
        await post(http, {"token": f"a:{number}"})
    found: list[str] = []
    query = "?limit=2"
    while True:
        page = await listed(http, query)
        found += [rule["token"] for rule in page["items"]]
        assert len(page["items"]) <= 2
        if "next" not in page:
            break
        query = f"?limit=2&after={page['next']}"
    assert found == [f"a:{number}" for number in range(5)]


async def test_a_whole_token(http: Http) -> None:
    status, answer = await post(http, {"token": token(jti="t9")})
    assert (status, answer["revocation"]["token"]) == (200, "t9")
    status, answer = await post(http, {"token": token(jti="t9")})
    assert (status, answer["error"]["code"]) == (400, "bad_request"), "it is revoked already"


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"until": 9e9},
        {"token": "t", "user": "ann"},
        {"token": "t", "before": 1},
        {"user": 5},
        {"user": ""},
        {"user": "a\u0000"},
        {"before": "now"},
        {"before": 1e400},
        {"before": 9e9},
        {"user": "ann", "more": 1},
        [],
        "ann",
        None,
    ],
)
async def test_what_is_not_understood(http: Http, body: Any) -> None:
    status, answer = await post(http, body)
    assert status == 400
    assert answer["ok"] is False
    assert answer["error"]["code"] == "bad_request"
    assert (await listed(http))["items"] == []


@pytest.mark.parametrize("query", ["?limit=0", "?limit=1001", "?limit=x", "?limit=", "?after=x"])
async def test_what_is_no_page(http: Http, query: str) -> None:
    async with http.get(PATH + query, headers=OPS) as answer:
        assert answer.status == 400


async def test_bodies_are_bounded_and_json(http: Http) -> None:
    body = b'{"user": "' + b"a" * MAX_BODY + b'"}'
    headers = {**OPS, "Content-Type": "application/json"}

    async def pieces() -> AsyncIterator[bytes]:
        yield body[:9000]
        yield body[9000:]

    for data in (body, pieces()):
        async with http.post(PATH, data=data, headers=headers) as answer:
            assert answer.status == 413
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
        headers = {**OPS, "Content-Type": kind}
        async with http.post(PATH, data=b'{"user": "ann"}', headers=headers) as answer:
            assert answer.status == 400
            assert "application/json" in await answer.text()
    for data in (b"\xff", b"{", b"[" * 10_000):
        headers = {**OPS, "Content-Type": "application/json"}
        async with http.post(PATH, data=data, headers=headers) as answer:
            assert answer.status == 400


# ---------------------------------------------------------------------------- who


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({}, 401, "unauthorized"),
        ({"X-API-Key": KEY}, 200, ""),
        ({"Authorization": f"bearer {KEY}"}, 200, ""),
        ({"Authorization": KEY}, 401, "unauthorized"),
        ({"Authorization": f"Basic {KEY}"}, 401, "unauthorized"),
        ({"X-API-Key": KEY[:-1]}, 401, "unauthorized"),
        ({"X-API-Key": str(ENTRY)}, 401, "unauthorized"),
        ({"X-API-Key": SCRAPER}, 403, "forbidden"),
        ({"Cookie": f"key={KEY}"}, 401, "unauthorized"),
        ({"Authorization": "Bearer nonsense"}, 401, "unauthorized"),
    ],
)
async def test_keys(http: Http, headers: dict[str, str], status: int, code: str) -> None:
    async with http.get(PATH, headers=headers) as answer:
        assert answer.status == status
        found = await answer.json()
        assert code == ("" if found["ok"] else found["error"]["code"])
        assert (answer.headers.get("WWW-Authenticate") == "Bearer") is (status == 401)


async def test_a_key_in_the_query_opens_nothing(http: Http) -> None:
    for query in (f"?key={KEY}", f"?api_key={KEY}", f"?token={token(perms=['admin'])}"):
        async with http.get(PATH + query) as answer:
            assert answer.status == 401


@pytest.mark.parametrize(
    ("perms", "status"),
    [
        (["admin"], 200),
        (["join", "admin"], 200),
        (["join"], 403),
        (None, 403),
        ({"a": ["admin"]}, 403),
    ],
)
async def test_tokens(http: Http, perms: Any, status: int) -> None:
    claims = {} if perms is None else {"perms": perms}
    headers = {"Authorization": f"Bearer {token(**claims)}"}
    async with http.get(PATH, headers=headers) as answer:
        assert answer.status == status
    async with http.get(PATH, headers=headers, params={"x": "1"}) as answer:
        assert answer.status == status


async def test_a_revoked_operator_is_none(http: Http) -> None:
    headers = {"Authorization": f"Bearer {token(perms=['admin'], iat=time.time() - 9)}"}
    async with http.post(PATH, json={"user": "ann"}, headers=headers) as answer:
        assert answer.status == 200
    async with http.get(PATH, headers=headers) as answer:
        assert answer.status == 401


async def test_without_keys_and_tokens_there_is_no_such_address() -> None:
    async with running(auth=Auth(), api=Api()) as http:
        for method in ("GET", "POST"):
            async with http.request(method, PATH, headers=OPS) as answer:
                assert answer.status == 404
        async with http.delete(f"{PATH}/all", headers=OPS) as answer:
            assert answer.status == 404
        assert (await http.get("/metrics")).status == 200


async def test_who_tries_keys_is_made_to_wait_and_who_has_one_is_not() -> None:
    limits = Limits(auth_failure_rate=0.001, auth_failure_burst=3)
    async with running(limits=limits, server=Server(trusted_proxies=["127.0.0.1"])) as http:
        stranger = {"X-Forwarded-For": "192.0.2.7", "Authorization": "Bearer sio_nonsense"}
        answers = [await http.get(PATH, headers=stranger) for _ in range(5)]
        assert [answer.status for answer in answers] == [401, 401, 401, 429, 429]
        assert int(answers[-1].headers["Retry-After"]) > 100
        elsewhere = {**stranger, "X-Forwarded-For": "198.51.100.7"}
        assert (await http.get(PATH, headers=elsewhere)).status == 401
        good = {**stranger, **OPS}
        assert (await http.get(PATH, headers=good)).status == 200
        refusals = counts(http).admin_refusals
        assert (refusals["unauthorized"], refusals["rate_limited"]) == (4, 2)
        assert counts(http).limit_hits["auth_failure_rate"] == 2


async def test_good_tokens_do_not_count_as_failures() -> None:
    limits = Limits(auth_failure_rate=0.001, auth_failure_burst=3)
    async with running(limits=limits, server=Server(trusted_proxies=["127.0.0.1"])) as http:
        for perms, status in ((["admin"], 200), (["join"], 403)):
            good = {"Authorization": f"Bearer {token(perms=perms)}", "X-Forwarded-For": "192.0.2.7"}
            for _ in range(5):
                assert (await http.get(PATH, headers=good)).status == status


async def test_no_page_of_another_site_can_ask(http: Http) -> None:
    headers = {"Origin": "http://a.example", "Access-Control-Request-Method": "POST"}
    async with http.options(PATH, headers=headers) as answer:
        assert answer.status == 405
    async with http.post(PATH, json={"user": "ann"}, headers={**OPS, **headers}) as answer:
        assert not [name for name in answer.headers if name.startswith("Access-Control")]


async def test_no_key_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    whole, bad = token(jti="t1", perms=["admin"]), "sio_" + "ab" * 32
    async with running() as http:
        for shown in (KEY, SCRAPER, bad, whole):
            for headers in ({"X-API-Key": shown}, {"Authorization": f"Bearer {shown}"}):
                await http.get(f"{PATH}?key={shown}", headers=headers)
                await http.post(PATH, json={"user": "ann"}, headers=headers)
        await post(http, {"token": whole})
    # the test's own HTTP server writes a log as well
    told = "\n".join(
        record.getMessage() for record in caplog.records if record.name.startswith("sioserver")
    )
    assert "the key ops revoked" in told
    for shown in (KEY, SCRAPER, bad, whole):
        assert shown not in told


# ---------------------------------------------------------------------------- metrics


async def test_metrics_may_be_for_operators_only() -> None:
    async with running(server=Server(metrics="admin")) as http:
        for headers, status in (
            ({}, 401),
            ({"X-API-Key": SCRAPER}, 200),
            (OPS, 200),
            ({"Authorization": f"Bearer {token(perms=['admin'])}"}, 200),
            ({"Authorization": f"Bearer {token()}"}, 403),
        ):
            assert (await http.get("/metrics", headers=headers)).status == status
        assert (await http.get("/healthz")).status == 200


async def test_what_operators_do_is_counted(http: Http) -> None:
    await post(http, {"user": "ann"})
    await http.delete(f"{PATH}/users/ann", headers=OPS)
    text = await (await http.get("/metrics")).text()
    assert 'sioserver_revocations_total{what="user"} 1.0' in text
    assert 'sioserver_revocations_total{what="lifted"} 1.0' in text
    assert 'sioserver_admin_refusals_total{code="unauthorized"} 0.0' in text
