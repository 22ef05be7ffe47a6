"""The HTTP API on two nodes: whichever is asked, everybody is told, and both tell the same."""

from __future__ import annotations

from secrets import token_hex
from typing import Any

import pytest
from yarl import URL

from sioserver.auth.api_keys import BYTES, make
from sioserver.valkey import Valkey

from ..hostile import DOORS, House, configured, house

KEY, ENTRY = make("shop", ["rooms"], b"s" * BYTES)
HEADERS = {"X-API-Key": KEY}


async def post(place: House, room: str, **body: Any) -> dict[str, Any]:
    url = f"{place.origin}/api/rooms/{room}/messages"
    async with place.http.post(url, json={"as": "shop", **body}, headers=HEADERS) as answer:
        assert answer.status in (200, 201), await answer.text()
        found: dict[str, Any] = await answer.json()
        return found


async def get(place: House, path: str) -> dict[str, Any]:
    async with place.http.get(f"{place.origin}/api/rooms/{path}", headers=HEADERS) as answer:
        assert answer.status == 200, await answer.text()
        found: dict[str, Any] = await answer.json()
        return found


@pytest.mark.parametrize("door", DOORS)
async def test_what_is_posted_at_one_node_is_told_at_the_other(valkey: Valkey, door: str) -> None:
    config = configured(
        api={"keys": [str(ENTRY)]}, redis={"url": valkey.tcp_url, "prefix": f"t{token_hex(4)}"}
    )
    async with (
        house(config) as one,
        house(config) as other,
        DOORS[door].attacker(other) as client,
    ):
        assert str(await client.join("den", {"user": "ann"})) == "joined"
        posted = [await post(one, "den", body=number, id=f"a-{number}") for number in range(3)]
        assert [answer["offset"] for answer in posted] == [1, 2, 3]
        # again, at the other node: it is known there too
        assert await post(other, "den", body=1, id="a-1") == posted[1]
        heard: list[Any] = []
        while len(heard) < 3:  # an event comes when it comes; each turn waits for an answer
            events = (await client.judge()).events
            heard += [event[1]["body"] for event in events if event[0] == "message"]
        assert heard == [0, 1, 2]
        for place in (one, other):
            page = await get(place, "den/messages")
            assert [item["body"] for item in page["items"]] == [0, 1, 2]
            people = await get(place, "den/members?all=true")
            ann = {"user": "ann", "name": "ann", "state": "online"}
            assert people["online"] == people["members"] == [ann]
            room = await get(place, "den")
            assert (room["online"], room["total"]) == (1, 1)


async def test_what_is_done_at_one_node_holds_at_the_other(valkey: Valkey) -> None:
    config = configured(
        api={"keys": [str(ENTRY)]}, redis={"url": valkey.tcp_url, "prefix": f"t{token_hex(4)}"}
    )
    async with (
        house(config) as one,
        house(config) as other,
        DOORS["websocket"].attacker(other) as client,
    ):
        assert str(await client.join("den", {"user": "ann"})) == "joined"
        await post(one, "den", body="x")
        at_one = f"{one.origin}/api/rooms/den"
        for method, path, body in (
            ("PATCH", "messages/1", {"body": "y"}),
            ("PUT", "messages/1/reactions/%2B1?as=shop", None),
            ("DELETE", "messages/1", None),
            ("PATCH", "settings", {"topic": "tea"}),
            ("POST", "mutes", {"user": "ann", "seconds": 60}),
        ):
            url = URL(f"{at_one}/{path}", encoded=True)
            async with one.http.request(method, url, json=body, headers=HEADERS) as answer:
                assert answer.status == 200, await answer.text()
        wanted = ["message", "edit", "reaction", "delete", "room", "notice"]
        heard: list[str] = []
        while not set(wanted) <= set(heard):
            heard += [event[0] for event in (await client.judge()).events]
        assert [name for name in heard if name in wanted[:4]] == wanted[:4]
        assert str(await client.call("message", "z")) == "refused muted"
        assert (await get(other, "den/messages/1"))["message"]["body"] is None
        assert (await get(other, "den/settings"))["topic"] == "tea"
