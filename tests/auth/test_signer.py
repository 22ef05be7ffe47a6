"""Our own signed tokens: read by anybody, altered by nobody."""

import base64
import hashlib
import hmac

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from sioserver.auth import MAX_NAME, Signer


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


FIELDS = st.dictionaries(
    st.text(st.characters(codec="utf-8"), max_size=10),
    st.text(st.characters(codec="utf-8"), max_size=40) | st.integers(-(2**63), 2**64 - 1),
    max_size=5,
)
KEY = bytes(range(32))


@settings(deadline=None)
@given(FIELDS)
def test_what_is_signed_comes_back(fields: dict[str, str | int]) -> None:
    signed = Signer(KEY).sign(fields)
    assert Signer(KEY).open(signed) == fields
    assert Signer(KEY[::-1]).open(signed) is None


@settings(deadline=None)
@given(FIELDS, st.data())
def test_no_sign_can_be_changed(fields: dict[str, str | int], data: st.DataObject) -> None:
    """Not even the bits of the last one that base64 does not use."""
    signed = Signer(KEY).sign(fields)
    at = data.draw(st.integers(0, len(signed) - 1))
    sign = data.draw(st.characters())
    assume(signed[at] != sign)
    assert Signer(KEY).open(signed[:at] + sign + signed[at + 1 :]) is None
    assert Signer(KEY).open(signed[:at]) is None
    assert Signer(KEY).open(signed + sign) is None


def test_all_texts_of_a_seal_but_one_are_refused() -> None:
    signer = Signer(KEY)
    signed = signer.sign({"room": "lobby"})
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    opened = [sign for sign in alphabet if signer.open(signed[:-1] + sign)]
    assert opened == [signed[-1]]


@settings(deadline=None)
@given(st.text(max_size=100) | st.text(alphabet="abcAB01-_.=", max_size=100))
def test_a_made_up_token_is_none(text: str) -> None:
    assert Signer(KEY).open(text) is None


@pytest.mark.parametrize(
    "body", [b"", b"\xc1", b"\x93\x01\x02\x03", b"\x81\xa1a\xc0", b"\x81\xa1a"]
)
def test_a_right_seal_on_something_else(body: bytes) -> None:
    signer = Signer(KEY)
    text = b64(body)
    assert signer.open(f"{text}.{signer._seal(text)}") is None


def test_the_form_of_a_signed_token() -> None:
    signed = Signer(KEY).sign({"a": 1})
    body, seal = signed.split(".")
    assert base64.urlsafe_b64decode(body + "==") == b"\x81\xa1a\x01"
    mac = hmac.new(KEY, body.encode(), hashlib.sha256).digest()[:16]
    assert base64.urlsafe_b64decode(seal + "==") == mac


def test_what_cannot_be_signed() -> None:
    signer = Signer(KEY)
    with pytest.raises(OverflowError):
        signer.sign({"n": 2**64})
    with pytest.raises(ValueError):
        signer.sign({"text": "\ud800"})
    with pytest.raises(ValueError, match="too much"):
        signer.sign({"text": "x" * 4000})
    assert signer.open("x" * 5_000_000) is None
    with pytest.raises(ValueError, match="32 bytes"):
        Signer(b"short")


def test_the_longest_names_fit() -> None:
    longest = "\U0001f419" * MAX_NAME
    fields: dict[str, str | int] = {"room": longest, "user": longest, "sid": "s" * 40, "at": 2**53}
    assert Signer(KEY).open(Signer(KEY).sign(fields)) == fields
