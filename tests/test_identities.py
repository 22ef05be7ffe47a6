"""Who somebody is, and whether they may ask for anything: tokens that are good, and no more."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable
from typing import Any

import jwt
import pytest

from sioserver import wire
from sioserver.auth import Identity
from sioserver.auth.keys import read_set
from sioserver.config import Config
from sioserver.errors import Refusal
from sioserver.hub import Client
from sioserver.model import (
    Revocation,
    User,
)
from sioserver.rooms import RoomService

from .auth.kit import jwk, key_set, public_token
from .fakes import (
    ANN,
    FakeEngine,
)
from .world import Make, World, refused, token

# -- who -------------------------------------------------------------------------------------------


async def test_a_token_decides_who_it_is(world: World) -> None:
    hello = wire.Hello(token=token(name="Ann A"), user="ben", name="Ben")
    identity = await world.service.identities.identify(hello, "made up")
    assert identity.user == User("ann", "Ann A")
    assert identity.authenticated


async def test_a_revoked_token(world: World) -> None:
    hello = wire.Hello(token=token(jti="t1"))
    await world.service.identities.identify(hello, "")
    await world.engine.tokens.revoke(Revocation("token", "t1", world.clock() + 100))
    assert (await refused(world.service.identities.identify(hello, ""))).code == "unauthorized"


async def test_no_token_where_one_is_needed(world: World) -> None:
    assert (await refused(world.service.identities.identify(wire.Hello(user="ann"), "x"))).code == (
        "unauthorized"
    )


async def test_without_tokens_people_say_who_they_are() -> None:
    world = World(Config(), FakeEngine())
    identity = await world.service.identities.identify(wire.Hello(user="ann", name="Ann"), "x")
    assert identity == Identity(ANN)
    guest = await world.service.identities.identify(wire.Hello(), "x")
    assert (guest.user.id, guest.user.guest) == ("guest:x", True)


# -- who is not there, and whose time is over ------------------------------------------------------


REQUESTS: dict[str, Callable[[RoomService, Client], Any]] = {
    "send": lambda service, who: service.send(who, wire.SendRequest("hi", None)),
    "history": lambda service, who: service.history(who, wire.HistoryRequest(None, None, 9)),
    "members": lambda service, who: service.people.members(who, everybody=False),
    "read": lambda service, who: service.people.read(who, 1),
    "typing": lambda service, who: service.people.typing(who, True),
    "relay": lambda service, who: service.relay(who, "cursor", []),
}


async def ask(request: str, world: World, who: Client) -> None:
    result = REQUESTS[request](world.service, who)
    if inspect.isawaitable(result):
        await result


@pytest.mark.parametrize("request_", [*REQUESTS, "refresh"])
async def test_only_who_is_live_may_ask(
    world: World, monkeypatch: pytest.MonkeyPatch, request_: str
) -> None:
    monkeypatch.setitem(
        REQUESTS, "refresh", lambda service, who: service.identities.refresh(who, token())
    )
    who = world.client()
    assert (await refused(ask(request_, world, who))).code == "not_member"
    joined = await world.service.join(who, None)
    assert (await refused(ask(request_, world, who))).code == "not_member"
    await world.hand_out(who, joined)
    await ask(request_, world, who)
    await world.service.leave(who)
    assert (await refused(ask(request_, world, who))).code == "not_member"


@pytest.mark.parametrize("request_", REQUESTS)
async def test_a_token_that_has_expired(world: World, request_: str) -> None:
    who = await world.enter(expires_at=world.clock() + 10)
    world.clock.pass_(9.9)
    await ask(request_, world, who)
    world.clock.pass_(0.1)
    assert (await refused(ask(request_, world, who))).code == "token_expired"
    await world.service.identities.refresh(who, token())
    await ask(request_, world, who)


# -- a fresh token ---------------------------------------------------------------------------------


async def test_a_fresh_token(world: World) -> None:
    who = await world.enter(expires_at=world.clock() + 10)
    expires = int(world.clock()) + 100
    identity = await world.service.identities.refresh(
        who, token(expires=expires, name="Ann", perms=["join", "read"])
    )
    assert who.identity is identity
    assert (identity.expires_at, identity.user) == (expires, ANN)
    assert (await refused(world.post(who, "hi"))).code == "forbidden"


@pytest.mark.parametrize(
    ("claims", "code"),
    [
        ({"sub": "ben"}, "forbidden"),
        ({"rooms": ["other", "rooms/*"]}, "forbidden"),
        ({"perms": ["read", "post"]}, "forbidden"),
        ({"perms": ["join", "post"]}, "forbidden"),
        ({"expires": 1_600_000_000}, "token_expired"),
        ({"jti": "revoked"}, "unauthorized"),
        (None, "unauthorized"),
    ],
)
async def test_a_token_that_is_no_better(
    world: World, claims: dict[str, Any] | None, code: str
) -> None:
    await world.engine.tokens.revoke(Revocation("token", "revoked", world.clock() + 100))
    who = await world.enter()
    before = who.identity
    fresh = "garbage" if claims is None else token(**claims)
    assert (await refused(world.service.identities.refresh(who, fresh))).code == code
    assert who.identity is before


async def test_tokens_that_are_refused_are_counted_by_reason(world: World) -> None:
    await world.engine.tokens.revoke(Revocation("token", "revoked", world.clock() + 100))
    who = await world.enter()
    for text in ("garbage", token(jti="revoked"), token(expires=1_600_000_000), token()):
        for ask in (
            world.service.identities.identify(wire.Hello(token=text), "m1"),
            world.service.identities.refresh(who, text),
        ):
            with contextlib.suppress(Refusal):
                await ask
    counted = {reason: number for reason, number in world.metrics.invalid_tokens.items() if number}
    assert counted == {"malformed": 2, "revoked": 2, "expired": 2}


class IssuerKeys:
    """An issuer that has a key more, if it can be asked."""

    def __init__(self, world: World, *, well: bool) -> None:
        self.asked = 0
        self.well = well
        self.ring = world.service.identities._verifier.ring
        world.service.identities._renew_keys = self

    async def __call__(self) -> None:
        self.asked += 1
        if not self.well:
            raise Refusal("unavailable", retry_after=3.0)
        self.ring.publish(read_set(key_set(jwk("p256", kid="1"))).keys)


@pytest.fixture
async def issued(make: Make) -> World:
    world: World = await make(jwks="https://issuer.example/keys")
    return world


@pytest.mark.parametrize(
    ("kid", "well", "code", "asked", "counted"),
    [
        ("1", True, None, 1, 0),
        ("2", True, "unauthorized", 1, 1),
        ("1", False, "unavailable", 1, 1),
    ],
)
async def test_an_unknown_key_is_asked_for_once(
    issued: World, kid: str, well: bool, code: str | None, asked: int, counted: int
) -> None:
    keys = IssuerKeys(issued, well=well)
    text = public_token({"sub": "ann", "exp": 1_700_003_600}, "p256", "ES256", {"kid": kid})
    ask = issued.service.identities.identify(wire.Hello(token=text), "m1")
    if code is None:
        assert (await ask).user.id == "ann"
        await issued.service.identities.identify(wire.Hello(token=text), "m1")  # now it is known
    else:
        assert (await refused(ask)).code == code
    assert keys.asked == asked
    assert issued.metrics.invalid_tokens["unknown_key"] == counted


async def test_nobody_is_asked_for_what_no_key_could_mend(issued: World) -> None:
    keys = IssuerKeys(issued, well=True)
    for text in ("garbage", token("ann", expires=1), jwt.encode({"sub": "a"}, "x" * 40, "HS256")):
        await refused(issued.service.identities.identify(wire.Hello(token=text), "m1"))
    assert keys.asked == 0
    assert (await issued.service.identities.identify(wire.Hello(token=token()), "m1")).authenticated
