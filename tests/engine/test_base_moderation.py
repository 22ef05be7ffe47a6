"""The part of moderation is satisfied by shape, with nothing left out."""

import inspect
from typing import Any

import pytest

from sioserver.engine.base_moderation import Moderation, ModerationListener
from sioserver.engine.embedded_moderation import EmbeddedModeration
from sioserver.engine.redis_moderation import RedisModeration
from sioserver.hub import Hub
from sioserver.local import Moderator

from .conftest import Listener


def promised(protocol: type[Any]) -> dict[str, Any]:
    return {name: member for name, member in vars(protocol).items() if not name.startswith("_")}


@pytest.mark.parametrize("part", [EmbeddedModeration, RedisModeration])
def test_an_engine_has_every_method_as_promised(part: type[Any]) -> None:
    promises = promised(Moderation)
    assert {"rules", "look", "impose", "lift", "learn", "configure", "acts"} == set(promises)
    for name, promise in promises.items():
        found = getattr(part, name)
        assert inspect.getdoc(promise), name
        assert "`Moderation." in (found.__doc__ or ""), f"{name} points to its contract"
        if isinstance(promise, property):
            assert isinstance(found, property)
            continue
        assert inspect.signature(found) == inspect.signature(promise), name
        assert inspect.iscoroutinefunction(found) == inspect.iscoroutinefunction(promise), name


@pytest.mark.parametrize("listener", [Listener, Hub, Moderator])
def test_who_listens_takes_what_is_told(listener: type[Any]) -> None:
    for name, promise in promised(ModerationListener).items():
        assert inspect.signature(getattr(listener, name)) == inspect.signature(promise)
