"""A session is its owner's: neither a page of another origin nor another token opens it."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator, Iterator
from typing import Any

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sioserver.auth.bearer import bearer
from sioserver.transport import binding
from sioserver.transport.binding import MISMATCHES, OURS, Binding, read
from sioserver.transport.frames import Outgoing

from . import kit
from .cluster import Cluster, at, free_address, on_both_loops
from .kit import PONG, Site, engineio_server, serve, until

UNKNOWN = (400, '{"code":1,"message":"Session ID unknown"}')
A, B = "http://a.example", "http://b.example"

# ---------------------------------------------------------------------------- values


@pytest.mark.parametrize(
    ("headers", "origin"),
    [
        ({}, OURS),
        ({"Origin": "http://our.example:8000"}, OURS),
        ({"Origin": "HTTPS://Our.Example:8000"}, OURS),
        ({"Origin": "http://our.example"}, "http://our.example"),
        ({"Origin": "http://A.example"}, A),
        ({"Origin": A, "Sec-Fetch-Site": "same-site"}, A),
        ({"Origin": A, "Sec-Fetch-Site": "cross-site"}, A),
        ({"Origin": A, "Sec-Fetch-Site": "same-origin"}, OURS),
        ({"Origin": "null"}, "null"),
    ],
)
def test_whose_page_it_is(headers: dict[str, str], origin: str) -> None:
    assert read(headers, "192.0.2.1", "our.example:8000").origin == origin


def test_without_a_name_of_the_server_no_origin_is_ours() -> None:
    assert read({"Origin": A}, "192.0.2.1", None).origin == A


@pytest.mark.parametrize(
    ("address", "local"),
    [
        ("", True),
        ("127.0.0.1", True),
        ("127.1.2.3", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("10.0.0.1", False),
        ("192.0.2.1", False),
        ("2001:db8::1", False),
        ("::ffff:192.0.2.1", False),
    ],
)
def test_where_it_comes_from(address: str, local: bool) -> None:
    assert read({}, address, "a").local is local


def test_a_token_is_not_kept() -> None:
    with_token = read({"Authorization": "Bearer secret-word"}, "", "a")
    assert len(with_token.token) == 32
    assert "secret-word" not in repr(with_token)
    assert read({"Authorization": "bearer  secret-word "}, "", "a") == with_token
    assert read({"Authorization": "Bearer secret-wore"}, "", "a") != with_token


@pytest.mark.parametrize("header", ["Basic YTpi", 'Digest username="a"', "Bearer", "Bearer ", ""])
def test_what_a_proxy_asks_for_is_not_ours(header: str) -> None:
    """Digest sends another header with each request."""
    assert read({"Authorization": header}, "", "a") == read({}, "", "a")
    assert bearer(header) is None


def test_who_is_alike_shares_one() -> None:
    assert read({}, "192.0.2.1", "a") is read({}, "2001:db8::1", "b")


@given(st.builds(Binding, st.text(), st.binary(), st.booleans()), st.sampled_from(MISMATCHES))
def test_one_difference_is_enough(bound: Binding, what: str) -> None:
    assert bound.mismatch(bound) is None
    assert bound.mismatch(Binding(*bound)) is None
    others = {
        "origin": bound._replace(origin=bound.origin + "x"),
        "token": bound._replace(token=bound.token + b"x"),
        "address": bound._replace(local=not bound.local),
    }
    assert bound.mismatch(others[what]) == what
    assert others[what].mismatch(bound) == what


@given(st.text(), st.text(), st.text(), st.text())
def test_any_header_can_be_read(origin: str, token: str, address: str, host: str) -> None:
    headers = {"Origin": origin, "Authorization": f"Bearer {token}"}
    assert read(headers, address, host) == read(headers, address, host)


# ---------------------------------------------------------------------------- a server


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    yield
    binding._common.cache_clear()


def slow_server(**options: Any) -> Any:
    """One that nobody has to answer in time."""
    return engineio_server(ping_interval=20, ping_timeout=20, **options)


@pytest.fixture
async def calm() -> AsyncIterator[Site]:
    async with serve(slow_server(), "engine.io") as site:
        yield site


class Told:
    """What the server counts."""

    def __init__(self, site: Site) -> None:
        self.mismatches: list[str] = []
        site.eio.hooks.count = self.count

    def count(self, what: str, label: str) -> None:
        if what == "mismatches":
            self.mismatches.append(label)


async def opened(site: Site, **headers: str) -> str:
    """The id of a new session of who sends these headers."""
    async with site.http.get(site.url(), headers=named(headers)) as answer:
        assert answer.status == 200, await answer.text()
        return str(json.loads((await answer.text()).split("\x1e")[0][1:])["sid"])


def named(headers: dict[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}


async def ask(site: Site, sid: str, **headers: str) -> set[tuple[int, str]]:
    """What a post, a poll and an upgrade with these headers are answered; all three try."""
    answers = {await site.post(sid, PONG, headers=named(headers))}
    site.eio.sockets[sid].write(Outgoing(["x"]))
    answers.add(await site.get(sid, headers=named(headers)))
    return answers


async def upgrade_status(site: Site, sid: str, **headers: str) -> int:
    try:
        ws = await site.http.ws_connect(site.url("websocket", sid), headers=named(headers))
    except aiohttp.WSServerHandshakeError as error:
        return error.status
    await ws.close()
    return 101


OPEN = {(200, "ok"), (200, "4x")}


@pytest.mark.parametrize(
    ("owner", "others", "what"),
    [
        ({"Origin": A}, {"Origin": B}, "origin"),
        ({"Origin": A}, {}, "origin"),
        ({}, {"Origin": A}, "origin"),
        ({"Authorization": "Bearer one"}, {"Authorization": "Bearer two"}, "token"),
        ({"Authorization": "Bearer one"}, {}, "token"),
        ({}, {"Authorization": "Bearer one"}, "token"),
        ({"X_Forwarded_For": "192.0.2.1"}, {"X_Forwarded_For": "127.0.0.1"}, "address"),
        ({"X_Forwarded_For": "127.0.0.1"}, {"X_Forwarded_For": "2001:db8::1"}, "address"),
    ],
)
async def test_another_client_does_not_open_a_session(
    owner: dict[str, str], others: dict[str, str], what: str
) -> None:
    server = slow_server(cors_allowed_origins=[A, B], trusted_proxies=["127.0.0.1"])
    async with serve(server, "engine.io") as site:
        told = Told(site)
        sid = await opened(site, **owner)
        assert await ask(site, sid, **owner) == OPEN
        assert await ask(site, sid, **others) == {UNKNOWN}
        assert await upgrade_status(site, sid, **others) == 400
        assert told.mismatches == [what] * 3
        site.eio.sockets[sid].fetch()
        assert await ask(site, sid, **owner) == OPEN
        assert told.mismatches == [what] * 3
        assert await upgrade_status(site, sid, **owner) == 101


@pytest.mark.parametrize(
    "later",
    [
        {"X_Forwarded_For": "198.51.100.7"},
        {"X_Forwarded_For": "2001:db8::7"},
        {"X_Forwarded_For": "10.1.2.3"},
        {"X_Forwarded_For": "192.0.2.1", "Origin": "http://127.0.0.1:PORT"},
        {"X_Forwarded_For": "192.0.2.1", "Origin": A, "Sec_Fetch_Site": "same-origin"},
        {"X_Forwarded_For": "192.0.2.1", "X_Forwarded_Host": "a.example", "Origin": A},
        {"X_Forwarded_For": "192.0.2.1", "Authorization": "Basic YTpi"},
    ],
)
async def test_what_may_change_in_the_life_of_a_client(later: dict[str, str]) -> None:
    """It goes from one network to another; browsers send an Origin with some requests only."""
    server = slow_server(cors_allowed_origins="*", trusted_proxies=["127.0.0.1"])
    async with serve(server, "engine.io") as site:
        later = {name: value.replace("PORT", str(site.port)) for name, value in later.items()}
        sid = await opened(site, X_Forwarded_For="192.0.2.1")
        assert await ask(site, sid, **later) == OPEN
        assert await upgrade_status(site, sid, **later) == 101


async def test_in_the_lane_another_client_is_not_known() -> None:
    """Requests that are answered past aiohttp are those whose every byte has been admitted."""
    server = slow_server(cors_allowed_origins=[A, B])
    async with serve(server, "engine.io") as site:
        told = Told(site)
        async with site.http.get(site.url(), headers={"Origin": A}) as answer:
            sid = json.loads((await answer.text()).split("\x1e")[0][1:])["sid"]
        kept = kit.Kept(*await site.raw())
        post = site.url(sid=sid)
        for _ in range(3):
            assert (await kept.ask(site.request("POST", post, PONG.encode(), Origin=A)))[0] == 200
        assert b"POST" in site.eio.sockets[sid].heads
        for headers in ({"Origin": B}, {}, {"Origin": A, "Authorization": "Bearer x"}):
            status, _, body = await kept.ask(site.request("POST", post, PONG.encode(), **headers))
            assert (status, body.decode()) == UNKNOWN
        assert told.mismatches == ["origin", "origin", "token"]
        assert (await kept.ask(site.request("POST", post, PONG.encode(), Origin=A)))[0] == 200
        kept.writer.close()


async def test_nothing_tells_a_strangers_session_from_none(calm: Site) -> None:
    """Not even the questions that are asked after the one for the session."""
    client = await calm.websocket()
    sids = client.sid, "A" * 24
    for asked in ({}, {"EIO": "3"}):
        for method in ("GET", "POST", "PUT"):
            answers = []
            for sid in sids:
                url = (
                    calm.url(sid=sid, **asked).replace("EIO=4&", "") if asked else calm.url(sid=sid)
                )
                headers = {"Authorization": "Bearer x"}
                async with calm.http.request(method, url, headers=headers) as answer:
                    fields = {k: v for k, v in answer.headers.items() if k != "Date"}
                    answers.append((answer.status, fields, await answer.text()))
            assert answers[0] == answers[1]
            assert answers[0][2] == UNKNOWN[1]


@pytest.mark.parametrize("hosts", ["one host", "two hosts"])
@on_both_loops
async def test_it_is_the_client_that_counts_not_the_node_that_passes_it_on(
    nodes: Cluster, hosts: str
) -> None:
    options: dict[str, Any] = {"cors_allowed_origins": [A, B], "trusted_proxies": ["127.0.0.1"]}
    if hosts == "one host":
        owner, entry = await nodes.add("a", **options), await nodes.add("a", **options)
    else:
        owner = await nodes.add("a", address=free_address(), **options)
        entry = await nodes.add("b", address=free_address(), **options)
    told = Told(owner.site)
    good = {"Origin": A, "Authorization": "Bearer one", "X_Forwarded_For": "192.0.2.1"}
    sid = await opened(owner.site, **good)
    away = at(owner.site, entry)
    assert await ask(away, sid, **good) == OPEN
    bad = [{**good, "Origin": B}, {**good, "Authorization": "Bearer two"}]
    bad.append({**good, "X_Forwarded_For": "127.0.0.1"})
    for headers in bad:
        assert await ask(away, sid, **headers) == {UNKNOWN}
        assert await upgrade_status(away, sid, **headers) == 400
        owner.session(sid).fetch()
    assert told.mismatches == ["origin"] * 3 + ["token"] * 3 + ["address"] * 3
    ws = await away.http.ws_connect(away.url("websocket", sid), headers=named(good))
    await ws.send_str("2probe")
    assert (await ws.receive()).data == "3probe"
    await ws.send_str("5")
    await until(lambda: owner.session(sid).upgraded)
    await ws.close()


# ---------------------------------------------------------------------------- guesses


async def test_guesses_are_answered_alike_and_leave_no_trace(
    calm: Site, logged: pytest.LogCaptureFixture
) -> None:
    logged.set_level(logging.DEBUG)
    client = await calm.polling()
    guesses = [f"{number:024d}" for number in range(500)] + ["-" * 24, client.sid[:-1], "x"]
    answers = set()
    kept = kit.Kept(*await calm.raw())
    for guess in guesses:
        status, _, body = await kept.ask(calm.request("GET", calm.url(sid=guess)))
        answers.add((status, body.decode()))
    assert answers == {UNKNOWN}
    assert list(calm.eio.sockets) == [client.sid]
    kept.writer.close()
    await client.send("4still here")
    assert await client.receive() == "4still here"
    told = logged.text
    assert not [sid for sid in (*guesses[:500], client.sid) if sid in told]
