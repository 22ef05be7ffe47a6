"""What requests about rooms have in common. Who may ask: test_rooms.py."""

from __future__ import annotations

from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from sioserver.api.visits import WHO, number, query, room_route, user_of
from sioserver.errors import Refusal
from sioserver.model import User


def test_a_query() -> None:
    request = make_mocked_request("GET", "/x?a=1&b=%2F")
    assert query(request, "a", "b", "c") == {"a": "1", "b": "/"}
    with pytest.raises(Refusal, match="'b' is not in the address"):
        query(request, "a")
    with pytest.raises(Refusal, match="once"):
        query(make_mocked_request("GET", "/x?a=1&a=1"), "a")


@pytest.mark.parametrize("text", ["", "-1", "1.5", "x", "\u0661", "1" * 17, " 1"])
def test_what_is_no_number_stays_a_text(text: str) -> None:
    assert number(text) == text
    assert number("007") == 7


@pytest.mark.parametrize(
    ("value", "user"),
    [
        (None, None),
        ("bot", User("bot", "bot")),
        ({"user": "bot"}, User("bot", "bot")),
        ({"user": "bot", "name": "The \u202eBot "}, User("bot", "The Bot")),
        ({"user": "bot", "name": "\u200b"}, User("bot", "bot")),
    ],
)
def test_in_whose_name(value: Any, user: User | None) -> None:
    assert user_of(value) == user


@pytest.mark.parametrize(
    "value", ["", 1, [], {}, {"name": "x"}, {"user": 1}, {"user": "a", "name": 1}, "guest:x"]
)
def test_in_nobody_s_name(value: Any) -> None:
    with pytest.raises(Refusal, match=r"^as"):
        user_of(value)


async def test_a_line_of_the_table_about_a_room() -> None:
    async def handler(request: web.Request) -> web.Response:
        return web.Response()

    route = room_route("kick", "POST", "/kicks", "Put out", handler, int, query=("limit",))
    assert (route.path, route.query) == ("/api/rooms/{room}/kicks", ("limit", "as"))
    assert (route.needs, route.shared, route.status) == (WHO, True, 200)
