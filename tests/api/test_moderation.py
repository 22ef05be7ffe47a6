"""Bans and mutes by HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from sioserver.app import METRICS, ROOMS
from sioserver.model import EVERYWHERE

from .test_rooms import KEY, SCRAPER, Http, running, token

OPS = {"Authorization": f"Bearer {KEY}"}


@pytest.fixture
async def http() -> AsyncIterator[Http]:
    async with running() as http:
        yield http


async def ask(
    http: Http, method: str, path: str, body: Any = None, **headers: str
) -> tuple[int, dict[str, Any]]:
    options = {} if body is None else {"json": body}
    async with http.request(method, path, headers={**OPS, **headers}, **options) as answer:
        assert answer.status == 404 or answer.headers["Cache-Control"] == "no-store"
        return answer.status, await answer.json()


async def test_a_ban_is_made_told_and_lifted(http: Http) -> None:
    body = {"user": "eve / ä", "reason": "spam", "address": True}
    status, answer = await ask(http, "POST", "/api/bans", body)
    assert status == 200
    ban = {name: answer[name] for name in answer if name != "ok"}
    assert ban == {**body, "until": None, "by": "the key ops", "at": ban["at"]}
    moderation = http.server.app[ROOMS].moderation  # type: ignore[attr-defined]
    (kept,) = await moderation._engine.look(EVERYWHERE)
    assert kept.final, "an operator's ban binds moderators"
    assert await ask(http, "GET", "/api/bans") == (200, {"ok": True, "items": [ban]})
    assert (await ask(http, "GET", "/api/rooms/lobby/bans"))[1]["items"] == []
    where = "/api/bans/eve%20%2F%20%C3%A4"
    assert await ask(http, "DELETE", where) == (200, {"ok": True})
    status, gone = await ask(http, "DELETE", where)
    assert (status, gone["error"]["code"]) == (404, "not_found")
    assert gone["error"]["message"] == "there is no ban of this user in all rooms"
    status, record = await ask(http, "GET", "/api/moderation_log")
    assert [(act["what"], act["by"]) for act in record["items"]] == [
        ("unban", "the key ops"),
        ("ban", "the key ops"),
    ]
    counted = http.server.app[METRICS].moderation  # type: ignore[attr-defined]
    assert (counted["ban"], counted["unban"]) == (1, 1)


async def test_mutes_are_apart_and_have_pages(http: Http) -> None:
    for number in range(5):
        await ask(http, "POST", "/api/mutes", {"user": f"user {number}", "seconds": 60})
    found: list[str] = []
    query = "?limit=2"
    while query:
        _, page = await ask(http, "GET", f"/api/mutes{query}")
        assert len(page["items"]) <= 2
        found += [mute["user"] for mute in page["items"]]
        query = f"?limit=2&after={page['next']}" if "next" in page else ""
    assert found == [f"user {number}" for number in range(5)]
    assert (await ask(http, "GET", "/api/bans"))[1]["items"] == []
    _, page = await ask(http, "GET", "/api/moderation_log?limit=2")
    assert page["more"]
    _, rest = await ask(http, "GET", f"/api/moderation_log?before={page['items'][-1]['number']}")
    assert len(rest["items"]) == 3
    assert (await ask(http, "DELETE", "/api/mutes/user 3"))[0] == 200


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/api/bans", {}),
        ("POST", "/api/bans", []),
        ("POST", "/api/bans", {"user": "a", "until": 5}),
        ("POST", "/api/bans", {"user": "a", "seconds": "5"}),
        ("POST", "/api/mutes", {"user": "a"}),
        ("POST", "/api/mutes", {"user": "a", "seconds": 5, "address": True}),
        ("POST", "/api/bans?room=lobby", {"user": "a"}),
        ("GET", "/api/bans?limit=1&limit=2", None),
        ("GET", "/api/bans?limit=0", None),
        ("GET", "/api/bans?limit=x", None),
        ("GET", "/api/moderation_log?before=-1", None),
        ("GET", "/api/moderation_log?before=" + "9" * 5000, None),
    ],
)
async def test_what_is_not_understood(http: Http, method: str, path: str, body: Any) -> None:
    status, answer = await ask(http, method, path, body)
    assert status == 400
    assert answer["error"]["code"] == "bad_request"


@pytest.mark.parametrize("data", [b"", b"{", b"\xff", b"NaN", b"[" * 9999, b'{"user":"\\ud800"}'])
async def test_what_is_no_json(http: Http, data: bytes) -> None:
    headers = {**OPS, "Content-Type": "application/json"}
    async with http.post("/api/bans", data=data, headers=headers) as answer:
        assert answer.status == 400


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/bans"),
        ("GET", "/api/mutes"),
        ("DELETE", "/api/bans/eve"),
        ("GET", "/api/moderation_log"),
    ],
)
async def test_only_operators_are_let_in(http: Http, method: str, path: str) -> None:
    body = {"user": "a"} if method == "POST" else None
    for shown, status in ((SCRAPER, 403), ("sio_wrong", 401), (token(), 403)):
        found, _ = await ask(http, method, path, body, Authorization=f"Bearer {shown}")
        assert found == status
    async with http.request(method, path) as answer:
        assert answer.status == 401
