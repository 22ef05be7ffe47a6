"""Keys: read, judged, and found."""

import datetime
import json
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

from sioserver.auth.keys import (
    MAX_KEYS,
    PUBLIC_ALGORITHMS,
    Key,
    Ring,
    read_pem,
    read_set,
    secret_key,
)
from sioserver.config.keys import KEYS
from sioserver.config.secrets import ALGORITHMS, secret_fault
from sioserver.config.values import expected
from sioserver.errors import TOKEN_FAULTS

from .kit import PUBLIC, SECRET, SECRETS, b64, jwk, key_set, pem, private, private_pem

RSA = frozenset(name for name in PUBLIC if PUBLIC[name] == "rsa")


def certificate(kind: str) -> bytes:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "issuer")])
    begin = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    builder = x509.CertificateBuilder(name, name, private(kind).public_key(), 7, begin, begin)
    return builder.sign(private(kind), hashes.SHA256()).public_bytes(Encoding.PEM)


def test_the_algorithms_are_those_of_the_settings() -> None:
    assert {*ALGORITHMS, *PUBLIC_ALGORITHMS} == {*SECRETS, *PUBLIC}
    named = expected(KEYS["auth.algorithms"].kind)
    assert all(f'"{name}"' in named for name in (*SECRETS, *PUBLIC))
    assert "none" not in named


# ---------------------------------------------------------------------------- single keys


@pytest.mark.parametrize(
    ("kind", "algorithms"),
    [
        ("rsa", RSA),
        ("p256", {"ES256"}),
        ("p384", {"ES384"}),
        ("p521", {"ES512"}),
        ("ed25519", {"EdDSA"}),
        ("ed448", {"EdDSA"}),
    ],
)
def test_a_key_knows_what_it_is_for(kind: str, algorithms: set[str]) -> None:
    assert read_pem(pem(kind)).algorithms == algorithms
    assert read_pem(b"a comment\n" + pem(kind)).algorithms == algorithms
    (key,) = read_set(key_set(jwk(kind, kid="k"))).keys
    assert (key.algorithms, key.id) == (algorithms, "k")


def test_the_key_of_a_certificate() -> None:
    """Its dates are not looked at: who names the file trusts the key in it."""
    key = read_pem(certificate("rsa"))
    assert key.algorithms == RSA
    assert key.material.public_numbers() == private("rsa").public_key().public_numbers()


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (lambda: pem("weak"), "2048"),
        (lambda: pem("k1"), "P-256"),
        (lambda: private_pem("rsa"), "private key"),
        (lambda: private_pem("ed25519"), "private key"),
        (lambda: b"", "no public key in PEM form"),
        (lambda: b"secret", "no public key in PEM form"),
        (lambda: b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "no public key"),
        (
            lambda: b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            "no public key",
        ),
        (lambda: certificate("weak"), "2048"),
        (lambda: json.dumps(jwk("rsa")).encode(), "no public key in PEM form"),
    ],
)
def test_what_is_no_key(data: Any, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        read_pem(data())


@pytest.mark.parametrize(
    "secret", [pem("rsa").decode(), json.dumps(jwk("rsa")), "ssh-rsa " + "A" * 99]
)
def test_a_public_key_is_no_secret(secret: str) -> None:
    with pytest.raises(ValueError, match="key or certificate"):
        secret_key(secret)
    assert "key or certificate" in secret_fault(secret)  # which is said earlier, at the start


@settings(deadline=None)
@given(st.binary(max_size=80))
def test_bytes_that_are_no_key(data: bytes) -> None:
    with pytest.raises(ValueError):
        read_pem(data)


# ---------------------------------------------------------------------------- sets


@pytest.mark.parametrize(
    ("members", "algorithms"),
    [
        ({"use": "sig"}, RSA),
        ({"alg": "PS256"}, {"PS256"}),
        ({"key_ops": ["verify"]}, RSA),
        ({"key_ops": ["sign", "verify"]}, RSA),
        ({"use": None, "alg": None, "kid": None}, RSA),
        ({"x5u": "https://evil.example/", "x5c": ["AAAA"], "x5t": 7}, RSA),
        ({"use": "enc"}, None),
        ({"use": ["sig"]}, None),
        ({"key_ops": ["encrypt"]}, None),
        ({"key_ops": []}, None),
        ({"key_ops": "verify"}, None),
        ({"alg": "ES256"}, None),
        ({"alg": "HS256"}, None),
        ({"alg": "none"}, None),
        ({"alg": "RSA-OAEP"}, None),
        ({"alg": 7}, None),
        ({"kid": 7}, None),
        ({"kid": ""}, None),
        ({"kid": "k" * 257}, None),
        ({"kty": "oct", "k": b64(b"k" * 64)}, None),
        ({"kty": ["RSA"]}, None),
        ({"kty": "EC"}, None),
        ({"n": "AQAB"}, None),
        ({"n": "!"}, None),
        ({"n": 7}, None),
        ({"n": None}, None),
        ({"e": b64(b"\1")}, None),
        ({"d": "AQAB"}, None),
    ],
)
def test_a_key_of_a_set(members: dict[str, Any], algorithms: set[str] | None) -> None:
    found = read_set(key_set(jwk("p256"), jwk("rsa", **members)))
    if algorithms is None:
        assert len(found.keys) == len(found.left_out) == 1
        assert found.left_out[0].startswith("key 2: ")
    else:
        assert [key.algorithms for key in found.keys] == [{"ES256"}, algorithms]
        assert not found.left_out


@pytest.mark.parametrize(
    "item",
    [
        None,
        7,
        "k",
        [],
        {},
        jwk("weak"),
        jwk("k1"),
        {"kty": "EC", "crv": "P-256", "x": b64(b"x" * 32), "y": b64(b"y" * 32)},
    ],
)
def test_one_bad_key_spoils_no_other(item: Any) -> None:
    found = read_set(key_set(item, jwk("ed25519")))
    assert [key.algorithms for key in found.keys] == [{"EdDSA"}]
    assert len(found.left_out) == 1


def test_a_private_key_in_a_set_is_said_loudly() -> None:
    found = read_set(key_set({**jwk("p256"), "d": b64(b"d" * 32)}, jwk("rsa")))
    assert "PRIVATE" in found.left_out[0]


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "not JSON"),
        (b"[]", "not a JSON object"),
        (b"{}", '"keys"'),
        (b'{"keys": {}}', '"keys"'),
        (b'{"keys": []}', "no key"),
        (key_set({"kty": "oct", "k": "AAAA"}), "no key .*secrets"),
        (key_set(*[{}] * (MAX_KEYS + 1)), "at most 64"),
        (b'{"keys":' + b"[" * 100_000, "deep"),
        (b"<html>", "not JSON"),
        (b'{"keys": [], "keys": []}', "twice"),
    ],
)
def test_what_is_no_set(data: bytes, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        read_set(data)


MEMBERS = st.dictionaries(
    st.sampled_from(["kty", "crv", "n", "e", "x", "y", "use", "alg", "kid", "key_ops"]),
    st.none()
    | st.integers()
    | st.text(max_size=6)
    | st.binary(max_size=66).map(b64)
    | st.sampled_from(["RSA", "EC", "OKP", "P-256", "P-521", "Ed25519", "Ed448", "X25519", "sig"])
    | st.lists(st.text(max_size=3), max_size=2),
)


@settings(deadline=None)
@given(MEMBERS)
def test_no_key_of_a_set_raises_anything_else(members: dict[str, Any]) -> None:
    found = read_set(key_set(members, jwk("p256")))
    assert len(found.keys) + len(found.left_out) == 2


# ---------------------------------------------------------------------------- rings


def keys(*items: dict[str, Any]) -> tuple[Key, ...]:
    return read_set(key_set(*items)).keys


ONE, TWO = keys(jwk("rsa", kid="1"), jwk("rsa2", kid="2"))
(LOOSE,) = keys(jwk("rsa"))
CURVE = keys(jwk("p256", kid="1"))[0]
HMAC = secret_key(SECRET)


@pytest.mark.parametrize(
    ("fixed", "issuer", "published", "algorithm", "kid", "found", "fault"),
    [
        ([HMAC], False, [], "HS256", None, [HMAC], "signature"),
        ([HMAC], False, [], "HS256", "x", [HMAC], "signature"),
        ([HMAC], False, [], "RS256", None, [], "algorithm"),
        ([HMAC], False, [], "none", None, [], "algorithm"),
        ([HMAC], True, [], "none", "x", [], "algorithm"),
        # an issuer publishes no secrets, and has published nothing yet
        ([HMAC], True, [], "HS256", "x", [HMAC], "signature"),
        ([], True, [], "RS256", "1", [], "unknown_key"),
        ([], True, [], "RS256", None, [], "unknown_key"),
        # named keys
        ([], True, [ONE, TWO], "RS256", "1", [ONE], "signature"),
        ([], True, [ONE, TWO], "RS256", "3", [], "unknown_key"),
        ([], True, [ONE, TWO], "ES256", "1", [], "unknown_key"),
        ([], True, [ONE, CURVE], "ES256", "1", [CURVE], "signature"),
        ([ONE], False, [], "RS256", "3", [], "unknown_key"),
        # no name
        ([], True, [ONE, TWO], "RS256", None, [], "unnamed_key"),
        ([], True, [ONE], "RS256", None, [ONE], "signature"),
        ([], True, [ONE], "ES256", None, [], "unknown_key"),
        # keys without a name
        ([LOOSE], False, [], "RS256", "x", [LOOSE], "signature"),
        ([LOOSE], True, [ONE], "RS256", "x", [LOOSE], "unknown_key"),
        ([LOOSE], True, [ONE], "RS256", "1", [ONE], "signature"),
        ([LOOSE], True, [ONE], "RS256", None, [LOOSE, ONE], "signature"),
    ],
)  # fmt: skip
def test_which_keys_may_have_signed(
    fixed: list[Key],
    issuer: bool,
    published: list[Key],
    algorithm: str,
    kid: str | None,
    found: list[Key],
    fault: str,
) -> None:
    ring = Ring(fixed, (), issuer=issuer)
    ring.publish(published)
    assert list(ring.find(algorithm, kid)) == found
    assert ring.fault(algorithm, kid) == fault
    assert fault in TOKEN_FAULTS


def test_what_is_published_takes_the_place_of_what_was() -> None:
    ring = Ring([HMAC], (), issuer=True)
    ring.publish([ONE])
    ring.publish([TWO])
    assert ring.find("RS256", "1") == ()
    assert ring.find("RS256", "2") == (TWO,)
    assert ring.find("HS256", None) == (HMAC,)
    ring.publish([])
    assert ring.find("RS256", "2") == ()


def test_what_is_not_allowed_has_no_keys() -> None:
    ring = Ring([HMAC, LOOSE], ["PS256"], issuer=True)
    ring.publish([ONE])
    assert ring.find("HS256", None) == ring.find("RS256", "1") == ()
    assert ring.find("PS256", "1") == (ONE,)
    assert ring.fault("RS256", "7") == "algorithm"  # no key that is fetched could help


def test_a_key_verifies_only_with_its_own() -> None:
    seal = private("ed25519").sign(b"text")
    key = read_pem(pem("ed25519"))
    assert key.verifies("EdDSA", b"text", seal)
    assert not key.verifies("EdDSA", b"other", seal)
    for algorithm in (*SECRETS, *(set(PUBLIC) - {"EdDSA"}), "none", "", "ES256K"):
        assert not key.verifies(algorithm, b"text", seal)
