"""Claims: what they have to say. Single values stand in the table of test_verifier.py."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sioserver.auth import MAX_TIME, Grant, Identity
from sioserver.auth.claims import read_claims
from sioserver.config.schema import Auth
from sioserver.errors import InvalidToken
from sioserver.model import User

from .kit import GOOD, NOW


def reason(claims: object, now: float = NOW, **auth: Any) -> str | None:
    try:
        read_claims(claims, Auth(**auth), now)  # type: ignore[arg-type]
    except InvalidToken as error:
        return error.reason
    return None


def test_whom_they_describe() -> None:
    claims = {**GOOD, "perms": {"team/*": ["join", "read"], "*": ["join"]}, "rooms": ["*"]}
    assert read_claims(claims, Auth(leeway=1.0), NOW) == Identity(
        User("alice", "alice"),
        expires_at=NOW + 3601,
        rooms=("*",),
        grants=(Grant("team/*", frozenset({"join", "read"})), Grant("*", frozenset({"join"}))),
        authenticated=True,
    )


@pytest.mark.parametrize(
    ("claims", "auth", "expected"),
    [
        ({}, {}, None),
        ({"aud": "mail"}, {"audience": "chat"}, "audience"),
        ({"iss": "them"}, {"issuer": "us"}, "issuer"),
        ({"sub": 7}, {}, "claims"),
        ({"exp": "soon"}, {}, "claims"),
        ({"exp": NOW - 100}, {}, "expired"),
        ({"exp": NOW + 1e9}, {}, "lifetime"),
        ({"nbf": NOW + 100}, {}, "early"),
        ({"iat": NOW + 100}, {}, "early"),
        ({"nbf": []}, {}, "claims"),
        # whoever issued it meant somebody else: said before anything that a fresh one could mend
        ({"iss": "them", "exp": NOW - 100}, {"issuer": "us"}, "issuer"),
        ({"sub": 7, "exp": NOW - 100}, {}, "claims"),
    ],
)
def test_reasons(claims: dict[str, Any], auth: dict[str, Any], expected: str | None) -> None:
    assert reason({**GOOD, **claims}, **auth) == expected


@pytest.mark.parametrize("missing", ["sub", "exp"])
def test_a_missing_claim_is_called_by_its_name(missing: str) -> None:
    with pytest.raises(InvalidToken) as caught:
        read_claims({k: v for k, v in GOOD.items() if k != missing}, Auth(), NOW)
    assert caught.value.detail == f"{missing} is missing"


ODD = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(10**300, 10**320)
    | st.floats()
    | st.text(st.characters(), max_size=6)
    | st.sampled_from(["\ud800", "\0", "x" * 200_000, "\u202ea"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)
NAMES = ("sub", "exp", "nbf", "iat", "aud", "iss", "jti", "name", "rooms", "perms")


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(NAMES), ODD), st.floats(0, 1e10))
def test_nothing_raises_anything_else(claims: dict[str, Any], now: float) -> None:
    auth = Auth(audience="chat", issuer="us") if "aud" in claims else Auth()
    try:
        identity = read_claims({**GOOD, **claims}, auth, now)
    except InvalidToken:
        return
    assert identity.expires_at is not None
    assert now < identity.expires_at <= MAX_TIME
    begun = now if identity.issued_at is None else identity.issued_at
    assert identity.expires_at - begun <= auth.max_lifetime + auth.leeway + 1e-3
