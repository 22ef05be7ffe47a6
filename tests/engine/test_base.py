"""The Protocols hold together: what satisfies them does so by shape, with nothing left out."""

import inspect
from typing import Any

import pytest

from sioserver.config.schema import RoomRule
from sioserver.engine import base
from sioserver.engine.embedded import EmbeddedEngine
from sioserver.engine.redis import RedisEngine

from .conftest import Listener

ENGINES: list[type[Any]] = [EmbeddedEngine, RedisEngine]


def promised(protocol: type[Any]) -> dict[str, Any]:
    return {
        name: member
        for part in protocol.__mro__
        if part.__module__ == base.__name__
        for name, member in vars(part).items()
        # a part of its own (`moderation`) has its own test module
        if not name.startswith("_") and not isinstance(member, property)
    }


@pytest.mark.parametrize("engine", ENGINES)
def test_an_engine_has_every_method_as_promised(engine: type[Any]) -> None:
    methods = promised(base.Engine)
    assert {"publish", "join", "enter", "secret", "start"} <= set(methods)
    for name, promise in methods.items():
        method = getattr(engine, name)
        assert inspect.signature(method) == inspect.signature(promise), name
        assert inspect.iscoroutinefunction(method) == inspect.iscoroutinefunction(promise), name
        assert "`" in (method.__doc__ or ""), f"{name} points to its contract"


def test_a_rule_of_the_configuration_is_a_retention() -> None:
    assert all(hasattr(RoomRule(), name) for name in vars(base.Retention) if name[0] != "_")


def test_the_tests_listener_is_a_listener() -> None:
    for name, promise in promised(base.EngineListener).items():
        assert inspect.signature(getattr(Listener, name)) == inspect.signature(promise)


def test_every_promise_is_written_down() -> None:
    for name, promise in promised(base.Engine).items():
        assert inspect.getdoc(promise), name
