"""The rules of a room in memory, whatever is put and dropped."""

from __future__ import annotations

from math import inf
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sioserver.engine import moderated
from sioserver.engine.moderated import Rules, Unreadable, name_of, name_of_setting, pack
from sioserver.model import Act, RoomSettings, Sanction

USERS = ["ann", "ben", "b:c", ""]
PLACES = ["10.0.0.1", "10.0.0.2", "2001:db8::/64"]
SANCTIONS = st.builds(
    Sanction,
    kind=st.sampled_from(["ban", "mute", "kick"]),
    user=st.sampled_from(USERS),
    until=st.sampled_from([5.0, 10.5, inf]),
    at=st.sampled_from([1.0, 2.25]),
    by=st.sampled_from(["mod", "ä"]),
    reason=st.text(max_size=3),
    final=st.booleans(),
    by_address=st.booleans(),
    addresses=st.lists(st.sampled_from(PLACES), unique=True).map(tuple),
)


@given(st.lists(SANCTIONS | st.tuples(st.sampled_from("bmk"), st.sampled_from(USERS)), max_size=20))
def test_the_rules_are_what_was_put_last(steps: list[Any]) -> None:
    """Against a dict that is looked through."""
    rules, model = Rules(), dict[tuple[str, str], Sanction]()
    for step in steps:
        if isinstance(step, Sanction):
            known = model.get((step.kind, step.user))
            model[step.kind, step.user] = step
            changed = rules.put(name_of(step.kind, step.user), pack(step))
            assert changed == (None if known == step else step)
        else:
            letter, user = step
            kind = {"b": "ban", "m": "mute", "k": "kick"}[letter]
            assert rules.drop(f"{letter}:{user}") == model.pop((kind, user), None)
        assert sorted(map(str, rules)) == sorted(map(str, model.values()))
        assert len(rules) == len(model)
        assert bool(rules) == bool(model)
        assert set(rules.names()) == {name_of(one.kind, one.user) for one in model.values()}
        for now in (4.0, 5.0, 1e9):
            for kind in ("ban", "mute", "kick"):
                for user in USERS:
                    expected = model.get((kind, user))
                    in_force = expected if expected and expected.until > now else None
                    assert rules.find(kind, user, now) == in_force
            for place in (None, *PLACES):
                found = list(rules.bans_of("ann", place, now))
                assert sorted(map(str, found)) == sorted(
                    str(one)
                    for one in model.values()
                    if one.kind == "ban"
                    and one.until > now
                    and (one.user == "ann" or place in one.addresses)
                )
    rules.forget(10.5)
    left = [one for one in model.values() if one.until > 10.5]
    assert sorted(map(str, rules)) == sorted(map(str, left))


def test_pages_are_by_user() -> None:
    rules = Rules()
    for user in ("c", "a", "b", "d"):
        ban = Sanction("ban", user, 5.0 if user == "b" else inf, 1.0, "mod")
        rules.put(name_of("ban", user), pack(ban))
    assert [one.user for one in rules.page("ban", 4.0, None, 3)] == ["a", "b", "c"]
    assert [one.user for one in rules.page("ban", 5.0, "a", 3)] == ["c", "d"]
    assert rules.page("mute", 4.0, None, 3) == []


def test_settings_are_set_one_by_one() -> None:
    rules = Rules()
    topic = name_of_setting("topic")
    assert rules.put(topic, moderated.pack_setting("tea")) == RoomSettings("tea")
    assert rules.put(topic, moderated.pack_setting("tea")) is None
    assert rules
    slow = name_of_setting("slow_mode")
    assert rules.put(slow, moderated.pack_setting(3)) == RoomSettings("tea", 3.0)
    assert set(rules.names()) == {topic, slow}
    assert rules.drop(topic) == RoomSettings(None, 3.0)
    assert rules.drop(topic) is None
    assert rules.drop(slow) == RoomSettings()
    assert not rules
    assert Rules({slow: moderated.pack_setting(2.0)}).settings.slow_mode == 2


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("x:ann", pack(Sanction("ban", "ann", 1.0, 1.0, "mod"))),
        ("b", b"\x90"),
        ("b:ann", b"\x90"),
        ("b:ann", b""),
        ("b:ann", b"\xc1"),
        ("s:topic", b"\x01"),
        ("s:topic", b"\xc1"),
        ("s:slow_mode", moderated.pack_setting("fast")),
    ],
)
def test_what_nobody_here_has_written_is_not_taken(name: str, data: bytes) -> None:
    rules = Rules()
    with pytest.raises(Unreadable):
        rules.put(name, data)
    assert not rules
    with pytest.raises(Unreadable):
        moderated.unpack_act(data, 1)
    assert rules.drop("x:ann") is None


def test_a_ban_has_so_many_addresses() -> None:
    ban = Sanction("ban", "ann", inf, 1.0, "mod", addresses=("a",))
    assert moderated.learned(ban, ["b", "a", "c"]).addresses == ("a", "b", "c")
    many = moderated.learned(ban, map(str, range(99)))
    assert len(many.addresses) == moderated.ADDRESSES
    assert many.addresses[:2] == ("a", "0")


def test_an_act_comes_back_with_its_number() -> None:
    act = Act("settings", "mod", 1.5, settings={"topic": "ä", "read_only": None})
    found = moderated.unpack_act(moderated.pack_act(act), 7)
    assert found == Act(**{**{f: getattr(act, f) for f in act.__struct_fields__}, "number": 7})
