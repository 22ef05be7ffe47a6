"""Keys of every kind, and tokens made by hand: no library makes those that matter."""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from jwt.algorithms import get_default_algorithms

SECRET = "correct horse battery staple, and more: sixty-four bytes of it at least"
NOW = 1_700_000_000.0
GOOD: dict[str, Any] = {"sub": "alice", "exp": NOW + 3600}

HASHES = {"HS256": hashlib.sha256, "HS384": hashlib.sha384, "HS512": hashlib.sha512}
SECRETS = tuple(HASHES)
PUBLIC = {
    "RS256": "rsa",
    "RS384": "rsa",
    "RS512": "rsa",
    "PS256": "rsa",
    "PS384": "rsa",
    "PS512": "rsa",
    "ES256": "p256",
    "ES384": "p384",
    "ES512": "p521",
    "EdDSA": "ed25519",
}
MAKERS: dict[str, Callable[[], Any]] = {
    "rsa": lambda: rsa.generate_private_key(65537, 2048),
    "rsa2": lambda: rsa.generate_private_key(65537, 2048),
    "weak": lambda: rsa.generate_private_key(65537, 1024),
    "p256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "p384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "p521": lambda: ec.generate_private_key(ec.SECP521R1()),
    "k1": lambda: ec.generate_private_key(ec.SECP256K1()),
    "ed25519": ed25519.Ed25519PrivateKey.generate,
    "ed448": ed448.Ed448PrivateKey.generate,
}
_ALGORITHMS = get_default_algorithms()


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


@cache
def private(kind: str) -> Any:
    """The private key of a kind, always the same in one run."""
    return MAKERS[kind]()


def pem(kind: str) -> bytes:
    """Its public half."""
    return (
        private(kind)
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )


def private_pem(kind: str) -> bytes:
    return private(kind).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def jwk(kind: str, **members: Any) -> dict[str, Any]:
    """Its public half as a JSON Web Key; a member that is None is left out."""
    family = {"r": "RS256", "w": "RS256", "p": "ES256", "k": "ES256"}.get(kind[0], "EdDSA")
    if kind == "p384":
        family = "ES384"
    elif kind == "p521":
        family = "ES512"
    found = type(_ALGORITHMS[family]).to_jwk(private(kind).public_key(), as_dict=True)
    found = {**found, **members}
    return {name: value for name, value in found.items() if value is not None}


def key_set(*keys: Any) -> bytes:
    return json.dumps({"keys": keys}).encode()


def token(
    claims: object,
    *,
    secret: str | bytes = SECRET,
    header: Mapping[str, Any] | None = None,
    algorithm: str = "HS256",
) -> str:
    """Signed with a secret; `header` may say whatever it likes of that."""
    payload = claims if isinstance(claims, str) else json.dumps(claims)
    head = json.dumps({"alg": algorithm, "typ": "JWT"} if header is None else header)
    signed = f"{b64(head.encode())}.{b64(payload.encode('utf-8', 'surrogatepass'))}"
    key = secret.encode() if isinstance(secret, str) else secret
    return f"{signed}.{b64(hmac.digest(key, signed.encode(), HASHES[algorithm]))}"


def public_token(
    claims: object, kind: str, algorithm: str, header: Mapping[str, Any] | None = None
) -> str:
    """Signed with a private key."""
    payload = claims if isinstance(claims, str) else json.dumps(claims)
    head = json.dumps({"alg": algorithm, **(header or {})})
    signed = f"{b64(head.encode())}.{b64(payload.encode())}"
    # with the algorithm that the key is for, whatever the header says
    able = next(name for name, owner in {**PUBLIC, "EdDSA": kind}.items() if owner == kind)
    able = algorithm if PUBLIC.get(algorithm) == kind.rstrip("2") else able
    return f"{signed}.{b64(_ALGORITHMS[able].sign(signed.encode(), private(kind)))}"
