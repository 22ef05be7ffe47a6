"""What moderators ask for, and what they are told."""

from __future__ import annotations

from contextlib import suppress
from math import inf
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sioserver import wire
from sioserver.errors import Refusal
from sioserver.model import Act, RoomSettings, Sanction
from sioserver.wire.moderation import MAX_SECONDS, ListRequest, LogRequest, Order

from .kit import JSON

PARSERS = [
    wire.parse_kick,
    wire.parse_mute,
    wire.parse_ban,
    lambda args: wire.parse_lift(args, "unban"),
    wire.parse_bans,
    wire.parse_settings,
    wire.parse_log,
]


def test_what_is_understood() -> None:
    assert wire.parse_kick([{"user": "ann"}]) == Order("ann")
    assert wire.parse_mute([{"user": "ann", "seconds": 60.0, "reason": "x"}]) == Order(
        "ann", 60, "x"
    )
    assert wire.parse_ban([{"user": "ann", "address": True}]) == Order("ann", address=True)
    for seconds in (0, None):
        assert wire.parse_ban([{"user": "guest:x", "seconds": seconds}]) == Order("guest:x")
    assert wire.parse_ban([{"user": "ann", "seconds": 5}]).seconds == 5
    assert wire.parse_lift([{"user": "ann"}], "unban") == "ann"
    assert wire.parse_bans([]) == ListRequest("ban", None, 100)
    assert wire.parse_bans([{"kind": "mute", "after": "ann", "limit": 7}]) == ListRequest(
        "mute", "ann", 7
    )
    assert wire.parse_log([]) == LogRequest(None, 100)
    assert wire.parse_log([{"before": 9, "limit": 1}]) == LogRequest(9, 1)
    settings = {"topic": "tea", "slow_mode": 1.5, "read_only": True}
    assert wire.parse_settings([settings]) == settings
    assert wire.parse_settings([{"topic": None}]) == {"topic": None}
    assert wire.parse_settings([]) == wire.parse_settings([{}]) == {}


@pytest.mark.parametrize(
    ("parse", "given_", "said"),
    [
        (wire.parse_kick, {}, "kick takes {user}"),
        (wire.parse_kick, {"user": ""}, "kick takes {user}"),
        (wire.parse_kick, {"user": "x" * 129}, "kick takes {user}"),
        (wire.parse_kick, {"user": "\ud800"}, "kick takes {user}"),
        (wire.parse_kick, {"user": ["ann"]}, "kick takes {user}"),
        (wire.parse_kick, {"user": "ann", "seconds": 1}, "'seconds' is not one of"),
        (wire.parse_mute, {"user": "ann"}, "seconds is a whole number"),
        (wire.parse_mute, {"user": "ann", "seconds": 0}, "seconds is a whole number"),
        (wire.parse_mute, {"user": "ann", "seconds": MAX_SECONDS + 1}, "seconds is a whole"),
        (wire.parse_mute, {"user": "ann", "seconds": 1, "address": True}, "'address' is not"),
        (wire.parse_ban, {"user": "ann", "seconds": -1}, "seconds is a whole number"),
        (wire.parse_ban, {"user": "ann", "reason": 1}, "reason is a string"),
        (wire.parse_ban, {"user": "ann", "reason": "x" * 201}, "reason is a string"),
        (wire.parse_ban, {"user": "ann", "address": 1}, "address is true or false"),
        (wire.parse_bans, {"kind": "kick"}, 'kind is "ban" or "mute"'),
        (wire.parse_bans, {"kind": ["ban"]}, 'kind is "ban" or "mute"'),
        (wire.parse_bans, {"after": 1}, "after is what"),
        (wire.parse_bans, {"limit": 1001}, "limit is a whole number"),
        (wire.parse_log, {"before": "1"}, "before is a whole number"),
        (wire.parse_settings, {"topic": 1}, "topic is a string"),
        (wire.parse_settings, {"topic": "x" * 513}, "topic is a string"),
        (wire.parse_settings, {"slow_mode": True}, "slow_mode is seconds"),
        (wire.parse_settings, {"slow_mode": float("nan")}, "slow_mode is seconds"),
        (wire.parse_settings, {"slow_mode": 86401}, "slow_mode is seconds"),
        (wire.parse_settings, {"read_only": 1}, "read_only is true or false"),
        (wire.parse_settings, {"history_length": 1}, "'history_length' is not one of"),
    ],
)
def test_what_is_not_understood(parse: Any, given_: Any, said: str) -> None:
    with pytest.raises(Refusal, match=said) as refused:
        parse([given_])
    assert refused.value.code == "bad_request"


@given(st.sampled_from(PARSERS), st.lists(JSON, max_size=2))
def test_anything_else_is_a_refusal(parse: Any, args: list[Any]) -> None:
    with suppress(Refusal):
        parse(args)


def test_a_sanction_is_told_without_its_addresses() -> None:
    ban = Sanction("ban", "ann", inf, 1.5, "mod", "spam", True, True, ("10.0.0.1",))
    told = {
        "user": "ann",
        "until": None,
        "by": "mod",
        "reason": "spam",
        "at": 1500,
        "address": True,
    }
    assert wire.sanction_payload(ban) == told
    assert wire.bans_answer([ban], False) == {"ok": True, "items": [told]}
    assert wire.bans_answer([ban], True)["next"] == "ann"
    assert wire.sanction_payload(Sanction("mute", "ann", 2.0, 1.5, "mod"))["until"] == 2000


def test_what_was_done_is_told() -> None:
    acts = [
        Act("ban", "mod", 1.5, "ann", inf, "spam", number=4),
        Act("unban", "mod", 1.5, "ann", number=3),
        Act("settings", "mod", 1.5, settings={"topic": None}, number=2),
    ]
    head = {"by": "mod", "at": 1500}
    assert wire.log_answer(acts, True) == {
        "ok": True,
        "items": [
            {**head, "number": 4, "what": "ban", "user": "ann", "until": None, "reason": "spam"},
            {**head, "number": 3, "what": "unban", "user": "ann"},
            {**head, "number": 2, "what": "settings", "settings": {"topic": None}},
        ],
        "more": True,
    }


def test_settings_are_told_whole() -> None:
    assert wire.settings_payload(RoomSettings()) == {
        "topic": "",
        "slow_mode": 0.0,
        "read_only": False,
    }
    assert wire.room_event(RoomSettings("tea", 2.0, True)).payload == {
        "topic": "tea",
        "slow_mode": 2.0,
        "read_only": True,
    }
