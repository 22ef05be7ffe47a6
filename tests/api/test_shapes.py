"""What the description says of requests and answers is what the server takes and gives."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from sioserver.api import shapes
from sioserver.protocol import answers, requests
from sioserver.protocol import shapes as protocol

from ..protocol.conform import conforms
from .test_rooms import BACK_END, OPS, Http, at, bearer, code, get, post, running


async def asked(http: Http, method: str, where: Any, **body: Any) -> Any:
    sent = {"json": body} if body else {}
    async with http.request(method, where, headers=OPS, **sent) as answer:
        assert answer.status in (200, 201), await answer.text()
        return await answer.json()


async def test_answers() -> None:
    async with running() as http:
        for number in range(3):
            await post(http, "lobby", BACK_END, body=number, id=f"a-{number}", **{"as": "bot"})
        _, posted = await post(http, "lobby", bearer(), body="x", mentions=["bot"])
        conforms(posted, answers.Published)
        for kind, rest in (
            (shapes.RoomView, ()),
            (answers.Members, ("members",)),
            (answers.HistoryPage, ("messages",)),
            (answers.Settings, ("settings",)),
        ):
            conforms((await get(http, at("lobby", *rest), bearer()))[1], kind)
        for method, rest, body in (
            ("PATCH", ("messages", "1"), {"body": "y"}),
            ("PUT", ("messages", "1", "reactions", "%2B1"), {}),
            ("DELETE", ("messages", "2"), {}),
        ):
            done = await asked(http, method, at("lobby", *rest, **{"as": "bot"}), **body)
            conforms(done, answers.Operated)
        for offset in ("1", "2", "4"):
            told = await asked(http, "GET", at("lobby", "messages", offset, **{"as": "bot"}))
            conforms(told, shapes.OneMessage)
        conforms((await get(http, at("lobby", "messages"), bearer()))[1], answers.HistoryPage)
        where = at("lobby", "members", all="true")
        conforms((await get(http, where, bearer()))[1], answers.Members)
        for path, body, kind in (
            ("bans", {"user": "eve"}, answers.Decided),
            ("mutes", {"user": "eve", "seconds": 5, "reason": "r"}, answers.Decided),
            ("kicks", {"user": "eve"}, answers.Decided),
        ):
            conforms(await asked(http, "POST", at("lobby", path), **body), kind)
        changed = await asked(http, "PATCH", at("lobby", "settings"), topic="t")
        conforms(changed, answers.Settings)
        conforms(await asked(http, "GET", at("lobby", "bans")), answers.Bans)
        conforms(await asked(http, "GET", at("lobby", "moderation_log")), answers.ModerationLog)
        conforms(await asked(http, "DELETE", at("lobby", "bans", "eve")), protocol.Done)
        for body in ({"user": "ann"}, {"token": "t"}, {"before": 5}):
            revoked = await asked(http, "POST", "/api/revocations", **body)
            conforms(revoked, shapes.Revoked)
        conforms(await asked(http, "GET", "/api/revocations?limit=2"), shapes.Revocations)
        refused = (await get(http, at("a b"), OPS))[1]
        conforms(refused, protocol.Refused)


GOOD: list[tuple[str, type[msgspec.Struct], dict[str, Any]]] = [
    ("messages", shapes.NewMessage, {"body": None, "as": "bot"}),
    (
        "messages",
        shapes.NewMessage,
        {"body": "x", "id": "a", "mentions": ["b"], "as": {"user": "b"}},
    ),
    ("messages", shapes.NewMessage, {"body": "x", "as": {"user": "b", "name": "B"}}),
    ("bans", requests.BanOptions, {"user": "eve", "seconds": 0, "reason": "", "address": False}),
    ("mutes", requests.MuteOptions, {"user": "eve", "seconds": 1}),
    ("kicks", requests.KickOptions, {"user": "eve", "reason": "r"}),
]
BAD: list[tuple[str, type[msgspec.Struct], dict[str, Any]]] = [
    ("messages", shapes.NewMessage, {"as": "bot"}),
    ("messages", shapes.NewMessage, {"body": "x", "as": "bot", "to": "x"}),
    ("messages", shapes.NewMessage, {"body": "x", "as": {"name": "B"}}),
    ("messages", shapes.NewMessage, {"body": "x", "as": {"user": "b", "x": 1}}),
    ("messages", shapes.NewMessage, {"body": "x", "as": "bot", "id": "a b"}),
    ("bans", requests.BanOptions, {"seconds": 5}),
    ("mutes", requests.MuteOptions, {"user": "eve"}),
    ("kicks", requests.KickOptions, {"user": "eve", "seconds": 1}),
]


@pytest.mark.parametrize(
    ("good", "path", "kind", "body"),
    [*((True, *row) for row in GOOD), *((False, *row) for row in BAD)],
)
async def test_requests(
    good: bool, path: str, kind: type[msgspec.Struct], body: dict[str, Any]
) -> None:
    """What the description allows is taken, what it does not is not."""
    async with (
        running() as http,
        http.post(at("lobby", path), json=body, headers=OPS) as answer,
    ):
        assert (answer.status in (200, 201)) is good, await answer.text()
    try:
        msgspec.convert(body, kind, strict=True)
    except msgspec.ValidationError:
        assert not good
    else:
        assert good


async def test_every_field_of_a_message_is_described() -> None:
    """The server names those that it knows when it does not know one."""
    async with running() as http:
        refused = await post(http, "lobby", OPS, body="x", nothing=1, **{"as": "bot"})
        assert code(refused) == (400, "bad_request")
        known = refused[1]["error"]["message"].rpartition(" is not one of ")[2].split(", ")
    described = {field.encode_name for field in msgspec.structs.fields(shapes.NewMessage)}
    assert described == {*known, "body", "as"}
