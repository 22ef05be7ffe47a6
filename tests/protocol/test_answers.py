"""What clients are answered, as types of msgspec."""

import msgspec
import pytest

from sioserver.protocol import answers
from sioserver.protocol.registry import CLIENT_EVENTS
from sioserver.protocol.shapes import Shape

from .kinds import is_explained, kinds_of, refuses_unknown_fields

KINDS = kinds_of(answers)


@pytest.mark.parametrize("kind", KINDS)
def test_each_is_explained(kind: type[Shape]) -> None:
    assert is_explained(kind)


@pytest.mark.parametrize("kind", KINDS)
def test_a_newer_server_may_tell_more(kind: type[Shape]) -> None:
    assert not refuses_unknown_fields(kind)


@pytest.mark.parametrize("kind", dict.fromkeys(event.answer for event in CLIENT_EVENTS.values()))
def test_each_answer_says_that_it_was_done(kind: type[Shape]) -> None:
    with pytest.raises(msgspec.ValidationError, match="ok"):
        msgspec.convert({"ok": False}, kind)
