"""What is done to messages by HTTP."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest

from sioserver.config.schema import RoomRule, Rooms

from .test_rooms import BACK_END, OPS, Answer, Http, at, bearer, code, get, post, running

ANN, BOB, MOD = bearer("ann"), bearer("bob"), bearer("mod")


@pytest.fixture
async def http() -> Any:
    async with running(rooms=Rooms(rules=[RoomRule(match="lobby", moderate=["mod"])])) as http:
        for text in ("one", "two"):
            await post(http, "lobby", ANN, body=text, id=text)
        yield http


async def do(
    http: Http, method: str, headers: dict[str, str], *rest: str, sent: Any = None, **query: str
) -> Answer:
    where = at("lobby", "messages", *rest, **query)
    options = {} if sent is None else {"json": sent}
    async with http.request(method, where, headers=headers, **options) as answer:
        return answer.status, await answer.json()


async def message(http: Http, offset: int, headers: dict[str, str] = BOB) -> dict[str, Any]:
    status, found = await do(http, "GET", headers, str(offset))
    assert status == 200, found
    told: dict[str, Any] = found["message"]
    return told


def emoji(sign: str) -> str:
    return quote(sign, safe="")


async def test_one_message(http: Http) -> None:
    told = await message(http, 2)
    assert (told["id"], told["offset"], told["user"], told["body"]) == ("two", 2, "ann", "two")
    for offset in ("3", "99", str(2**53 - 1)):
        assert code(await do(http, "GET", BOB, offset)) == (404, "not_found")
    for offset in ("0", "x", "-1", "1.5", "9" * 30, "%00"):
        assert code(await do(http, "GET", BOB, offset)) == (400, "bad_request"), offset


async def test_an_edit(http: Http) -> None:
    status, done = await do(http, "PATCH", ANN, "1", sent={"body": {"text": "uno"}})
    assert (status, done["id"], done["target"], done["offset"]) == (200, "one", 1, 3)
    told = await message(http, 1)
    assert (told["body"], told["edited"]) == ({"text": "uno"}, done["at"])
    _, page = await get(http, at("lobby", "messages"), BOB)
    assert [item["body"] for item in page["items"]] == [{"text": "uno"}, "two"]
    # the edit has an offset, and is no message
    assert code(await do(http, "GET", BOB, "3")) == (404, "not_found")


async def test_a_deletion(http: Http) -> None:
    status, done = await do(http, "DELETE", ANN, "1")
    assert (status, done["target"]) == (200, 1)
    told = await message(http, 1)
    assert (told["body"], told["deleted"]) == (None, done["at"])
    _, again = await do(http, "DELETE", ANN, "1")  # it is as it should be
    assert (again["offset"], again["target"]) == (done["offset"], 1)
    assert code(await do(http, "PATCH", ANN, "1", sent={"body": "x"})) == (404, "not_found")


@pytest.mark.parametrize("sign", ["👍", "👩‍👩‍👧‍👦", "+1", "#️⃣", "%", "?"])
async def test_a_reaction(http: Http, sign: str) -> None:
    rest = ("1", "reactions", emoji(sign))
    for headers in (ANN, BOB, BOB):
        assert (await do(http, "PUT", headers, *rest))[0] == 200
    assert (await message(http, 1))["reactions"] == {sign: 2}
    assert (await message(http, 1))["mine"] == [sign]
    assert "mine" not in await message(http, 1, MOD)
    for _ in range(2):
        assert (await do(http, "DELETE", BOB, *rest))[0] == 200
    assert (await message(http, 1))["reactions"] == {sign: 1}


async def test_other_people_s_messages(http: Http) -> None:
    for headers in (BOB, bearer("eve", perms={"lobby": ["join", "read", "history"]})):
        answer = await do(http, "PATCH", headers, "1", sent={"body": "mine"})
        assert code(answer) == (403, "forbidden")
        assert code(await do(http, "DELETE", headers, "1")) == (403, "forbidden")
    assert (await do(http, "PATCH", MOD, "1", sent={"body": "tidy"}))[0] == 200
    assert (await do(http, "DELETE", MOD, "2"))[0] == 200
    assert (await message(http, 1))["body"] == "tidy"


@pytest.mark.parametrize("headers", [OPS, BACK_END])
async def test_operators(http: Http, headers: dict[str, str]) -> None:
    assert (await do(http, "PATCH", headers, "1", sent={"body": "official"}))[0] == 200
    assert (await do(http, "DELETE", headers, "2", **{"as": "boss"}))[0] == 200
    assert (await message(http, 1))["body"] == "official"
    reaction = ("1", "reactions", emoji("👍"))
    assert code(await do(http, "PUT", headers, *reaction)) == (400, "bad_request")
    assert (await do(http, "PUT", headers, *reaction, **{"as": "bob"}))[0] == 200
    assert (await message(http, 1))["mine"] == ["👍"]


async def test_what_moderators_decide_holds(http: Http) -> None:
    where = at("lobby", "mutes")
    async with http.post(where, json={"user": "ann", "seconds": 60}, headers=MOD) as answer:
        assert answer.status == 200
    for method, rest, sent in (
        ("PATCH", ("1",), {"body": "x"}),
        ("DELETE", ("1",), None),
        ("PUT", ("1", "reactions", emoji("👍")), None),
    ):
        assert code(await do(http, method, ANN, *rest, sent=sent))[1] == "muted"


@pytest.mark.parametrize(
    "sent", [{}, {"body": "x", "id": "one"}, {"body": "x", "as": "bob"}, {"text": "x"}, []]
)
async def test_what_is_no_edit(http: Http, sent: Any) -> None:
    assert code(await do(http, "PATCH", ANN, "1", sent=sent)) == (400, "bad_request")
    assert (await message(http, 1))["body"] == "one"


@pytest.mark.parametrize("sign", ["", "a b", "\u202e", "👍" * 40, "\0", "{}"])
async def test_what_is_no_reaction(http: Http, sign: str) -> None:
    answer = await do(http, "PUT", ANN, "1", "reactions", emoji(sign))
    assert answer[0] in (400, 404)
    assert "reactions" not in await message(http, 1)
