"""Tokens, and who comes without one."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Iterator
from typing import Any

import jwt
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from sioserver.auth import MAX_TIME, Identity, Verifier, check_user_id
from sioserver.config.schema import Auth
from sioserver.errors import Refusal
from sioserver.model import User

SECRET = "correct horse battery staple, and more"
NOW = 1_700_000_000.0
GOOD: dict[str, Any] = {"sub": "alice", "exp": NOW + 3600}


def token(claims: object, *, secret: str = SECRET, header: dict[str, Any] | None = None) -> str:
    """A token made by hand: the library would not make most of those that matter."""
    payload = claims if isinstance(claims, str) else json.dumps(claims)
    head = json.dumps({"alg": "HS256", "typ": "JWT"} if header is None else header)
    signed = f"{b64(head.encode())}.{b64(payload.encode())}"
    seal = hmac.digest(secret.encode(), signed.encode(), hashlib.sha256)
    return f"{signed}.{b64(seal)}"


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def verifier(**settings: Any) -> Verifier:
    return Verifier(Auth(**{"secret": SECRET, **settings}))


def refused(check: Verifier, text: str, now: float = NOW) -> Refusal:
    with pytest.raises(Refusal) as caught:
        check.verify(text, now)
    return caught.value


# ---------------------------------------------------------------------------- tokens


def test_a_good_token() -> None:
    claims = {
        **GOOD,
        "name": "Alice",
        "iat": NOW - 60,
        "jti": "t1",
        "rooms": ["a", "b/*"],
        "perms": ["join"],
    }
    assert verifier().verify(token(claims), NOW) == Identity(
        user=User("alice", "Alice", guest=False),
        expires_at=NOW + 3600 + 5,
        issued_at=NOW - 60,
        token_id="t1",
        rooms=("a", "b/*"),
        perms=frozenset({"join"}),
        authenticated=True,
    )


def test_what_a_token_need_not_say() -> None:
    identity = verifier(leeway=0.0).verify(token(GOOD), NOW)
    assert identity == Identity(User("alice", "alice"), expires_at=NOW + 3600, authenticated=True)


def test_a_token_of_the_library_itself() -> None:
    made = jwt.encode({"sub": "bob", "exp": int(NOW) + 60}, SECRET, algorithm="HS256")
    assert verifier().verify(made, NOW).user == User("bob", "bob")


@pytest.mark.parametrize(
    ("claims", "settings", "now", "code"),
    [
        # exp: the leeway counts, to the second
        ({}, {"leeway": 5.0}, NOW + 3604.9, None),
        ({}, {"leeway": 5.0}, NOW + 3605, "token_expired"),
        ({}, {"leeway": 0.0}, NOW + 3599.9, None),
        ({}, {"leeway": 0.0}, NOW + 3600, "token_expired"),
        ({"exp": NOW + 0.5}, {"leeway": 0.0}, NOW, None),
        ({"exp": -1}, {}, NOW, "token_expired"),
        ({"exp": 0}, {}, NOW, "token_expired"),
        ({"exp": None}, {}, NOW, "unauthorized"),
        ({"exp": True}, {}, NOW, "unauthorized"),
        ({"exp": str(NOW + 3600)}, {}, NOW, "unauthorized"),
        ({"exp": [NOW + 3600]}, {}, NOW, "unauthorized"),
        ({"exp": float("nan")}, {}, NOW, "unauthorized"),
        ({"exp": float("inf")}, {}, NOW, "unauthorized"),
        ({"exp": float("-inf")}, {}, NOW, "unauthorized"),
        # nbf, iat
        ({"nbf": NOW + 5}, {"leeway": 5.0}, NOW, None),
        ({"nbf": NOW + 5.1}, {"leeway": 5.0}, NOW, "unauthorized"),
        ({"nbf": "soon"}, {}, NOW, "unauthorized"),
        ({"nbf": float("nan")}, {}, NOW, "unauthorized"),
        ({"nbf": None}, {}, NOW, "unauthorized"),
        ({"iat": NOW}, {}, NOW, None),
        ({"iat": NOW + 60}, {}, NOW, "unauthorized"),
        # aud, iss
        ({"aud": "chat"}, {"audience": "chat"}, NOW, None),
        ({"aud": ["mail", "chat"]}, {"audience": "chat"}, NOW, None),
        ({"aud": "mail"}, {"audience": "chat"}, NOW, "unauthorized"),
        ({"aud": []}, {"audience": "chat"}, NOW, "unauthorized"),
        ({"aud": [["chat"]]}, {"audience": "chat"}, NOW, "unauthorized"),
        ({"aud": {"chat": 1}}, {"audience": "chat"}, NOW, "unauthorized"),
        ({}, {"audience": "chat"}, NOW, "unauthorized"),
        ({"aud": "mail"}, {}, NOW, None),
        ({"iss": "us"}, {"issuer": "us"}, NOW, None),
        ({"iss": "them"}, {"issuer": "us"}, NOW, "unauthorized"),
        ({"iss": ["us"]}, {"issuer": "us"}, NOW, "unauthorized"),
        ({}, {"issuer": "us"}, NOW, "unauthorized"),
        ({"iss": "them"}, {}, NOW, None),
        # a wrong token is wrong, not expired: a fresh one would not help
        ({"aud": "mail"}, {"audience": "chat"}, NOW + 9999, "unauthorized"),
        # sub
        ({"sub": None}, {}, NOW, "unauthorized"),
        ({"sub": ""}, {}, NOW, "unauthorized"),
        ({"sub": 7}, {}, NOW, "unauthorized"),
        ({"sub": ["alice"]}, {}, NOW, "unauthorized"),
        ({"sub": "x" * 128}, {}, NOW, None),
        ({"sub": "x" * 129}, {}, NOW, "unauthorized"),
        ({"sub": "al\0ice"}, {}, NOW, "unauthorized"),
        ({"sub": "al\ud800ice"}, {}, NOW, "unauthorized"),
        ({"sub": "\u202ealice"}, {}, NOW, "unauthorized"),
        ({"sub": "guest:alice"}, {}, NOW, "unauthorized"),
        ({"sub": "Алиса"}, {}, NOW, None),
        # the rest
        ({"name": 7}, {}, NOW, "unauthorized"),
        ({"name": None}, {}, NOW, None),
        ({"jti": 7}, {}, NOW, "unauthorized"),
        ({"jti": ""}, {}, NOW, "unauthorized"),
        ({"jti": "\ud800"}, {}, NOW, "unauthorized"),
        ({"jti": "j" * 257}, {}, NOW, "unauthorized"),
        ({"rooms": "lobby"}, {}, NOW, "unauthorized"),
        ({"rooms": ["lobby", 7]}, {}, NOW, "unauthorized"),
        ({"rooms": None}, {}, NOW, "unauthorized"),
        ({"rooms": []}, {}, NOW, None),
        ({"perms": "join"}, {}, NOW, "unauthorized"),
        ({"perms": {"join": True}}, {}, NOW, "unauthorized"),
        ({"perms": None}, {}, NOW, "unauthorized"),
        ({"perms": []}, {}, NOW, None),
    ],
)
def test_claims(claims: dict[str, Any], settings: dict[str, Any], now: float, code: str) -> None:
    text = token({**GOOD, **claims})
    if code is None:
        assert verifier(**settings).verify(text, now).authenticated
    else:
        assert refused(verifier(**settings), text, now).code == code


@pytest.mark.parametrize("missing", ["sub", "exp"])
def test_claims_that_have_to_be_there(missing: str) -> None:
    claims = {name: value for name, value in GOOD.items() if name != missing}
    assert refused(verifier(), token(claims)).code == "unauthorized"


@pytest.mark.parametrize("exp", [10**18, 10**400, 1e300])
def test_an_expiry_beyond_all_dates_is_clamped(exp: float) -> None:
    assert verifier().verify(token({**GOOD, "exp": exp}), NOW).expires_at == MAX_TIME


def test_the_clock_is_the_argument() -> None:
    """Both ways: what the real clock says does not matter."""
    long_ago = token({"sub": "alice", "exp": 1000})
    assert verifier().verify(long_ago, 900.0).expires_at == 1005
    then = time.time() + 1e5
    far_away = token({"sub": "alice", "exp": then + 1e6, "nbf": then, "iat": then})
    assert verifier().verify(far_away, then).authenticated
    assert refused(verifier(), far_away, time.time() + 2e6).code == "token_expired"


def test_the_last_of_two_equal_claims_counts() -> None:
    text = token('{"sub": "eve", "exp": 1800000000, "sub": "alice"}')
    assert verifier().verify(text, NOW).user.id == "alice"


@pytest.mark.parametrize(
    "header",
    [
        {},
        {"alg": None},
        {"alg": "none"},
        {"alg": "None"},
        {"alg": "HS512"},
        {"alg": "RS256"},
        {"alg": ["HS256"]},
        {"alg": {"HS256": 1}},
        {"alg": "HS256", "kid": 7},
        {"alg": "HS256", "kid": ["a"]},
        {"alg": "HS256", "crit": ["exp"]},
        {"alg": "HS256", "b64": False, "crit": ["b64"]},
    ],
)
def test_headers_that_are_refused(header: dict[str, Any]) -> None:
    assert refused(verifier(), token(GOOD, header=header)).code == "unauthorized"


@pytest.mark.parametrize("kid", ["../../dev/null", "' OR 1=1 --", ""])
def test_a_key_id_is_nothing_to_us(kid: str) -> None:
    header = {"alg": "HS256", "kid": kid, "jku": "https://evil.example/", "jwk": {"kty": "oct"}}
    assert verifier().verify(token(GOOD, header=header), NOW).user.id == "alice"


def malformed() -> Iterator[str]:
    good = token(GOOD)
    head, body, seal = good.split(".")
    yield from (
        "",
        ".",
        "..",
        "...",
        "a.b.c",
        good + ".",
        "." + good,
        good + "==",
        good + "é",
        "\ud800",
    )
    yield from (f"{head}.{body}.", f"{head}.{body}", f"{head}..{seal}", f" {good}", f"{good}\n")
    yield token(GOOD, secret=SECRET + "!")
    yield token(GOOD, secret="")
    unsigned = b64(json.dumps({"alg": "none"}).encode())
    yield f"{unsigned}.{body}."
    yield from (token(text) for text in ("", "null", "[]", '"alice"', "7", "NaN", "{", '{"sub"'))
    yield token("[" * 3000 + "]" * 3000)  # deeper than the parser goes
    yield token('{"sub":' + "[" * 5000)
    yield f"{b64(b'[' * 3000)}.{body}.{seal}"
    yield token('{"sub": "alice", "exp": ' + "9" * 5000 + "}")  # more digits than Python reads
    yield token('{"sub": "alice", "exp": 1e999}')
    yield token({**GOOD, "filler": "x" * 8192})
    yield "x" * 1_000_000
    yield "." * 8000


@pytest.mark.parametrize("text", list(malformed()), ids=lambda text: f"{len(text)}:{text[:12]!a}")
def test_what_is_no_token(text: str) -> None:
    refusal = refused(verifier(), text)
    assert refusal.code == "unauthorized"
    assert refusal.message == "a valid token is needed"


def test_the_length_of_a_token() -> None:
    def long(filler: int) -> str:
        return token({**GOOD, "filler": "x" * filler})

    lengths = {len(long(filler)): long(filler) for filler in range(5900, 6100)}
    longest = max(length for length in lengths if length <= 8192)
    shortest = min(length for length in lengths if length > 8192)
    assert (longest, shortest) == (8192, 8193)
    assert verifier().verify(lengths[longest], NOW).user.id == "alice"
    assert refused(verifier(), lengths[shortest]).code == "unauthorized"


@settings(deadline=None)
@given(st.text(max_size=300) | st.text(alphabet="eyJ.-_=aB0", max_size=300))
def test_no_text_raises_anything_else(text: str) -> None:
    assert refused(verifier(), text).code == "unauthorized"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)
CLAIMS = ("sub", "exp", "nbf", "iat", "aud", "iss", "jti", "name", "rooms", "perms")


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(CLAIMS), JSON), st.booleans())
def test_no_signed_claims_raise_anything_else(claims: dict[str, Any], checked: bool) -> None:
    check = verifier(audience="chat", issuer="us") if checked else verifier()
    code: str | None = None
    try:
        identity = check.verify(token({**GOOD, **claims}), NOW)
    except Refusal as refusal:
        code = refusal.code
    assert code in (None, "unauthorized", "token_expired")
    if code is None:
        assert check_user_id(identity.user.id) == claims.get("sub", "alice")
        assert identity.expires_at is not None
        assert NOW < identity.expires_at <= MAX_TIME


@settings(deadline=None)
@given(st.data())
def test_a_changed_token_is_refused(data: st.DataObject) -> None:
    good = token(GOOD)
    at = data.draw(st.integers(0, len(good) - 1))
    sign = data.draw(st.sampled_from("ABCxyz019-_."))
    assume(good[at] != sign)
    assert refused(verifier(), good[:at] + sign + good[at + 1 :]).code == "unauthorized"


def test_a_refusal_does_not_repeat_the_token() -> None:
    for text in (token(GOOD, secret="x" * 40), token({**GOOD, "exp": 1})):
        refusal = refused(verifier(), text)
        assert all(part not in f"{refusal}{refusal.message}" for part in text.split("."))


@pytest.mark.parametrize(
    "secret",
    [
        "x" * 31,
        "short",
        "-----BEGIN PUBLIC KEY-----\n" + "A" * 64 + "\n-----END PUBLIC KEY-----\n",
        "ssh-rsa " + "A" * 64,
        '{"kty": "oct", "k": "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0"}',
    ],
)
def test_secrets_that_are_none(secret: str) -> None:
    with pytest.raises(ValueError, match=r"auth\.secret") as caught:
        Verifier(Auth(secret=secret))
    assert secret not in str(caught.value)


def test_without_a_secret_no_token_is_believed() -> None:
    for text in (token(GOOD, secret=""), token(GOOD), token(GOOD, header={"alg": "none"})):
        refusal = refused(Verifier(Auth()), text)
        assert (refusal.code, refusal.message) == ("unauthorized", "this server takes no tokens")


@pytest.mark.parametrize(
    ("secret", "anonymous", "required"),
    [("", False, False), ("", True, False), (SECRET, False, True), (SECRET, True, False)],
)
def test_whether_a_token_is_required(secret: str, anonymous: bool, required: bool) -> None:
    check = Verifier(Auth(secret=secret, anonymous=anonymous))
    assert check.required is required
    if required:
        with pytest.raises(Refusal, match="a valid token is needed"):
            check.anonymous("alice", "Alice", "m1", NOW)
    else:
        check.anonymous("alice", "Alice", "m1", NOW)


# ---------------------------------------------------------------------------- anonymous


def test_without_a_secret_a_user_is_who_they_say() -> None:
    check = Verifier(Auth())
    assert check.anonymous("alice", "Al\u202eice", "m1", NOW) == Identity(User("alice", "Alice"))
    assert check.anonymous("alice", None, "m1", NOW).user == User("alice", "alice")
    assert check.anonymous("alice", "\u200b", "m1", NOW).user == User("alice", "alice")


@pytest.mark.parametrize("user", ["", " ", "guest:m1", "a\0", "x" * 129, "\ud800", "e\u0301"])
def test_an_id_that_is_none(user: str) -> None:
    with pytest.raises(Refusal) as caught:
        Verifier(Auth()).anonymous(user, None, "m1", NOW)
    assert caught.value.code == "bad_request"


def test_guests() -> None:
    check = Verifier(Auth())
    named = check.anonymous(None, "Bo", "m1", NOW)
    assert named == Identity(User("guest:m1", "Bo", guest=True))
    assert (named.authenticated, named.expires_at, named.rooms, named.perms) == (False, *[None] * 3)
    names = {check.anonymous(None, None, f"node1-{n}", NOW).user.name for n in range(20)}
    assert len(names) > 15  # also when all the ids begin alike
    for name in names:
        assert name.startswith("Guest-")
        assert len(name) == 10


def test_with_a_secret_everybody_without_a_token_is_a_guest() -> None:
    """Or anybody could be anybody who has a token."""
    identity = verifier(anonymous=True).anonymous("alice", "Alice", "m1", NOW)
    assert identity == Identity(User("guest:m1", "Alice", guest=True))
    assert verifier(anonymous=True).anonymous("a\0", None, "m2", NOW).user.id == "guest:m2"
