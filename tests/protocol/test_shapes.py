"""What is on the wire in more than one place, as types of msgspec."""

from typing import get_args

import msgspec
import pytest

from sioserver.auth.policy import PERMISSIONS
from sioserver.model import MAX_OFFSET
from sioserver.protocol import shapes
from sioserver.protocol.shapes import Options, Shape

from .kinds import is_explained, kinds_of, refuses_unknown_fields

KINDS = kinds_of(shapes)


@pytest.mark.parametrize("kind", KINDS)
def test_each_is_explained(kind: type[Shape]) -> None:
    assert is_explained(kind)


@pytest.mark.parametrize("kind", KINDS)
def test_a_newer_server_may_tell_more(kind: type[Shape]) -> None:
    assert not refuses_unknown_fields(kind)


def test_only_of_what_clients_send_unknown_fields_are_refused() -> None:
    assert refuses_unknown_fields(Options)
    assert not refuses_unknown_fields(Shape)


def test_they_agree_with_the_values_that_are_told() -> None:
    assert get_args(shapes.Permission) == PERMISSIONS
    assert msgspec.convert(MAX_OFFSET, shapes.Offset) == MAX_OFFSET
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(MAX_OFFSET + 1, shapes.Offset)
