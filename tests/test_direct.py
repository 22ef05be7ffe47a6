"""Rooms of two: finding them, and the one who is fetched by the first message."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from sioserver import direct
from sioserver.config.schema import Limits, Store
from sioserver.direct import KNOWN, Direct
from sioserver.engine.embedded import EmbeddedEngine
from sioserver.errors import Refusal
from sioserver.limits import Budget
from sioserver.model import User

from .fakes import ANN, BEN, CAT

NOW = 1_700_000_000.0
ROOM = "@dm:3:ann:ben"
LIMITS = Limits(direct_burst=2, direct_rate=0.1, rooms_per_user=2)


class Desk:
    def __init__(self, engine: EmbeddedEngine) -> None:
        self.engine = engine
        self.joined: list[tuple[str, str]] = []
        self.direct = Direct(LIMITS, engine, Budget(LIMITS), lambda *who: self.joined.append(who))

    async def members(self, room: str = ROOM) -> list[str]:
        return [user.id for user in await self.engine.members(room, limit=9)]


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    engine = EmbeddedEngine(Store(), grace=5.0, path=":memory:")
    desk = Desk(engine)
    await engine.start(None)  # type: ignore[arg-type]  # nobody watches anything
    yield desk
    await engine.stop()


@pytest.mark.parametrize(
    ("name", "room"),
    [
        ("@dm/ben", ROOM),
        ("@dm/ann", "@dm:3:ann:ann"),
        ("@dm/ben%40example.org", "@dm:3:ann:ben@example.org"),
        ("@dm/李明", "@dm:3:ann:李明"),
    ],
)
def test_finding_a_room(name: str, room: str) -> None:
    assert Direct.find(name, ANN) == room


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("@dm/", "percent-encoded"),
        ("@dm/%", "percent-encoded"),
        ("@dm/guest%3A1", "does not begin with"),
        ("@dm/%20ben", "does not begin or end with a space"),
        ("@dm/be%00n", "visible"),
        ("@dm/__proto__", "__proto__"),
        ("@dm/" + "x" * 129, "128"),
    ],
)
def test_who_is_nobody(name: str, message: str) -> None:
    with pytest.raises(Refusal, match=message) as refusal:
        Direct.find(name, ANN)
    assert refusal.value.code == "bad_room"


async def test_the_other_one_has_a_name_once_they_were_here(desk: Desk) -> None:
    assert await desk.direct.peer(ROOM, ANN) == User("ben", "ben")
    await desk.engine.join(ROOM, ANN)
    assert await desk.direct.peer(ROOM, ANN) == User("ben", "ben")
    await desk.engine.join(ROOM, BEN)
    assert await desk.direct.peer(ROOM, ANN) == BEN
    assert await desk.direct.peer(ROOM, BEN) == ANN


async def test_the_first_message_makes_the_other_a_member(desk: Desk) -> None:
    await desk.engine.join(ROOM, ANN)
    for _ in range(3):
        await desk.direct.invite(ROOM, ANN, NOW)
    assert await desk.members() == ["ann", "ben"]
    assert desk.joined == [("ben", ROOM)]
    await desk.direct.invite(ROOM, BEN, NOW)  # whose other one is there already
    assert desk.joined == [("ben", ROOM)]


async def test_with_oneself_nobody_is_fetched(desk: Desk) -> None:
    await desk.direct.invite("@dm:3:ann:ann", ANN, NOW)
    assert (desk.joined, await desk.members("@dm:3:ann:ann")) == ([], [])


async def test_who_has_left_is_brought_back_but_not_at_once(desk: Desk) -> None:
    await desk.direct.invite(ROOM, ANN, NOW)
    await desk.engine.leave(ROOM, "ben")
    await desk.direct.invite(ROOM, ANN, NOW + KNOWN - 1)
    assert await desk.members() == []
    await desk.direct.invite(ROOM, ANN, NOW + KNOWN)
    assert await desk.members() == ["ben"]
    await desk.engine.leave(ROOM, "ben")
    await desk.direct.invite(ROOM, ANN, NOW - 100)  # the clock was set back
    assert await desk.members() == ["ben"]


async def test_nobody_begins_conversations_without_end(desk: Desk) -> None:
    for name in ("ben", "cat"):
        await desk.direct.invite(Direct.find(f"@dm/{name}", ANN), ANN, NOW)
    with pytest.raises(Refusal) as refusal:
        await desk.direct.invite(Direct.find("@dm/dan", ANN), ANN, NOW)
    assert (refusal.value.code, refusal.value.limit) == ("rate_limited", "direct_rate")
    assert refusal.value.retry_after == pytest.approx(10, abs=0.1)
    await desk.direct.invite(ROOM, ANN, NOW + KNOWN)  # one that has begun goes on
    await desk.direct.invite(Direct.find("@dm/dan", ANN), ANN, NOW + 11)


async def test_who_is_in_too_many_rooms_is_not_fetched(desk: Desk) -> None:
    for room in ("a", "b"):
        await desk.engine.join(room, BEN)
    with pytest.raises(Refusal, match="they are in too many rooms") as refusal:
        await desk.direct.invite(ROOM, ANN, NOW)
    assert (refusal.value.code, refusal.value.limit) == ("too_many", "rooms_per_user")
    assert desk.joined == []
    await desk.engine.leave("a", "ben")
    await desk.direct.invite(ROOM, ANN, NOW)
    assert await desk.members() == ["ben"]


async def test_other_refusals_are_told_as_they_are(desk: Desk) -> None:
    await desk.engine.stop()
    with pytest.raises(Refusal) as refusal:
        await desk.direct.invite(ROOM, ANN, NOW)
    assert refusal.value.code == "unavailable"


async def test_what_is_remembered_has_a_bound(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(direct, "ROOMS", 1)
    other = Direct.find("@dm/cat", ANN)
    await desk.direct.invite(ROOM, ANN, NOW)
    await desk.direct.invite(other, ANN, NOW)
    await desk.engine.leave(ROOM, "ben")
    await desk.engine.leave(other, CAT.id)
    await desk.direct.invite(other, ANN, NOW + 30)
    assert await desk.members(other) == []  # it is remembered that she was there
    await desk.direct.invite(ROOM, ANN, NOW + 30)
    assert await desk.members() == ["ben"]
