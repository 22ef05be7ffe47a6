"""Tokens made and judged for an operator."""

import json
from pathlib import Path
from typing import Any

import pytest

from sioserver import tokens
from sioserver.auth import Grant, Verifier
from sioserver.auth.policy import ADMIN, PERMISSIONS
from sioserver.config import Config, RoomRule
from sioserver.config.schema import Auth, Rooms
from sioserver.keys.fetch import NotFetched
from sioserver.model import User
from sioserver.tokens import NoToken, check, make

from .auth.kit import NOW, SECRET, jwk, key_set, pem, public_token, token

AUTH = Auth(secret=SECRET)


def config(**auth: Any) -> Config:
    return Config(auth=Auth(**{"secret": SECRET, **auth}))


# -- making ---------------------------------------------------------------------------------------


def test_a_token_with_everything() -> None:
    auth = Auth(secret=SECRET, audience="chat", issuer="us", leeway=0.0)
    text = make(
        auth,
        NOW + 0.7,
        sub="ann",
        name="Ann",
        rooms=["lobby", "team/*"],
        perms='{"*": ["join", "read"], "team/*": ["post"]}',
        ttl="30m",
    )
    identity = Verifier(auth).verify(text, NOW)
    assert identity.user == User("ann", "Ann")
    assert (identity.issued_at, identity.expires_at) == (NOW, NOW + 1800)
    assert identity.rooms == ("lobby", "team/*")
    assert identity.grants == (
        Grant.everywhere("join", "read"),
        Grant("team/*", frozenset({"post"})),
    )
    assert identity.token_id
    assert make(auth, NOW, sub="ann") != make(auth, NOW, sub="ann")  # each has an id of its own


def test_a_token_with_nothing_but_a_user() -> None:
    identity = Verifier(AUTH).verify(make(AUTH, NOW, sub="ann"), NOW)
    assert (identity.user, identity.rooms, identity.grants) == (User("ann", "ann"), None, None)
    assert identity.expires_at == NOW + 3600 + 5


@pytest.mark.parametrize(
    ("ttl", "seconds"), [("90", 90), ("90s", 90), ("2m", 120), ("12h", 43_200), ("7d", 604_800)]
)
def test_how_long(ttl: str, seconds: int) -> None:
    identity = Verifier(AUTH).verify(make(AUTH, NOW, sub="ann", ttl=ttl), NOW)
    assert identity.expires_at == NOW + seconds + 5


@pytest.mark.parametrize(
    ("perms", "grants"),
    [
        ("join, read", (Grant.everywhere("join", "read"),)),
        ("join read", (Grant.everywhere("join", "read"),)),
        ("admin", (Grant.everywhere("admin"),)),
        ("", (Grant.everywhere(),)),
        ('{"a": []}', (Grant("a", frozenset()),)),
    ],
)
def test_what_it_permits(perms: str, grants: tuple[Grant, ...]) -> None:
    assert Verifier(AUTH).verify(make(AUTH, NOW, sub="a", perms=perms), NOW).grants == grants


def test_the_algorithm_is_one_that_is_taken() -> None:
    auth = Auth(secret=SECRET, algorithms=["RS256", "HS512"])
    assert Verifier(auth).verify(make(auth, NOW, sub="ann"), NOW).authenticated


@pytest.mark.parametrize(
    ("auth", "asked", "says"),
    [
        (Auth(), {}, "there is no auth.secret to sign with.*openssl rand"),
        (Auth(public_keys=["a.pem"]), {}, "there is no auth.secret to sign with"),
        (Auth(secret="short"), {}, "auth.secret: a secret has at least 32 bytes"),
        (AUTH, {"sub": ""}, "the server would refuse it: a user id has 1 to 128 characters"),
        (AUTH, {"sub": "guest:1"}, "does not begin with"),
        (AUTH, {"ttl": "1000d"}, "max_lifetime allows; shorten it"),
        (AUTH, {"ttl": "0"}, "in the past"),
        (AUTH, {"ttl": "0s"}, "--ttl is more than 0"),  # not only where there is no leeway
        (AUTH, {"ttl": "soon"}, 'such as 30m, 12h or 7d, not "soon"'),
        (AUTH, {"ttl": "-1"}, "--ttl is"),
        (AUTH, {"perms": "join,fly"}, "'fly' is no permission; there are join, read"),
        (AUTH, {"perms": '{"a": ["fly"]}'}, "'fly' is no permission"),
        (AUTH, {"perms": '{"a": 7}'}, "no JSON such as"),
        (AUTH, {"perms": '{"a": '}, "no JSON such as"),
        (AUTH, {"rooms": ["x" * 9000]}, "more than 8192 characters"),
    ],
)
def test_what_cannot_be_made(auth: Auth, asked: dict[str, Any], says: str) -> None:
    leeway = Auth(**{**{name: getattr(auth, name) for name in auth.__struct_fields__}, "leeway": 0})
    with pytest.raises(NoToken, match=says) as caught:
        make(leeway, NOW, **{"sub": "ann", **asked})
    assert SECRET not in str(caught.value)


# -- judging --------------------------------------------------------------------------------------


def test_what_a_token_is_good_for() -> None:
    rules = Rooms(rules=[RoomRule(match="team/*", post=["bob"])])
    claims = {"sub": "ann", "name": "Ann", "iat": NOW - 60, "exp": NOW + 7200, "jti": "t1"}
    claims |= {"rooms": ["team/*", "lobby"], "perms": {"*": ["post", "join", "read"], "x": []}}
    found = check(Config(auth=AUTH, rooms=rules), token(claims) + "\n", NOW, "team/a")
    assert found == (
        "good for ann (Ann)\n"
        "until 2023-11-15T00:13:25Z, 2 hours from now, the leeway included\n"
        "issued 2023-11-14T22:12:20Z\n"
        "id t1\n"
        "rooms team/*, lobby\n"
        "permits join, read, post in *\n"
        "permits nothing in x\n"
        "in team/a, by the rules too: join, read\n"
        "not looked at: whether it was revoked\n"
    )
    found = check(config(), token({"sub": "ann", "exp": NOW + 60}), NOW, "lobby")
    assert "65 seconds from now" in found
    assert "id none: it cannot be revoked alone\nrooms all\nin lobby" in found


@pytest.mark.parametrize(
    ("claims", "signed", "auth", "says"),
    [
        ({"exp": NOW - 100}, {}, {}, r"bad \(expired\): exp lies in the past; make a fresh one"),
        ({"aud": "mail"}, {}, {"audience": "chat"}, r"bad \(audience\): .*has to make it for this"),
        ({}, {"secret": "x" + SECRET}, {}, r"bad \(signature\): .*another secret"),
        ({}, {}, {"secret": ""}, r"bad \(not_taken\): .*; set auth\.secret"),
        ({"sub": 7}, {}, {}, r"bad \(claims\): sub is not a string"),
    ],
)
def test_why_a_token_is_not_good(
    claims: dict[str, Any], signed: dict[str, Any], auth: dict[str, Any], says: str
) -> None:
    text = token({"sub": "ann", "exp": NOW + 60, **claims}, **signed)
    with pytest.raises(NoToken, match=says):
        check(config(**auth), text, NOW, "lobby")


def test_a_room_of_two_is_asked_for_by_its_name() -> None:
    made = make(AUTH, NOW, sub="alice", rooms=["@dm/b*"])
    assert "in @dm/bob, by the rules too: join" in check(config(), made, NOW, "@dm/bob")
    assert "in @dm/eve, by the rules too: nothing" in check(config(), made, NOW, "@dm/eve")
    with pytest.raises(NoToken, match="percent-encoded"):
        check(config(), made, NOW, "@dm/%")


def test_by_keys_in_files(tmp_path: Path) -> None:
    path = tmp_path / "issuer.pem"
    text = public_token({"sub": "ann", "exp": NOW + 60}, "p256", "ES256")
    auth = {"secret": "", "public_keys": [str(path)]}
    with pytest.raises(NoToken, match="cannot be read"):
        check(config(**auth), text, NOW, "lobby")
    path.write_bytes(pem("p256"))
    assert "good for ann" in check(config(**auth), text, NOW, "lobby")


def test_by_the_keys_of_an_issuer(monkeypatch: pytest.MonkeyPatch) -> None:
    answer: bytes | Exception = key_set(jwk("p256", kid="1"))
    url = "https://issuer.example/keys"

    async def fetch(asked: str) -> bytes:
        assert asked == url
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(tokens, "fetch", fetch)
    text = public_token({"sub": "ann", "exp": NOW + 60}, "p256", "ES256", {"kid": "1"})
    assert "good for ann" in check(config(jwks=url), text, NOW, "lobby")
    answer = NotFetched("the answer is 500")
    with pytest.raises(NoToken, match="keys cannot be had: the answer is 500"):
        check(config(jwks=url), text, NOW, "lobby")
    answer = b"{}"
    with pytest.raises(NoToken, match='list "keys"'):
        check(config(jwks=url), text, NOW, "lobby")


def test_all_words_can_be_given() -> None:
    assert (*PERMISSIONS, ADMIN) == tokens.WORDS
    text = make(AUTH, NOW, sub="ann", perms=json.dumps({"*": tokens.WORDS}))
    assert Verifier(AUTH).verify(text, NOW).grants == (Grant.everywhere(*tokens.WORDS),)
