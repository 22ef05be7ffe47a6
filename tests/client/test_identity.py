"""Who we are, as a connection tells it."""

from __future__ import annotations

import pytest

from sioserver.client.identity import Identity, Token
from sioserver.model import Position


async def later() -> str:
    return "fresh"


@pytest.mark.parametrize(
    ("token", "renewable"), [("fresh", False), (lambda: "fresh", True), (later, True)]
)
async def test_a_token_is_given_or_got(token: Token, renewable: bool) -> None:
    identity = Identity(token)
    assert identity.renewable is renewable
    assert await identity.fresh_token() == "fresh"
    assert await identity.auth(None, None) == {"token": "fresh"}


async def test_each_connection_gets_its_own_token() -> None:
    tokens = iter(["one", "two"])
    identity = Identity(lambda: next(tokens))
    assert [(await identity.auth(None, None))["token"] for _ in range(2)] == ["one", "two"]


async def test_only_what_is_known_is_said() -> None:
    assert await Identity().auth(None, None) == {}
    assert await Identity(None, "ann", "Ann").auth("p", Position("a", 0)) == {
        "user": "ann",
        "name": "Ann",
        "pid": "p",
        "position": "a.0",
    }


async def test_a_token_function_may_fail() -> None:
    def fails() -> str:
        raise OSError("no network")

    with pytest.raises(OSError, match="no network"):
        await Identity(fails).auth(None, None)
