"""Requests of moderators, and their answers."""

import pytest

from sioserver.errors import Refusal

from .kit import Desk

BAN = {
    "ok": True,
    "user": "ben",
    "until": 2500,
    "by": "alice",
    "reason": "spam",
    "at": 1500,
    "address": True,
}


async def test_deciding_about_somebody() -> None:
    desk = Desk()
    assert await desk.ask("kick", {"user": "ben", "reason": "x"}) == {"ok": True}
    assert await desk.ask("mute", {"user": "ben", "seconds": 9}) == BAN
    assert await desk.ask("ban", {"user": "ben", "address": True}) == BAN
    assert await desk.ask("unmute", {"user": "ben"}) == {"ok": True}
    assert await desk.ask("unban", {"user": "ben"}) == {"ok": True}
    assert desk.service.asked == [
        ("kick", "ben", None, "x", False),
        ("mute", "ben", 9, "", False),
        ("ban", "ben", None, "", True),
        ("unmute", "ben"),
        ("unban", "ben"),
    ]


async def test_lists() -> None:
    desk = Desk()
    item = {name: value for name, value in BAN.items() if name != "ok"}
    assert await desk.ask("bans", {"after": "al"}) == {"ok": True, "items": [item], "next": "ben"}
    log = await desk.ask("moderation_log", {"before": 9, "limit": 3})
    assert (log["items"][0]["number"], log["more"]) == (7, False)
    assert desk.service.asked == [("bans", "ban", "al", 100), ("log", 9, 3)]


async def test_settings() -> None:
    desk = Desk()
    answer = await desk.ask("settings", {"topic": "tea"})
    assert answer == {"ok": True, "topic": "tea", "slow_mode": 2.0, "read_only": True}
    assert desk.service.asked == [("settings", {"topic": "tea"})]


async def test_settings_can_be_asked_for() -> None:
    desk = Desk()
    assert (await desk.ask("settings"))["topic"] == "tea"
    assert desk.service.asked == [("settings", {})]


@pytest.mark.parametrize("event", ["kick", "mute", "ban", "unmute", "unban"])
async def test_what_is_not_understood_reaches_nobody(event: str) -> None:
    desk = Desk()
    with pytest.raises(Refusal):
        await desk.ask(event, 7)
    with pytest.raises(Refusal):
        await desk.ask(event)
    assert desk.service.asked == []
