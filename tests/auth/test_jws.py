"""Signed texts, taken apart and made."""

import json

import jwt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sioserver.auth.jws import MAX_KEY_ID, MAX_TOKEN, read_object, sign, take_apart

from .kit import GOOD, SECRET, b64, public_token, token


def headed(header: bytes, rest: str = "e30.e30") -> str:
    return f"{b64(header)}.{rest}"


def test_the_parts() -> None:
    text = token(GOOD, header={"alg": "HS256", "kid": "k1", "jku": "https://evil.example/"})
    parts = take_apart(text)
    assert (parts.algorithm, parts.key_id) == ("HS256", "k1")
    assert json.loads(parts.payload) == GOOD
    head, body, seal = text.split(".")
    assert parts.signed == f"{head}.{body}".encode()
    assert b64(parts.signature) == seal
    assert take_apart(public_token(GOOD, "rsa", "RS256")).key_id is None


def test_the_payload_is_taken_as_it_is() -> None:
    """Nobody has verified it yet: it is not even read."""
    assert take_apart(token("[" * 100)).payload == b"[" * 100
    assert take_apart(token("")).payload == b""


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "three parts"),
        ("a.b", "three parts"),
        ("e30.e30.e30.e30", "three parts"),
        ("e30.e30.e30", "names no algorithm"),
        ("W10.e30.e30", "not a JSON object"),
        ("!!!.e30.e30", "base64url"),
        ("e30=.e30.e30", "base64url"),
        ("e31.e30.e30", "base64url"),  # the same bytes as e30, in another text
        ("e+0.e30.e30", "base64url"),
        ("e.e30.e30", "base64url"),
        ("x" * (MAX_TOKEN + 1), "more than 8192"),
        (headed(b'{"alg": "a"}', "e31.e30"), "base64url"),
        (headed(b'{"alg": "a"}', "e30.e31"), "base64url"),
        (headed(b'{"alg": "a", "alg": "a"}'), "stands twice"),
        (headed(b'{"alg": "a", "x": NaN}'), "NaN"),
        (headed('{"alg": "a"}'.encode("utf-16")), "not UTF-8"),
        (headed(b'{"alg": 1}'), "names no algorithm"),
        (headed(b'{"alg": "a", "kid": ["k"]}'), "kid is a string"),
        (headed(b'{"alg": "a", "kid": ""}'), "kid is a string"),
        (headed(b'{"alg": "a", "crit": []}'), "extensions"),
    ],
)
def test_what_is_no_token(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says) as caught:
        take_apart(text)
    assert not text or text not in str(caught.value)


def test_the_longest_name_of_a_key() -> None:
    for size, good in ((MAX_KEY_ID, True), (MAX_KEY_ID + 1, False)):
        text = token(GOOD, header={"alg": "HS256", "kid": "k" * size})
        if good:
            assert take_apart(text).key_id == "k" * size
        else:
            with pytest.raises(ValueError, match="kid"):
                take_apart(text)


@settings(deadline=None)
@given(st.text(max_size=200) | st.text(alphabet="eyJ.-_=aB0", max_size=200))
def test_no_text_raises_anything_else(text: str) -> None:
    with pytest.raises((ValueError, RecursionError)):
        take_apart(text)


@settings(deadline=None)
@given(st.binary(max_size=60), st.binary(max_size=60))
def test_what_is_put_together_comes_apart(payload: bytes, signature: bytes) -> None:
    head = b64(b'{"alg":"X"}')
    parts = take_apart(f"{head}.{b64(payload)}.{b64(signature)}")
    assert (parts.payload, parts.signature) == (payload, signature)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"7",
        b"null",
        b"\xff",
        b'{"a": 1e}',
        b'{"a": Infinity}',
        b'{"a":' + b"9" * 5000 + b"}",
    ],
)
def test_what_is_no_object(data: bytes) -> None:
    with pytest.raises(ValueError) as caught:
        read_object(data, "the payload")
    assert "999" not in str(caught.value)


def test_a_number_beyond_all_numbers_is_left_to_the_reader() -> None:
    assert read_object(b'{"a": 1e999}', "it") == {"a": float("inf")}


def test_sign() -> None:
    text = sign({"sub": "alice"}, SECRET.encode(), "HS384")
    assert jwt.decode(text, SECRET, ["HS384"]) == {"sub": "alice"}
    assert take_apart(text).algorithm == "HS384"


def test_what_cannot_be_signed() -> None:
    with pytest.raises(jwt.InvalidKeyError):
        sign({}, b"x" * 47, "HS384")
    with pytest.raises(ValueError):
        sign({"exp": float("nan")}, SECRET.encode(), "HS256")
