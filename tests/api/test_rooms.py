"""The rooms by HTTP."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote

import jwt
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from yarl import URL

from sioserver.app import METRICS, create_app
from sioserver.auth.api_keys import BYTES, make
from sioserver.config import Config
from sioserver.config.schema import Api, Auth, Limits, RoomRule, Rooms, Server, Store
from sioserver.errors import Refusal
from sioserver.hooks import Hooks, Joining, Posting
from sioserver.metrics import Metrics

SECRET = "correct horse battery staple, and more"
KEY, ENTRY = make("ops", ["admin"], b"o" * BYTES)
BACKEND, BACKEND_ENTRY = make("backend", ["rooms"], b"b" * BYTES)
SCRAPER, SCRAPER_ENTRY = make("scraper", ["metrics"], b"s" * BYTES)

Http = TestClient[web.Request, web.Application]


@asynccontextmanager
async def running(hooks: Hooks | None = None, **sections: Any) -> AsyncIterator[Http]:
    config = Config(
        **{
            "auth": Auth(secret=SECRET),
            "api": Api(keys=[str(ENTRY), str(BACKEND_ENTRY), str(SCRAPER_ENTRY)]),
            "store": Store(path=":memory:"),
            **sections,
        }
    )
    async with TestClient(TestServer(create_app(config, hooks=hooks))) as http:
        yield http


@pytest.fixture
async def http() -> AsyncIterator[Http]:
    async with running() as http:
        yield http


def counts(http: Http) -> Metrics:
    return http.server.app[METRICS]  # type: ignore[attr-defined, no-any-return]


def token(user: str = "ann", **claims: Any) -> str:
    claims = {"sub": user, "exp": time.time() + 600, **claims}
    return jwt.encode(claims, SECRET, "HS256")


def bearer(user: str = "ann", **claims: Any) -> dict[str, str]:
    return {"Authorization": f"Bearer {token(user, **claims)}"}


OPS = {"X-API-Key": KEY}
BACK_END = {"X-API-Key": BACKEND}


def at(room: str, *rest: str, **query: Any) -> URL:
    path = "/".join(["/api/rooms", quote(room, safe=""), *rest])
    asked = "&".join(f"{name}={quote(str(value), safe='')}" for name, value in query.items())
    return URL(f"{path}?{asked}" if asked else path, encoded=True)


Answer = tuple[int, dict[str, Any]]


async def get(http: Http, where: URL, headers: dict[str, str]) -> Answer:
    async with http.get(where, headers=headers) as answer:
        return answer.status, await answer.json()


async def post(http: Http, room: str, headers: dict[str, str], **body: Any) -> Answer:
    async with http.post(at(room, "messages"), json=body, headers=headers) as answer:
        return answer.status, await answer.json()


def code(answer: Answer) -> tuple[int, str]:
    assert answer[1]["ok"] is False, answer
    return answer[0], answer[1]["error"]["code"]


# ---------------------------------------------------------------------------- messages


async def test_a_message_is_posted_once_and_read(http: Http) -> None:
    status, first = await post(http, "lobby", bearer(name="Ann"), body={"text": "hi"}, id="a-1")
    assert (status, first.keys()) == (201, {"ok", "id", "offset", "at"})
    assert (first["ok"], first["id"], first["offset"]) == (True, "a-1", 1)
    again = await post(http, "lobby", bearer(name="Ann"), body={"text": "hi"}, id="a-1")
    assert again == (200, first)
    status, page = await get(http, at("lobby", "messages"), bearer("bob"))
    assert status == 200
    assert page["items"] == [
        {
            "id": "a-1",
            "offset": 1,
            "user": "ann",
            "name": "Ann",
            "body": {"text": "hi"},
            "at": first["at"],
        }
    ]
    assert (page["more"], page["position"].endswith(".1")) == (False, True)


async def test_an_operator_posts_in_anybody_s_name(http: Http) -> None:
    for headers, named in (
        (OPS, "bot"),
        (BACK_END, {"user": "bot", "name": "The Bot"}),
        (bearer("root", perms=["admin"]), {"user": "bot"}),
    ):
        assert (await post(http, "lobby", headers, body="beep", **{"as": named}))[0] == 201
    # by a token of its own, as itself
    assert (await post(http, "lobby", bearer("root", perms=["admin"]), body="I"))[0] == 201
    _, page = await get(http, at("lobby", "messages"), OPS)
    said = [(item["user"], item["name"]) for item in page["items"]]
    assert said == [("bot", "bot"), ("bot", "The Bot"), ("bot", "bot"), ("root", "root")]
    # in whose name an operator posts is no member for that
    _, people = await get(http, at("lobby", "members", all="true"), OPS)
    assert (people["online"], people["members"], people["total"]) == ([], [], 0)


async def test_who_asks_as_somebody_else(http: Http) -> None:
    assert code(await post(http, "lobby", bearer(), body="x", **{"as": "bob"})) == (
        403,
        "forbidden",
    )
    assert (await post(http, "lobby", bearer(), body="x", **{"as": "ann"}))[0] == 201
    assert code(await get(http, at("lobby", **{"as": "bob"}), bearer())) == (403, "forbidden")
    assert code(await post(http, "lobby", OPS, body="x")) == (400, "bad_request")
    for named in ("", " x", "a\u202eb", "guest:1", 5, [], {}, {"user": 1}, {"user": "a", "x": 1}):
        found = code(await post(http, "lobby", OPS, body="x", **{"as": named}))
        assert found == (400, "bad_request"), named


async def test_bytes(http: Http) -> None:
    raw, headers = b"\0\xff\x00bytes", {**OPS, "Content-Type": "application/octet-stream"}
    where = at("lobby", "messages", id="b-1", **{"as": "bot"})
    for status in (201, 200):
        async with http.post(where, data=raw, headers=headers) as answer:
            assert answer.status == status
            assert answer.headers["Location"] == "messages/1"
    _, page = await get(http, at("lobby", "messages"), OPS)
    assert page["items"][0]["body"] == {"_base64": base64.b64encode(raw).decode()}


async def test_pages_follow_the_link(http: Http) -> None:
    for number in range(1, 8):
        await post(http, "a/b", OPS, body=number, **{"as": "bot"})
    for query, expected in (
        ({}, [[6, 7], [4, 5], [2, 3], [1]]),
        ({"after": 0}, [[1, 2], [3, 4], [5, 6], [7]]),
        ({"before": 4}, [[2, 3], [1]]),
        ({"after": 2, "before": 6}, [[3, 4], [5]]),
        ({"after": 7}, [[]]),
    ):
        found, where = [], at("a/b", "messages", limit=2, **query)
        while True:
            async with http.get(where, headers=OPS) as answer:
                page = await answer.json()
                found.append([item["body"] for item in page["items"]])
                assert page["more"] is ("next" in answer.links)
                if not page["more"]:
                    break
                where = answer.links["next"]["url"].relative()  # type: ignore[assignment, union-attr]
        assert found == expected, query


NAMES = [
    "lobby",
    "team/red",
    "a/b/c",
    "部屋",
    "Ünï/ç",
    "x:y.z-1_",
    "a" * 128,
    "../x",
    "messages",
    "a/messages",
]


@pytest.mark.parametrize("name", NAMES)
async def test_names_of_any_script(http: Http, name: str) -> None:
    assert (await post(http, name, bearer(), body=name))[0] == 201
    status, page = await get(http, at(name, "messages"), bearer())
    assert (status, [item["body"] for item in page["items"]]) == (200, [name])
    status, room = await get(http, at(name), bearer())
    assert (status, room["room"]) == (200, name)


@pytest.mark.parametrize(
    "name", ["a b", "*", "a\0b", "%2F", "a\u202eb", "部" * 86, "@me", "e\u0301", "@x"]
)
async def test_what_is_no_room(http: Http, name: str) -> None:
    for answer in (
        await get(http, at(name), bearer()),
        await get(http, at(name, "messages"), OPS),
        await post(http, name, bearer(), body="x"),
    ):
        assert code(answer) in ((400, "bad_room"), (403, "forbidden"))


# ---------------------------------------------------------------------------- people


async def test_who_posts_becomes_a_member(http: Http) -> None:
    await post(http, "lobby", bearer(name="Ann"), body="hi")
    status, people = await get(http, at("lobby", "members"), bearer("bob"))
    assert (status, people) == (200, {"ok": True, "online": [], "total": 1})
    _, people = await get(http, at("lobby", "members", all="true"), bearer("bob"))
    assert people["members"] == [{"user": "ann", "name": "Ann", "state": "offline"}]
    status, room = await get(http, at("lobby"), bearer("bob"))
    assert (status, room) == (
        200,
        {
            "ok": True,
            "room": "lobby",
            "online": 0,
            "total": 1,
            "permissions": ["join", "read", "history", "post"],
        },
    )


async def test_a_room_that_does_not_tell() -> None:
    rooms = Rooms(rules=[RoomRule(match="quiet", presence=False)])
    async with running(rooms=rooms) as http:
        for where in (at("quiet"), at("quiet", "members")):
            assert code(await get(http, where, bearer())) == (403, "forbidden")


async def test_the_room_of_two_is_that_of_whoever_asks(http: Http) -> None:
    assert (await post(http, "@dm/bob", bearer("ann"), body="psst"))[0] == 201
    assert (await post(http, "@dm/ann", bearer("bob"), body="yes?"))[0] == 201
    for user, other in (("ann", "bob"), ("bob", "ann")):
        _, page = await get(http, at(f"@dm/{other}", "messages"), bearer(user))
        assert [item["body"] for item in page["items"]] == ["psst", "yes?"]
        _, people = await get(http, at(f"@dm/{other}", "members", all="true"), bearer(user))
        assert {one["user"] for one in people["members"]} == {"ann", "bob"}
    _, page = await get(http, at("@dm/bob", "messages"), bearer("eve"))
    assert page["items"] == [], "that is eve's room with bob"
    # a key has none of its own, but a user in whose name it asks has
    assert code(await get(http, at("@dm/bob", "messages"), OPS))[1] in ("forbidden", "bad_room")
    assert (await post(http, "@dm/bob", BACK_END, body="beep", **{"as": "shop"}))[0] == 201
    _, people = await get(http, at("@dm/shop", "members", all="true"), bearer("bob"))
    assert {one["user"] for one in people["members"]} == {"shop", "bob"}


# ---------------------------------------------------------------------------- who may what


async def test_permissions_are_those_of_a_connection() -> None:
    rules = [
        RoomRule(match="private", join=["bob"]),
        RoomRule(match="news", post=["bob"]),
        RoomRule(match="now", history=["bob"]),
    ]
    async with running(rooms=Rooms(rules=rules)) as http:
        assert code(await post(http, "private", bearer(), body="x")) == (403, "forbidden")
        assert code(await get(http, at("private", "messages"), bearer())) == (403, "forbidden")
        assert code(await get(http, at("private", "members"), bearer())) == (403, "forbidden")
        assert code(await get(http, at("private"), bearer())) == (403, "forbidden")
        assert code(await post(http, "news", bearer(), body="x")) == (403, "forbidden")
        assert (await get(http, at("news", "messages"), bearer()))[0] == 200
        assert code(await get(http, at("now", "messages"), bearer())) == (403, "forbidden")
        assert (await post(http, "private", bearer("bob"), body="x"))[0] == 201
        narrow = bearer("bob", perms={"lobby": ["join", "read"]})
        assert code(await post(http, "lobby", narrow, body="x")) == (403, "forbidden")
        elsewhere = bearer("bob", rooms=["a/*"])
        assert code(await get(http, at("lobby"), elsewhere)) == (403, "forbidden")
        # who was refused is no member either
        assert (await get(http, at("news"), OPS))[1]["total"] == 0
        # rules are for users
        for room in ("private", "news", "now"):
            assert (await post(http, room, BACK_END, body="x", **{"as": "bot"}))[0] == 201
            assert (await get(http, at(room, "messages"), BACK_END))[0] == 200


@pytest.mark.parametrize(
    ("headers", "status", "word"),
    [
        ({}, 401, "unauthorized"),
        ({"X-API-Key": KEY[:-1]}, 401, "unauthorized"),
        ({"X-API-Key": SCRAPER}, 403, "forbidden"),
        ({"Authorization": "Bearer nonsense"}, 401, "unauthorized"),
        ({"Cookie": f"token={KEY}"}, 401, "unauthorized"),
    ],
)
async def test_who_shows_nothing_good(
    http: Http, headers: dict[str, str], status: int, word: str
) -> None:
    for answer in (
        await get(http, at("lobby"), headers),
        await get(http, at("lobby", "members"), headers),
        await get(http, at("lobby", "messages"), headers),
        await post(http, "lobby", headers, body="x"),
    ):
        assert code(answer) == (status, word)


async def test_who_shows_nothing_is_told_what_there_is_to_show(http: Http) -> None:
    _, answer = await get(http, at("lobby"), {})
    assert answer["error"]["message"] == "a token, or an API key for rooms, is needed"
    _, answer = await get(http, "/api/bans", {})
    assert "a token that permits admin" in answer["error"]["message"]


async def test_a_key_for_rooms_revokes_nothing(http: Http) -> None:
    async with http.post("/api/revocations", json={"user": "ann"}, headers=BACK_END) as answer:
        assert answer.status == 403


async def test_a_token_that_has_expired_or_was_revoked(http: Http) -> None:
    old = bearer(exp=time.time() - 60)
    assert code(await post(http, "lobby", old, body="x")) == (401, "token_expired")
    lost = bearer(iat=time.time() - 9)
    assert (await post(http, "lobby", lost, body="x"))[0] == 201
    async with http.post("/api/revocations", json={"user": "ann"}, headers=OPS) as answer:
        assert answer.status == 200
    assert code(await post(http, "lobby", lost, body="x")) == (401, "unauthorized")


async def test_without_keys_and_tokens_there_is_no_such_address() -> None:
    async with running(auth=Auth(), api=Api()) as http:
        for where in (at("lobby"), at("lobby", "messages"), URL("/api/openapi.json")):
            assert (await get(http, where, OPS))[0] == 404


async def test_hooks_are_asked() -> None:
    hooks, asked = Hooks(), []

    @hooks.on_join
    def joining(event: Joining) -> None:
        asked.append((event.room, event.user.id, event.client))
        if event.user.id == "eve":
            raise Refusal("forbidden", "not you")

    @hooks.on_message
    def posting(event: Posting) -> Posting:
        return event.with_body(event.body.upper())

    async with running(hooks) as http:
        assert code(await post(http, "lobby", bearer("eve"), body="x")) == (403, "forbidden")
        assert code(await get(http, at("lobby", "messages"), bearer("eve"))) == (403, "forbidden")
        assert (await post(http, "lobby", bearer(), body="loud"))[0] == 201
        assert (await post(http, "lobby", OPS, body="x", **{"as": "eve"}))[0] == 201
        _, page = await get(http, at("lobby", "messages"), OPS)
        assert [item["body"] for item in page["items"]] == ["LOUD", "X"]
    assert asked == [("lobby", "eve", ""), ("lobby", "eve", ""), ("lobby", "ann", "")]


# ---------------------------------------------------------------------------- limits


async def test_users_and_keys_are_paced() -> None:
    limits = Limits(user_event_rate=0.001, user_event_burst=20)
    async with running(limits=limits) as http:
        for headers, more in ((bearer(), {}), (BACK_END, {"as": "bot"})):
            for _ in range(10):
                assert (await post(http, "lobby", headers, body="x", **more))[0] == 201
            assert (await get(http, at("lobby", "messages"), headers))[0] == 200  # counts ten
            async with http.get(at("lobby"), headers=headers) as answer:
                assert answer.status == 429
                assert int(answer.headers["Retry-After"]) > 900
        assert (await post(http, "lobby", bearer("bob"), body="x"))[0] == 201
        assert (await post(http, "lobby", OPS, body="x", **{"as": "bot"}))[0] == 201
        assert counts(http).limit_hits["user_event_rate"] == 2


async def test_messages_of_a_user_in_a_room_are_paced_whoever_brings_them() -> None:
    async with running(limits=Limits(message_rate=0.001, message_burst=2)) as http:
        for headers in (bearer("bot"), OPS):
            assert (await post(http, "lobby", headers, body="x", **{"as": "bot"}))[0] == 201
        for headers in (bearer("bot"), OPS):
            answer = await post(http, "lobby", headers, body="x", **{"as": "bot"})
            assert code(answer) == (429, "rate_limited")
        assert (await post(http, "hall", OPS, body="x", **{"as": "bot"}))[0] == 201


async def test_posting_makes_no_more_rooms_than_joining() -> None:
    async with running(limits=Limits(rooms_per_user=2)) as http:
        assert (await post(http, "a", bearer(), body="x"))[0] == 201
        assert (await post(http, "b", bearer(), body="x"))[0] == 201
        assert code(await post(http, "c", bearer(), body="x")) == (429, "too_many")
        assert counts(http).limit_hits["rooms_per_user"] == 1
        assert (await get(http, at("c", "messages"), OPS))[1]["items"] == []


async def test_slow_mode() -> None:
    rooms = Rooms(rules=[RoomRule(match="slow", slow_mode=30.0)])
    async with running(rooms=rooms) as http:
        assert (await post(http, "slow", bearer(), body="x"))[0] == 201
        answer = await post(http, "slow", bearer(), body="x")
        assert code(answer) == (429, "rate_limited")
        assert 0 < answer[1]["error"]["retry_after"] <= 30
        for _ in range(2):
            assert (await post(http, "slow", OPS, body="x", **{"as": "bot"}))[0] == 201


# ---------------------------------------------------------------------------- pages, and counting

ORIGIN = "https://app.example"


@pytest.fixture
async def listed() -> AsyncIterator[Http]:
    async with running(server=Server(origins=[ORIGIN])) as http:
        yield http


async def test_a_listed_page_may_ask_and_read_what_it_is_told(listed: Http) -> None:
    headers = {**bearer(), "Origin": ORIGIN}
    async with listed.post(at("lobby", "messages"), json={"body": "x"}, headers=headers) as answer:
        assert answer.status == 201
        assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN
        assert "Origin" in answer.headers["Vary"]
        assert "Retry-After" in answer.headers["Access-Control-Expose-Headers"]
        assert "Access-Control-Allow-Credentials" not in answer.headers
    # refusals too
    async with listed.get(at("lobby"), headers={"Origin": ORIGIN}) as answer:
        assert answer.status == 401
        assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN


async def test_a_page_asks_before(listed: Http) -> None:
    headers = {"Origin": ORIGIN, "Access-Control-Request-Method": "POST"}
    async with listed.options(at("lobby", "messages"), headers=headers) as answer:
        assert answer.status == 204
        assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN
        assert answer.headers["Access-Control-Allow-Methods"] == "GET, POST"
        assert "Authorization" in answer.headers["Access-Control-Allow-Headers"]
        assert "X-API-Key" not in answer.headers["Access-Control-Allow-Headers"]
        assert answer.headers["Access-Control-Max-Age"] == "600"
    # for operators only: no page is told that it may
    async with listed.options("/api/revocations", headers=headers) as answer:
        assert answer.status == 405
        assert "Access-Control-Allow-Origin" not in answer.headers


async def test_pages_of_strangers_are_refused(listed: Http) -> None:
    headers = {**bearer(), "Origin": "https://evil.example"}
    for method in ("GET", "POST", "OPTIONS"):
        async with listed.request(method, at("lobby", "messages"), headers=headers) as answer:
            assert answer.status == 403
            assert not [name for name in answer.headers if name.startswith("Access-Control")]


async def test_what_is_asked_is_counted_by_route(http: Http) -> None:
    await post(http, "lobby", bearer(), body="x")
    await post(http, "lobby", {}, body="x")
    await get(http, at("lobby", "messages"), bearer())
    text = await (await http.get("/metrics")).text()
    for route, status, number in (
        ("post_message", "2xx", 1),
        ("post_message", "4xx", 1),
        ("list_messages", "2xx", 1),
        ("list_members", "2xx", 0),
    ):
        line = f'sioserver_api_requests_total{{route="{route}",status="{status}"}} {number}.0'
        assert line in text
    assert "sioserver_messages_published_total 1.0" in text


async def test_the_directory() -> None:
    rules = [
        RoomRule(match="vault", public=True, join=["cat"]),
        RoomRule(match="tea*", public=True, topic="Hot & cold"),
    ]
    async with running(rooms=Rooms(rules=rules)) as http:
        for room in ("tea", "tea/green", "vault", "private"):
            await post(http, room, bearer("cat"), body="x")

        async def listed(headers: dict[str, str], **asked: Any) -> tuple[int, dict[str, Any], str]:
            async with http.get("/api/directory", params=asked, headers=headers) as answer:
                return answer.status, await answer.json(), answer.headers.get("Link", "")

        while len((await listed(OPS))[1]["rooms"]) < 3:
            await asyncio.sleep(0.05)
        tea = {"room": "tea", "topic": "Hot & cold", "online": 0, "total": 1}
        green = {**tea, "room": "tea/green"}
        assert await listed(bearer()) == (200, {"ok": True, "rooms": [tea, green]}, "")
        status, page, link = await listed(bearer(), limit="1", query="hot")
        assert (status, page) == (200, {"ok": True, "rooms": [tea], "next": "0 tea"})
        assert link == '<?limit=1&query=hot&after=0+tea>; rel="next"'
        status, page, link = await listed(bearer(), limit="1", query="hot", after="0 tea")
        assert (page["rooms"], link) == ([green], "")
        assert len((await listed(BACK_END))[1]["rooms"]) == 3
        assert len((await listed(bearer("cat")))[1]["rooms"]) == 3
        assert (await listed({}))[0] == 401
        for asked in ({"limit": "x"}, {"limit": "0"}, {"query": ""}, {"after": "x"}, {"as": "x"}):
            assert (await listed(bearer(), **asked))[0] == 400


async def test_searching(http: Http) -> None:
    for body in ("tea", {"text": "More tea"}, "coffee", "tea again"):
        await post(http, "lobby", bearer(), body=body)
    status, found = await get(http, at("lobby", "search", query="TEA"), bearer("ben"))
    assert (status, [item["offset"] for item in found["items"]]) == (200, [4, 2, 1])
    assert (found["complete"], found["searched_to"], "next" in found) == (True, 1, False)
    async with http.get(at("lobby", "search", query="tea", limit=2), headers=OPS) as answer:
        assert answer.headers["Link"] == '<?query=tea&limit=2&before=2>; rel="next"'
    status, found = await get(http, at("lobby", "search", query="tea", before=2), BACK_END)
    assert [item["offset"] for item in found["items"]] == [1]
    for asked in ({}, {"query": ""}, {"query": "x", "before": "y"}, {"query": "x", "after": "1"}):
        assert (await get(http, at("lobby", "search", **asked), bearer()))[0] == 400
    assert (await get(http, at("lobby", "search", query="tea"), {}))[0] == 401
