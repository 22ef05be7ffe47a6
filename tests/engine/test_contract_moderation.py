"""What every engine must do with moderation, in the words of its contract
(sioserver/engine/base_moderation.py).

Only the Protocols are used here; the `engine` fixture runs each test with each engine.
"""

from __future__ import annotations

import asyncio
from math import inf
from typing import Any

import pytest

from sioserver.engine import moderated
from sioserver.engine.base import Engine
from sioserver.errors import Refusal
from sioserver.model import EVERYWHERE, Act, RoomSettings, Sanction

from .conftest import Harness, Listener, until

NOW = 1_000.0
BAN = Sanction("ban", "ann", until=2_000.5, at=NOW, by="mod", reason="enough – truly")
MUTE = Sanction("mute", "ann", until=1_500.0, at=NOW, by="mod")


def act(what: Any = "ban", user: str = "ann", **more: Any) -> Act:
    return Act(what, "mod", NOW, user, **more)


async def test_a_sanction_is_kept_and_announced(engine: Engine, listener: Listener) -> None:
    engine.watch("lobby")
    moderation = engine.moderation
    assert not await moderation.look("lobby")
    await moderation.impose("lobby", BAN, act())
    assert listener.sanctions == [("lobby", BAN)]
    rules = await moderation.look("lobby")
    assert rules.find("ban", "ann", NOW) == BAN
    assert rules.find("ban", "ann", 2_000.5) is None, "it is over"
    assert rules.find("mute", "ann", NOW) is None
    assert rules.find("ban", "ben", NOW) is None
    assert moderation.rules["lobby"].find("ban", "ann", NOW) == BAN
    assert "other" not in moderation.rules


async def test_a_room_that_is_not_watched_is_asked_for(engine: Engine, listener: Listener) -> None:
    await engine.moderation.impose("far", BAN, act())
    assert (await engine.moderation.look("far")).find("ban", "ann", NOW) == BAN
    assert listener.sanctions == []
    engine.watch("far")
    assert (await engine.moderation.look("far")).find("ban", "ann", NOW) == BAN
    assert "far" in engine.moderation.rules
    engine.unwatch("far")
    assert "far" not in engine.moderation.rules


async def test_a_later_sanction_takes_the_place(engine: Engine, listener: Listener) -> None:
    engine.watch("lobby")
    await engine.moderation.look("lobby")
    for_good = Sanction("ban", "ann", until=inf, at=NOW + 1, by="other", final=True)
    await engine.moderation.impose("lobby", BAN, act())
    await engine.moderation.impose("lobby", MUTE, act("mute"))
    await engine.moderation.impose("lobby", for_good, act())
    rules = await engine.moderation.look("lobby")
    assert rules.find("ban", "ann", 1e18) == for_good
    assert rules.find("mute", "ann", NOW) == MUTE
    assert listener.sanctions == [("lobby", BAN), ("lobby", MUTE), ("lobby", for_good)]


async def test_a_sanction_is_lifted_once(engine: Engine, listener: Listener) -> None:
    engine.watch("lobby")
    await engine.moderation.look("lobby")
    assert not await engine.moderation.lift("lobby", "ban", "ann", act("unban"))
    await engine.moderation.impose("lobby", BAN, act())
    assert not await engine.moderation.lift("lobby", "mute", "ann", act("unmute"))
    assert await engine.moderation.lift("lobby", "ban", "ann", act("unban"))
    assert not await engine.moderation.lift("lobby", "ban", "ann", act("unban"))
    assert listener.lifted == [("lobby", BAN)]
    assert not await engine.moderation.look("lobby")
    assert "lobby" not in engine.moderation.rules
    assert [act.what for act in await engine.moderation.acts("lobby", limit=9)] == ["unban", "ban"]


async def test_everywhere_is_always_watched(engine: Engine, listener: Listener) -> None:
    await engine.moderation.impose(EVERYWHERE, BAN, act())
    assert listener.sanctions == [(EVERYWHERE, BAN)]
    assert engine.moderation.rules[EVERYWHERE].find("ban", "ann", NOW) == BAN


async def test_a_ban_learns_addresses(engine: Engine, listener: Listener) -> None:
    engine.watch("lobby")
    await engine.moderation.look("lobby")
    ban = Sanction("ban", "ann", until=inf, at=NOW, by="mod", by_address=True)
    engine.moderation.learn("lobby", "ann", ("10.0.0.1",))
    await engine.moderation.impose("lobby", ban, act())
    engine.moderation.learn("lobby", "ann", ("10.0.0.1", "10.0.0.2"))
    engine.moderation.learn("lobby", "ann", ("10.0.0.2",))
    engine.moderation.learn("lobby", "ann", tuple(f"10.0.1.{n}" for n in range(99)))
    rules = await engine.moderation.look("lobby")

    def full() -> bool:
        ban = rules.find("ban", "ann", NOW)
        return ban is not None and len(ban.addresses) == moderated.ADDRESSES

    await until(full, "all have been learned")
    found = rules.find("ban", "ann", NOW)
    assert found is not None
    assert found.addresses[:3] == ("10.0.0.1", "10.0.0.2", "10.0.1.0")
    assert list(rules.bans_of("eve", "10.0.0.2", NOW)) == [found]
    assert list(rules.bans_of("ann", "10.0.0.2", NOW)) == [found], "it is one ban"
    assert list(rules.bans_of("eve", "10.0.0.3", NOW)) == []
    assert list(rules.bans_of("eve", None, NOW)) == []
    assert listener.sanctions[-1] == ("lobby", found)
    await engine.moderation.lift("lobby", "ban", "ann", act("unban"))
    assert list((await engine.moderation.look("lobby")).bans_of("eve", "10.0.0.2", NOW)) == []


async def test_settings_are_kept_and_announced(engine: Engine, listener: Listener) -> None:
    engine.watch("lobby")
    moderation = engine.moderation
    await moderation.look("lobby")
    line = act("settings", "", settings={"topic": "Küche", "slow_mode": 2.5})
    settings = await moderation.configure("lobby", line.settings, line)
    assert settings == RoomSettings("Küche", 2.5)
    assert await moderation.configure("lobby", {"read_only": True, "topic": None}, act()) == (
        RoomSettings(None, 2.5, read_only=True)
    )
    assert (await moderation.look("lobby")).settings == RoomSettings(None, 2.5, read_only=True)
    assert moderation.rules["lobby"].settings.read_only
    assert listener.settings[0] == ("lobby", RoomSettings("Küche", 2.5))  # both at once
    assert listener.settings[-1] == ("lobby", RoomSettings(None, 2.5, read_only=True))
    await moderation.configure("lobby", {"read_only": None, "slow_mode": None}, act())
    assert "lobby" not in moderation.rules
    assert not await moderation.look("lobby")


async def test_acts_are_told_newest_first_in_pages(engine: Engine) -> None:
    lines = [act("ban", f"user {n}", until=NOW + n, reason="ä") for n in range(7)]
    for n, line in enumerate(lines):
        await engine.moderation.impose("lobby", Sanction("ban", f"user {n}", inf, NOW, "mod"), line)
    await engine.moderation.impose("other", BAN, act())
    found: list[Act] = []
    before: int | None = None
    while page := await engine.moderation.acts("lobby", before=before, limit=3):
        assert len(page) <= 3
        found += page
        before = page[-1].number
    assert [(line.user, line.until, line.reason) for line in reversed(found)] == [
        (line.user, line.until, line.reason) for line in lines
    ]
    numbers = [line.number for line in found]
    assert numbers == sorted(set(numbers), reverse=True)


async def test_there_is_an_end_of_acts(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(moderated, "ACTS", 3)
    for n in range(5):
        await engine.moderation.configure("lobby", {"slow_mode": float(n + 1)}, act("settings", ""))
    assert len(await engine.moderation.acts("lobby", limit=99)) == 3


async def test_there_is_an_end_of_sanctions(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, listener: Listener
) -> None:
    monkeypatch.setattr(moderated, "MOST", 2)
    engine.watch("lobby")
    await engine.moderation.look("lobby")
    for user in ("ann", "ben"):
        await engine.moderation.impose("lobby", Sanction("ban", user, inf, NOW, "mod"), act())
    with pytest.raises(Refusal, match="lift some") as refused:
        await engine.moderation.impose("lobby", Sanction("ban", "cat", inf, NOW, "mod"), act())
    assert refused.value.code == "too_many"
    changed = Sanction("ban", "ben", inf, NOW + 1, "mod")
    await engine.moderation.impose("lobby", changed, act())
    await engine.moderation.impose("other", BAN, act())
    rules = await engine.moderation.look("lobby")
    assert [sanction.user for sanction in rules] == ["ann", "ben"]
    assert len(await engine.moderation.acts("lobby", limit=9)) == 3, "what was refused is not there"


async def test_what_is_over_is_forgotten(engine: Engine) -> None:
    engine.watch("lobby")
    await engine.moderation.look("lobby")
    await engine.moderation.impose("lobby", BAN, act())
    await engine.moderation.impose("lobby", MUTE, act("mute"))
    await engine.sweep(1_600.0)
    assert [sanction.kind for sanction in engine.moderation.rules["lobby"]] == ["ban"]
    await engine.sweep(10_000.0)
    assert "lobby" not in engine.moderation.rules


async def test_many_decide_at_once(engine: Engine) -> None:
    engine.watch("lobby")
    sanctions = [Sanction("ban", f"user {n}", inf, NOW + n, "mod") for n in range(40)]
    await asyncio.gather(
        *(engine.moderation.impose("lobby", sanction, act()) for sanction in sanctions),
        engine.moderation.look("lobby"),
        engine.moderation.configure("lobby", {"read_only": True}, act()),
    )
    rules = await engine.moderation.look("lobby")
    assert {sanction.user for sanction in rules} == {sanction.user for sanction in sanctions}
    assert rules.settings.read_only
    assert len(await engine.moderation.acts("lobby", limit=99)) == 41


async def test_a_listener_that_fails_stops_nobody(
    engine: Engine, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("planted")

    engine.watch("lobby")
    await engine.moderation.look("lobby")
    for method in ("on_sanction", "on_lifted", "on_settings"):
        monkeypatch.setattr(listener, method, fail)
    await engine.moderation.impose("lobby", BAN, act())
    await engine.moderation.lift("lobby", "ban", "ann", act("unban"))
    assert (await engine.moderation.configure("lobby", {"topic": "a"}, act())).topic == "a"


async def test_after_the_stop_nothing_is_decided(engine: Engine) -> None:
    await engine.stop()
    with pytest.raises(Refusal):
        await engine.moderation.impose("lobby", BAN, act())
    with pytest.raises(Refusal):
        await engine.moderation.look("lobby")
    engine.moderation.learn("lobby", "ann", ("10.0.0.1",))


async def test_decisions_survive_a_restart(durable: Harness) -> None:
    ban = Sanction("ban", "ann", inf, NOW, "mod", "why", True, True, ("10.0.0.1", "::/64"))
    for room in ("lobby", EVERYWHERE):
        await durable.engine.moderation.impose(room, ban, act())
        await durable.engine.moderation.impose(room, MUTE, act("mute"))
        await durable.engine.moderation.lift(room, "mute", "ann", act("unmute"))
    await durable.engine.moderation.configure("lobby", {"topic": "tea"}, act("settings", ""))
    acts = await durable.engine.moderation.acts("lobby", limit=99)

    engine = await durable.restart()
    assert list(engine.moderation.rules[EVERYWHERE]) == [ban]
    rules = await engine.moderation.look("lobby")
    assert list(rules) == [ban]
    assert rules.settings == RoomSettings("tea")
    assert await engine.moderation.acts("lobby", limit=99) == acts
    assert len(acts) == 4
