"""What the server tells without being asked, as types of msgspec."""

import msgspec
import pytest

from sioserver.protocol import events
from sioserver.protocol.registry import SERVER_EVENTS
from sioserver.protocol.shapes import Shape

from .kinds import is_explained, kinds_of, refuses_unknown_fields

KINDS = kinds_of(events)


@pytest.mark.parametrize("kind", KINDS)
def test_each_is_explained(kind: type[Shape]) -> None:
    assert is_explained(kind)


@pytest.mark.parametrize("kind", KINDS)
def test_a_newer_server_may_tell_more(kind: type[Shape]) -> None:
    assert not refuses_unknown_fields(kind)


def test_each_is_told_somewhere() -> None:
    told = {event.payload for event in SERVER_EVENTS.values()}
    assert {kind for kind in KINDS if not kind.__name__.startswith("_")} <= told


def test_a_gap_has_the_names_of_the_wire() -> None:
    assert msgspec.to_builtins(events.Gap(first=3, last=5)) == {"from": 3, "to": 5}
