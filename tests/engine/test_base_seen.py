"""The part of being seen is satisfied by shape."""

import inspect
from typing import Any

import pytest

from sioserver.engine.base_seen import KEPT, Seen
from sioserver.engine.embedded_seen import EmbeddedSeen
from sioserver.engine.redis_seen import RedisSeen


@pytest.mark.parametrize("part", [EmbeddedSeen, RedisSeen])
def test_an_engine_has_every_method_as_promised(part: type[Any]) -> None:
    assert inspect.signature(part.of) == inspect.signature(Seen.of)
    assert "`Seen.of`" in (part.of.__doc__ or "")


def test_it_is_kept_for_more_than_a_year() -> None:
    assert KEPT > 365 * 86_400
