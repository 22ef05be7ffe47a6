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

from sioserver.auth import MAX_TIME, Grant, Identity, Verifier, check_user_id
from sioserver.auth.keys import Key, read_pem, read_set
from sioserver.config.schema import Auth
from sioserver.errors import REFUSALS, TOKEN_FAULTS, InvalidToken, Refusal
from sioserver.model import User

from .kit import (
    GOOD,
    NOW,
    PUBLIC,
    SECRET,
    SECRETS,
    b64,
    jwk,
    key_set,
    pem,
    private,
    public_token,
    token,
)


def verifier(keys: list[Key] | None = None, **settings: Any) -> Verifier:
    """With a secret, or with public keys instead of one."""
    given = {"secret": SECRET} if keys is None else {"public_keys": ["named"]}
    return Verifier(Auth(**{**given, **settings}), keys or ())


def refused(check: Verifier, text: str, now: float = NOW) -> InvalidToken:
    """How the token was refused: always so that its bearer learns nothing from it."""
    with pytest.raises(InvalidToken) as caught:
        check.verify(text, now)
    error = caught.value
    assert error.code == TOKEN_FAULTS[error.reason]
    assert error.message in (REFUSALS[error.code].message, "this server takes no tokens")
    return error


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
        grants=(Grant.everywhere("join"),),
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
        # a life without end
        ({"exp": NOW + 1001}, {"max_lifetime": 1000.0}, NOW, "unauthorized"),
        ({"exp": NOW + 1000}, {"max_lifetime": 1000.0}, NOW, None),
        ({"exp": NOW + 10, "iat": NOW - 991}, {"max_lifetime": 1000.0}, NOW, "unauthorized"),
        ({"exp": NOW + 10, "iat": NOW - 990}, {"max_lifetime": 1000.0}, NOW, None),
        ({"exp": 10**18}, {}, NOW, "unauthorized"),
        ({"exp": 10**400}, {}, NOW, "unauthorized"),
        ({"exp": 1e300}, {}, NOW, "unauthorized"),
        ({"exp": 10**18, "iat": 10**18}, {}, NOW, "unauthorized"),
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
        ({"perms": {"a/*": "join"}}, {}, NOW, "unauthorized"),
        ({"perms": {"a/*": ["join", 7]}}, {}, NOW, "unauthorized"),
        ({"perms": {"a/*": ["join"], "b": None}}, {}, NOW, "unauthorized"),
        ({"perms": {"a/*": ["join"], "b": []}}, {}, NOW, None),
        ({"perms": {}}, {}, NOW, None),
        ({"perms": ["join", "a word of tomorrow"]}, {}, NOW, None),
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


def test_times_beyond_all_dates_are_clamped() -> None:
    far = MAX_TIME - 1000
    claims = {"sub": "alice", "exp": 10**400, "iat": far - 5}
    check = verifier(max_lifetime=2000.0)
    assert check.verify(token(claims), far).expires_at == MAX_TIME


def test_the_clock_is_the_argument() -> None:
    """Both ways: what the real clock says does not matter."""
    long_ago = token({"sub": "alice", "exp": 1000})
    assert verifier().verify(long_ago, 900.0).expires_at == 1005
    then = time.time() + 1e5
    far_away = token({"sub": "alice", "exp": then + 1e6, "nbf": then, "iat": then})
    assert verifier().verify(far_away, then).authenticated
    assert refused(verifier(), far_away, time.time() + 2e6).code == "token_expired"


def test_equal_claims_are_refused() -> None:
    """Parsers differ in which one counts: who checks the token before us may see another."""
    for text in (
        '{"sub": "eve", "exp": 1700003600, "sub": "alice"}',
        '{"sub": "alice", "exp": 1700003600, "x": {"a": 1, "a": 1}}',
        '{"sub": "alice", "exp": 1700003600, "s\\u0075b": "alice"}',
    ):
        assert refused(verifier(), token(text)).reason == "claims"


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        ({}, "malformed"),
        ({"alg": None}, "malformed"),
        ({"alg": ["HS256"]}, "malformed"),
        ({"alg": {"HS256": 1}}, "malformed"),
        ({"alg": 256}, "malformed"),
        ({"alg": ""}, "algorithm"),
        ({"alg": "none"}, "algorithm"),
        ({"alg": "None"}, "algorithm"),
        ({"alg": "nOnE"}, "algorithm"),
        ({"alg": "hs256"}, "algorithm"),
        ({"alg": "HS256 "}, "algorithm"),
        ({"alg": "HS512"}, "signature"),
        ({"alg": "RS256"}, "algorithm"),
        ({"alg": "ES256K"}, "algorithm"),
        ({"alg": "\ud800"}, "algorithm"),
        ({"alg": "x" * 5000}, "algorithm"),
        ({"alg": "HS256", "kid": 7}, "malformed"),
        ({"alg": "HS256", "kid": ["a"]}, "malformed"),
        ({"alg": "HS256", "kid": {}}, "malformed"),
        ({"alg": "HS256", "kid": ""}, "malformed"),
        ({"alg": "HS256", "kid": "k" * 257}, "malformed"),
        ({"alg": "HS256", "crit": ["exp"]}, "malformed"),
        ({"alg": "HS256", "crit": []}, "malformed"),
        ({"alg": "HS256", "crit": None}, "malformed"),
        ({"alg": "HS256", "b64": False, "crit": ["b64"]}, "malformed"),
        ({"alg": "HS256", "b64": False}, "malformed"),
        ({"alg": "HS256", "b64": True}, "malformed"),
    ],
)
def test_headers_that_are_refused(header: dict[str, Any], reason: str) -> None:
    assert refused(verifier(), token(GOOD, header=header)).reason == reason


@pytest.mark.parametrize("kid", ["../../dev/null", "' OR 1=1 --", "\0", "\ud800", "constructor"])
def test_where_a_token_would_like_us_to_look_is_nothing_to_us(kid: str) -> None:
    """Neither followed nor believed: what is signed with our key counts, what is signed with the
    key that the token brings along does not."""
    place = "https://evil.example/keys"
    header = {"alg": "HS256", "kid": kid, "jku": place, "x5u": place, "x5c": ["AAAA"]}
    header["jwk"] = {"kty": "oct", "k": b64(b"k" * 64)}
    assert verifier().verify(token(GOOD, header=header), NOW).user.id == "alice"
    own = token(GOOD, header=header, secret=b"k" * 64)
    assert refused(verifier(), own).reason == "signature"
    header = {"jwk": jwk("rsa2"), "jku": place, "kid": kid}
    check = verifier(keys=[read_pem(pem("rsa"))])
    assert refused(check, public_token(GOOD, "rsa2", "RS256", header)).reason == "signature"


def seal_of(signed: str) -> str:
    return b64(hmac.digest(SECRET.encode(), signed.encode(), hashlib.sha256))


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
    yield token('{"sub": "alice", "exp": 1700003600, "x": NaN}')
    yield token('{"sub": "alice", "exp": 1700003600, "x": -Infinity}')
    yield token('{"sub": "alice", "exp": 1700003600} {}')
    yield token('\ufeff{"sub": "alice", "exp": 1700003600}')
    yield good.translate({ord(sign): ord(sign) + 0xFF00 - 0x20 for sign in "abcxyz"})
    for coding in ("utf-16", "utf-32", "latin-1"):
        text = '{"sub": "alic\u00e9", "exp": 1700003600}'.encode(coding)
        signed = f"{head}.{b64(text)}"
        yield f"{signed}.{seal_of(signed)}"
    yield from (f"{head}=.{body}.{seal}", f"{head}.{body}==.{seal}", f"{head}.{body}.{seal}=")
    yield from (f"{head}\n.{body}.{seal}", f"{head}.{body} .{seal}", f"{head}.{body}.{seal}\r")
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


HEADER = st.dictionaries(
    st.sampled_from(["alg", "kid", "typ", "crit", "b64", "jwk", "jku", "x5u", "zip", "enc", "cty"]),
    JSON | st.sampled_from([*SECRETS, *PUBLIC, "none", "1", "2"]),
)


@settings(deadline=None)
@given(HEADER, st.sampled_from(SECRETS))
def test_no_signed_header_raises_anything_else(header: dict[str, Any], algorithm: str) -> None:
    """Whatever is said in it: it is good only if it names the algorithm that has signed."""
    keys = read_set(key_set(jwk("rsa", kid="1"), jwk("p256", kid="2"), jwk("ed25519"))).keys
    check = verifier(list(keys), secret=SECRET)
    try:
        identity = check.verify(token(GOOD, header=header, algorithm=algorithm), NOW)
    except InvalidToken:
        return
    assert identity.user.id == "alice"
    assert header["alg"] == algorithm
    assert not {"crit", "b64"} & header.keys()


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


# ---------------------------------------------------------------------------- kinds of keys


@pytest.mark.parametrize("algorithm", SECRETS)
def test_secrets(algorithm: str) -> None:
    assert verifier().verify(token(GOOD, algorithm=algorithm), NOW).user.id == "alice"


@pytest.mark.parametrize(
    ("size", "algorithms"),
    [(32, ["HS256"]), (47, ["HS256"]), (48, ["HS256", "HS384"]), (64, list(SECRETS))],
)
def test_a_secret_is_as_long_as_its_hash(size: int, algorithms: list[str]) -> None:
    secret = SECRET[:size]
    for algorithm in SECRETS:
        text = token(GOOD, secret=secret, algorithm=algorithm)
        if algorithm in algorithms:
            assert verifier(secret=secret).verify(text, NOW).authenticated
        else:
            assert refused(verifier(secret=secret), text).reason == "algorithm"


def test_old_secrets_count_and_are_not_needed() -> None:
    old, older = "o" * 20 + SECRET, "older" + SECRET
    check = verifier(old_secrets=[old, older])
    for secret in (SECRET, old, older):
        assert check.verify(token(GOOD, secret=secret), NOW).user.id == "alice"
    assert refused(check, token(GOOD, secret="none" + SECRET)).reason == "signature"
    only_old = verifier(secret="", old_secrets=[old])
    assert only_old.required
    assert only_old.verify(token(GOOD, secret=old), NOW).authenticated
    assert refused(only_old, token(GOOD)).reason == "signature"


@pytest.mark.parametrize("algorithm", PUBLIC)
def test_public_keys(algorithm: str) -> None:
    kind = PUBLIC[algorithm]
    check = verifier([read_pem(pem(kind))])
    assert check.required
    assert check.verify(public_token(GOOD, kind, algorithm), NOW).user.id == "alice"
    made = jwt.encode({**GOOD, "exp": int(NOW) + 60}, private(kind), algorithm)
    assert check.verify(made, NOW).user.id == "alice"
    expired = refused(check, public_token(GOOD, kind, algorithm), NOW + 4000)
    assert (expired.reason, expired.code) == ("expired", "token_expired")


def test_both_curves_of_eddsa() -> None:
    check = verifier([read_pem(pem("ed448"))])
    assert check.verify(public_token(GOOD, "ed448", "EdDSA"), NOW).user.id == "alice"
    assert refused(check, public_token(GOOD, "ed25519", "EdDSA")).reason == "signature"


KINDS = ("rsa", "p256", "p384", "p521", "ed25519", "ed448")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("algorithm", ["none", "", "ES256K", "ES521", *SECRETS, *PUBLIC])
def test_a_key_serves_no_algorithm_but_its_own(kind: str, algorithm: str) -> None:
    own = {name for name, owner in PUBLIC.items() if owner == kind} or {"EdDSA"}
    check = verifier([read_pem(pem(kind))])
    text = public_token(GOOD, kind, algorithm)
    if algorithm in own:
        assert check.verify(text, NOW).authenticated
    else:
        assert refused(check, text).reason == "algorithm"


@pytest.mark.parametrize("algorithm", SECRETS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_public_key_is_no_secret(kind: str, algorithm: str) -> None:
    """The classic: everybody knows the public key, and may sign with it by HMAC."""
    texts = (pem(kind), pem(kind).strip(), json.dumps(jwk(kind)).encode(), b"")
    for known in texts:
        text = token(GOOD, secret=known, algorithm=algorithm)
        assert refused(verifier([read_pem(pem(kind))]), text).reason == "algorithm"
        both = verifier([read_pem(pem(kind))], secret=SECRET)
        assert refused(both, text).reason == "signature"


@pytest.mark.parametrize("algorithm", PUBLIC)
def test_signatures_that_are_none(algorithm: str) -> None:
    """Of any length, also the zeros that some verifiers of ECDSA took for a signature."""
    check = verifier([read_pem(pem(PUBLIC[algorithm]))])
    head, body, seal = public_token(GOOD, PUBLIC[algorithm], algorithm).split(".")
    size = len(base64.urlsafe_b64decode(seal + "=="))
    for data in (
        b"",
        b"\0",
        bytes(size),
        b"\xff" * size,
        bytes(size + 1),
        b"\x30" * 70,
        b"x" * 999,
    ):
        assert refused(check, f"{head}.{body}.{b64(data)}").reason == "signature"
    other = public_token({**GOOD, "sub": "eve"}, PUBLIC[algorithm], algorithm).split(".")[1]
    assert refused(check, f"{head}.{other}.{seal}").reason == "signature"


def test_algorithms_can_be_narrowed() -> None:
    check = verifier([read_pem(pem("rsa"))], secret=SECRET, algorithms=["PS256", "HS512"])
    for good in (public_token(GOOD, "rsa", "PS256"), token(GOOD, algorithm="HS512")):
        assert check.verify(good, NOW).authenticated
    for other in (public_token(GOOD, "rsa", "RS256"), token(GOOD)):
        assert refused(check, other).reason == "algorithm"


def test_a_key_is_found_by_its_name_only_where_it_has_one() -> None:
    named = read_set(key_set(jwk("rsa", kid="one"), jwk("rsa2", kid="two"), jwk("p256"))).keys
    check = verifier(list(named))
    first = public_token(GOOD, "rsa", "RS256", {"kid": "one"})
    assert check.verify(first, NOW).authenticated
    crossed = public_token(GOOD, "rsa", "RS256", {"kid": "two"})
    assert refused(check, crossed).reason == "signature"
    assert refused(check, public_token(GOOD, "rsa", "RS256")).reason == "unnamed_key"
    assert refused(check, public_token(GOOD, "rsa", "RS256", {"kid": "3"})).reason == "unknown_key"
    for header in ({}, {"kid": "one"}, {"kid": "whatever"}):  # the key has no name to differ from
        assert check.verify(public_token(GOOD, "p256", "ES256", header), NOW).authenticated


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
    with pytest.raises(ValueError, match=r"^auth\.secret: ") as caught:
        Verifier(Auth(secret=secret))
    assert secret not in str(caught.value)
    with pytest.raises(ValueError, match=r"^auth\.old_secrets: "):
        Verifier(Auth(secret=SECRET, old_secrets=[secret]))


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
    assert (named.authenticated, named.expires_at, named.rooms, named.grants) == (
        False,
        *[None] * 3,
    )
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
