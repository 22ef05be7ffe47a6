"""What holds in rooms."""

import msgspec
import pytest

from sioserver.config.sections.rooms import Presence, RoomRule, Rooms


def test_defaults_are_not_shared() -> None:
    for name in ("join", "post", "history"):
        assert getattr(RoomRule(), name) is not getattr(RoomRule(), name)


def test_a_rule_of_the_file_is_a_rule() -> None:
    rooms = msgspec.convert({"rules": [{"match": "den", "post": ["ann"]}]}, Rooms)
    assert rooms.rules == [RoomRule(match="den", post=["ann"])]
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"topic": "x" * 513}, RoomRule)


def test_a_lease_is_long_enough_to_be_renewed() -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"lease": 0.5}, Presence)
