"""Moderation of a room by HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from sioserver.config.schema import RoomRule, Rooms

from .test_rooms import BACK_END, OPS, Answer, Http, at, bearer, code, get, post, running

MOD = bearer("mod")


@pytest.fixture
async def http() -> AsyncIterator[Http]:
    async with running(
        rooms=Rooms(rules=[RoomRule(match="lobby", moderate=["mod", "two"])])
    ) as http:
        yield http


async def do(http: Http, method: str, where: Any, headers: dict[str, str], **body: Any) -> Answer:
    sent = {"json": body} if method != "DELETE" else {}
    async with http.request(method, where, headers=headers, **sent) as answer:
        return answer.status, await answer.json()


async def test_a_ban(http: Http) -> None:
    await post(http, "lobby", bearer("eve"), body="x")
    status, found = await do(http, "POST", at("lobby", "bans"), MOD, user="eve", reason="spam")
    assert status == 200
    sanction = {name: found[name] for name in ("user", "until", "by", "reason", "address")}
    assert sanction == {
        "user": "eve",
        "until": None,
        "by": "mod",
        "reason": "spam",
        "address": False,
    }
    assert code(await post(http, "lobby", bearer("eve"), body="x")) == (403, "banned")
    assert code(await get(http, at("lobby", "messages"), bearer("eve"))) == (403, "banned")
    assert (await post(http, "hall", bearer("eve"), body="x"))[0] == 201
    assert (await get(http, at("lobby", "bans"), MOD))[1]["items"] == [
        {**sanction, "at": found["at"]}
    ]
    assert (await do(http, "DELETE", at("lobby", "bans", "eve"), MOD)) == (200, {"ok": True})
    assert (await post(http, "lobby", bearer("eve"), body="x"))[0] == 201
    assert (await do(http, "DELETE", at("lobby", "bans", "eve"), MOD))[0] in (400, 404)
    _, told = await get(http, at("lobby", "moderation_log"), MOD)
    assert [(act["what"], act["by"], act["user"]) for act in told["items"]] == [
        ("unban", "mod", "eve"),
        ("ban", "mod", "eve"),
    ]
    _, told = await get(http, at("lobby", "moderation_log", before=2, limit=1), MOD)
    assert [act["number"] for act in told["items"]] == [1]


async def test_a_mute_and_a_kick(http: Http) -> None:
    assert (await do(http, "POST", at("lobby", "mutes"), MOD, user="eve/1", seconds=60))[0] == 200
    answer = await post(http, "lobby", bearer("eve/1"), body="x")
    assert code(answer) == (429, "muted")
    assert 0 < answer[1]["error"]["retry_after"] <= 60
    assert (await get(http, at("lobby", "messages"), bearer("eve/1")))[0] == 200
    _, told = await get(http, at("lobby", "mutes", limit=5), MOD)
    assert [one["user"] for one in told["items"]] == ["eve/1"]
    assert (await do(http, "DELETE", at("lobby", "mutes", "eve%2F1"), MOD))[0] == 200
    assert (await post(http, "lobby", bearer("eve/1"), body="x"))[0] == 201
    assert (await do(http, "POST", at("lobby", "kicks"), MOD, user="eve"))[0] == 200
    assert (await post(http, "lobby", bearer("eve"), body="x"))[0] == 201, "they may come again"


async def test_settings(http: Http) -> None:
    start = {"ok": True, "topic": "", "slow_mode": 0.0, "read_only": False}
    assert await get(http, at("lobby", "settings"), bearer("eve")) == (200, start)
    changed = await do(http, "PATCH", at("lobby", "settings"), MOD, topic="tea", read_only=True)
    assert changed == (200, {**start, "topic": "tea", "read_only": True})
    assert await get(http, at("lobby", "settings"), bearer("eve")) == changed
    assert code(await post(http, "lobby", bearer("eve"), body="x")) == (403, "forbidden")
    assert (await post(http, "lobby", MOD, body="x"))[0] == 201
    again = await do(http, "PATCH", at("lobby", "settings"), OPS, topic=None, read_only=None)
    assert again == (200, start)


async def test_who_may_not(http: Http) -> None:
    eve = bearer("eve")
    for answer in (
        await do(http, "POST", at("lobby", "bans"), eve, user="ann"),
        await do(http, "POST", at("lobby", "mutes"), eve, user="ann", seconds=5),
        await do(http, "POST", at("lobby", "kicks"), eve, user="ann"),
        await do(http, "PATCH", at("lobby", "settings"), eve, topic="mine"),
        await do(http, "DELETE", at("lobby", "bans", "ann"), eve),
        await get(http, at("lobby", "bans"), eve),
        await get(http, at("lobby", "mutes"), eve),
        await get(http, at("lobby", "moderation_log"), eve),
        # nor a moderator elsewhere, or with another moderator
        await do(http, "POST", at("hall", "bans"), MOD, user="ann"),
        await do(http, "POST", at("lobby", "bans"), MOD, user="two"),
    ):
        assert code(answer) == (403, "forbidden")


@pytest.mark.parametrize(
    ("headers", "by", "binds_moderators"),
    [(OPS, "the key ops", True), (BACK_END, "the key backend", False)],
)
async def test_operators(
    http: Http, headers: dict[str, str], by: str, binds_moderators: bool
) -> None:
    status, found = await do(http, "POST", at("lobby", "bans"), headers, user="eve")
    assert (status, found["by"]) == (200, by)
    where = at("lobby", "mutes", **{"as": "boss"})
    assert (await do(http, "POST", where, headers, user="eve", seconds=5))[1]["by"] == "boss"
    answer = await do(http, "POST", at("lobby", "bans"), headers, user="two")
    assert (answer[0] == 200) is binds_moderators
    # who moderates undoes only what no operator has done
    undone = await do(http, "DELETE", at("lobby", "bans", "eve"), MOD)
    assert (undone[0] == 200) is not binds_moderators


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("bans", {}),
        ("bans", {"user": 5}),
        ("bans", {"user": "eve", "seconds": -1}),
        ("bans", {"user": "eve", "more": 1}),
        ("mutes", {"user": "eve"}),
        ("kicks", {"user": "eve", "seconds": 5}),
        ("kicks", {"user": "eve", "reason": "r" * 201}),
    ],
)
async def test_what_is_not_understood(http: Http, path: str, body: dict[str, Any]) -> None:
    assert code(await do(http, "POST", at("lobby", path), MOD, **body)) == (400, "bad_request")
    assert (await get(http, at("lobby", "moderation_log"), MOD))[1]["items"] == []
