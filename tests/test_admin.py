"""What an operator may do, and who is one."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable
from typing import Any

import jwt
import pytest

from sioserver.admin import Admin
from sioserver.auth import Grant, Identity, Policy
from sioserver.auth.api_keys import BYTES, make
from sioserver.config import Config
from sioserver.config.schema import Api, Auth, Store
from sioserver.engine.embedded import EmbeddedEngine
from sioserver.errors import InvalidToken, Refusal
from sioserver.metrics import Metrics
from sioserver.model import Revocation, User

from .fakes import FakeClock

SECRET = "correct horse battery staple, and more"
KEY, ENTRY = make("ops", ["admin"], b"o" * BYTES)
SCRAPER, SCRAPER_ENTRY = make("scraper", ["metrics"], b"s" * BYTES)


class Desk:
    def __init__(self, engine: EmbeddedEngine) -> None:
        self.clock = FakeClock()
        self.metrics = Metrics()
        self.engine = engine
        self.identities: dict[str, Identity] = {}
        self.fault: Refusal = InvalidToken("signature", "no key has signed it")
        config = Config(
            auth=Auth(secret=SECRET, max_lifetime=1000.0, leeway=5.0),
            api=Api(keys=[str(ENTRY), str(SCRAPER_ENTRY)]),
        )
        self.admin = Admin(config, engine, Policy(config), self.metrics, self.clock, self.identify)

    async def identify(self, token: str) -> Identity:
        if token not in self.identities:
            raise self.fault
        return self.identities[token]

    async def rules(self) -> list[Revocation]:
        return (await self.admin.revocations(None, 100))[0]


class Silent:
    """Hears of revocations."""

    def on_revoked(self, rule: Revocation) -> None: ...


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    engine = EmbeddedEngine(Store(durability="normal"), grace=1.0, path=":memory:")
    await engine.start(Silent())  # type: ignore[arg-type]
    yield Desk(engine)
    await engine.stop()


async def refused(call: Awaitable[Any]) -> Refusal:
    with pytest.raises(Refusal) as error:
        await call
    return error.value


# -- who -----------------------------------------------------------------------------------------


async def test_keys(desk: Desk) -> None:
    assert desk.admin.by_key(KEY, "admin") == desk.admin.by_key(KEY, "metrics") == ENTRY
    assert desk.admin.by_key(SCRAPER, "metrics") == SCRAPER_ENTRY
    with pytest.raises(Refusal, match="this API key is not for admin") as error:
        desk.admin.by_key(SCRAPER, "admin")
    assert error.value.code == "forbidden"
    assert desk.admin.by_key(KEY + "x", "admin") is None


async def test_tokens(desk: Desk) -> None:
    ann = User("ann", "Ann")
    desk.identities["yes"] = Identity(ann, grants=(Grant.everywhere("admin"),), authenticated=True)
    desk.identities["no"] = Identity(ann, authenticated=True)
    desk.identities["here"] = Identity(ann, grants=(Grant("a", frozenset({"admin"})),))
    assert await desk.admin.by_token("yes") == "the user ann"
    for token in ("no", "here"):
        assert (await refused(desk.admin.by_token(token))).code == "forbidden"
    assert (await refused(desk.admin.by_token("nonsense"))).code == "unauthorized"


async def test_without_keys_and_tokens_there_is_nobody(desk: Desk) -> None:
    for config, reachable in (
        (Config(), False),
        (Config(auth=Auth(secret=SECRET)), True),
        (Config(api=Api(keys=[str(ENTRY)])), True),
    ):
        admin = Admin(config, desk.engine, Policy(config), desk.metrics, desk.clock, desk.identify)
        assert admin.reachable is reachable
        if not config.auth.takes_tokens:
            assert (await refused(admin.by_token("yes"))).code == "unauthorized"


# -- what ----------------------------------------------------------------------------------------


async def test_a_user_s_tokens_until_now(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    now = desk.clock()
    rule = await desk.admin.revoke_user("ann", None, None, "the key ops")
    assert rule == Revocation("user", "ann", now + 1005.0, now)
    assert await desk.rules() == [rule]
    assert desk.metrics.revocations["user"] == 1
    assert "the key ops revoked: user 'ann'" in caplog.text


async def test_times_can_be_given(desk: Desk) -> None:
    now = desk.clock()
    rule = await desk.admin.revoke_all(now - 10, now + 60, "x")
    assert rule == Revocation("all", "", now + 60, now - 10)
    for before in (now + 1, 0.0, -1.0):
        error = await refused(desk.admin.revoke_all(before, None, "x"))
        assert error.code == "bad_request"
        assert "before has to be a time gone by" in error.message
    for until in (now, now - 1, 1e12):
        error = await refused(desk.admin.revoke_user("ann", None, until, "x"))
        assert "until has to be a time to come" in error.message


async def test_a_token_by_its_id_or_as_it_is(desk: Desk) -> None:
    now = desk.clock()
    by_id = await desk.admin.revoke_token("t1", None, "x")
    assert by_id == Revocation("token", "t1", now + 1005.0)
    whole = jwt.encode({"sub": "ann", "exp": 1, "jti": "t2"}, SECRET, "HS256")
    ann = User("ann", "Ann")
    desk.identities[whole] = Identity(ann, token_id="t2", expires_at=now + 30)
    assert await desk.admin.revoke_token(whole, None, "x") == Revocation("token", "t2", now + 30)
    desk.identities[whole] = Identity(ann, expires_at=now + 30)
    assert "has no jti" in (await refused(desk.admin.revoke_token(whole, None, "x"))).message
    del desk.identities[whole]
    error = await refused(desk.admin.revoke_token(whole, None, "x"))
    assert (error.code, "nothing was revoked" in error.message) == ("bad_request", True)


async def test_a_token_of_which_nobody_knows_is_not_said_to_be_harmless(desk: Desk) -> None:
    whole = jwt.encode({"sub": "ann", "exp": 1, "jti": "t2"}, SECRET, "HS256")
    desk.fault = Refusal("unavailable", retry_after=2.0)  # of the issuer, or of Redis
    error = await refused(desk.admin.revoke_token(whole, None, "x"))
    assert (error.code, error.retry_after) == ("unavailable", 2.0)
    desk.fault = InvalidToken("early", "nbf lies in the future")
    error = await refused(desk.admin.revoke_token(whole, None, "x"))
    assert error.code == "bad_request"
    assert "will be: revoke it by its jti" in error.message


async def test_a_token_that_is_named_whole_can_have_an_end_of_its_own(desk: Desk) -> None:
    now = desk.clock()
    whole = jwt.encode({"sub": "ann", "exp": 1, "jti": "t2"}, SECRET, "HS256")
    desk.identities[whole] = Identity(User("ann", "Ann"), token_id="t2", expires_at=now + 30)
    assert (await desk.admin.revoke_token(whole, now + 9, "x")).until == now + 9
    assert (await refused(desk.admin.revoke_token(whole, 0.0, "x"))).code == "bad_request"


@pytest.mark.parametrize("id", ["", "x" * 257, "a\nb", "a\0"])
async def test_what_is_no_id(desk: Desk, id: str) -> None:
    for call in (
        desk.admin.revoke_token(id, None, "x"),
        desk.admin.revoke_user(id, None, None, "x"),
    ):
        assert (await refused(call)).code == "bad_request"


async def test_a_rule_can_be_lifted_once(desk: Desk) -> None:
    await desk.admin.revoke_user("ann", None, None, "x")
    assert await desk.admin.lift("user", "ann", "x")
    assert not await desk.admin.lift("user", "ann", "x")
    assert desk.metrics.revocations["lifted"] == 1


async def test_pages(desk: Desk) -> None:
    for number in range(5):
        await desk.admin.revoke_token(f"t{number}", None, "x")
    page, more = await desk.admin.revocations(None, 3)
    assert ([rule.id for rule in page], more) == (["t0", "t1", "t2"], True)
    page, more = await desk.admin.revocations(("token", "t2"), 3)
    assert ([rule.id for rule in page], more) == (["t3", "t4"], False)
