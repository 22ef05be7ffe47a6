"""The shapes as types of msgspec."""

import inspect
from typing import get_args

import msgspec
import pytest

from sioserver.auth.policy import PERMISSIONS
from sioserver.model import MAX_OFFSET
from sioserver.protocol import shapes
from sioserver.protocol.shapes import Options, Shape

SHAPES = [
    kind
    for _, kind in inspect.getmembers(shapes, inspect.isclass)
    if issubclass(kind, Shape) and kind not in (Shape, Options)
]


@pytest.mark.parametrize("kind", SHAPES)
def test_each_is_explained(kind: type[Shape]) -> None:
    assert kind.__doc__
    assert kind.__doc__.endswith(".")


@pytest.mark.parametrize("kind", SHAPES)
def test_only_of_what_clients_send_unknown_fields_are_refused(kind: type[Shape]) -> None:
    assert kind.__struct_config__.forbid_unknown_fields == issubclass(kind, Options)


def test_they_agree_with_the_values_that_are_told() -> None:
    assert get_args(shapes.Permission) == PERMISSIONS
    assert msgspec.convert(MAX_OFFSET, shapes.Offset) == MAX_OFFSET
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(MAX_OFFSET + 1, shapes.Offset)
