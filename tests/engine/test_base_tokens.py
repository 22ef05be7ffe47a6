"""The part of tokens is satisfied by shape, with nothing left out."""

import inspect
from typing import Any

import pytest

from sioserver.engine.base_tokens import Tokens, TokensListener
from sioserver.engine.embedded_tokens import EmbeddedTokens
from sioserver.engine.redis_revocations import RedisRevocations
from sioserver.hub import Hub

from .conftest import Listener


def promised(protocol: type[Any]) -> dict[str, Any]:
    return {name: member for name, member in vars(protocol).items() if not name.startswith("_")}


@pytest.mark.parametrize("part", [EmbeddedTokens, RedisRevocations])
def test_an_engine_has_every_method_as_promised(part: type[Any]) -> None:
    promises = promised(Tokens)
    assert {"revoke", "lift", "revoked", "revocations"} == set(promises)
    for name, promise in promises.items():
        found = getattr(part, name)
        assert inspect.getdoc(promise), name
        assert "`Tokens." in (found.__doc__ or ""), f"{name} points to its contract"
        assert inspect.signature(found) == inspect.signature(promise), name
        assert inspect.iscoroutinefunction(found) == inspect.iscoroutinefunction(promise), name


@pytest.mark.parametrize("listener", [Listener, Hub])
def test_who_listens_takes_what_is_told(listener: type[Any]) -> None:
    for name, promise in promised(TokensListener).items():
        assert inspect.signature(getattr(listener, name)) == inspect.signature(promise)
