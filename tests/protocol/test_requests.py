"""What clients send with their events, as types of msgspec."""

from typing import Any

import msgspec
import pytest

from sioserver.protocol import requests
from sioserver.protocol.shapes import Options, Shape

from .kinds import is_explained, kinds_of, refuses_unknown_fields

KINDS = kinds_of(requests)


@pytest.mark.parametrize("kind", KINDS)
def test_each_is_explained(kind: type[Shape]) -> None:
    assert is_explained(kind)


@pytest.mark.parametrize("kind", KINDS)
def test_unknown_fields_are_refused(kind: type[Shape]) -> None:
    assert issubclass(kind, Options)
    assert refuses_unknown_fields(kind)


@pytest.mark.parametrize(
    ("kind", "sent"),
    [
        (requests.MessageOptions, {"id": "a b"}),
        (requests.HistoryOptions, {"limit": 0}),
        (requests.SearchOptions, {"query": "x" * 201}),
        (requests.MuteOptions, {"user": "ann"}),
        (requests.BanOptions, {"user": ""}),
        (requests.SettingsOptions, {"slow_mode": -1}),
    ],
)
def test_what_none_of_them_is(kind: type[Shape], sent: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(sent, kind)
