"""Secrets that are none, and those that are."""

from __future__ import annotations

import base64

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from sioserver.config.secrets import HOW_TO_MAKE_ONE, algorithms_for, secret_fault


@given(st.binary(min_size=32, max_size=32))
def test_a_random_secret_is_never_taken_for_a_bad_one(data: bytes) -> None:
    assume(len(set(data)) > 20)
    for secret in (base64.b64encode(data).decode(), base64.urlsafe_b64encode(data).decode()):
        assert secret_fault(secret) == ""
    assert secret_fault(data.hex()) == "" or len(set(data.hex())) < 8


@pytest.mark.parametrize(
    ("secret", "says"),
    [
        ("short", "has 5 bytes, at least 32"),
        ("ä" * 15 + "b", "has 31 bytes"),
        ("-----BEGIN PUBLIC KEY-----" * 2, "key or certificate"),
        ("abcabc" * 8, "only 3 different signs"),
        ("please-change-me-0123456789abcdef", "an example that everybody knows"),
    ],
)
def test_what_is_wrong_is_said_and_not_repeated(secret: str, says: str) -> None:
    text = secret_fault(secret)
    assert says in text
    assert secret not in text
    assert HOW_TO_MAKE_ONE in text or "public keys" in text


@pytest.mark.parametrize(
    ("size", "names"),
    [
        (31, []),
        (32, ["HS256"]),
        (47, ["HS256"]),
        (48, ["HS256", "HS384"]),
        (64, ["HS256", "HS384", "HS512"]),
    ],
)
def test_the_hash_asks_for_as_many_bytes_as_it_has(size: int, names: list[str]) -> None:
    assert algorithms_for("x" * size) == names
    assert algorithms_for("ä" * (size // 2) + "x" * (size % 2)) == names
