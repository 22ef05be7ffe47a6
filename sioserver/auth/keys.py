"""Keys that tokens are verified with, each tied to the algorithms of its kind.

Texts and parsed JSON in, `Key`s out; where they come from is `sioserver.keys`' business. A key says
what it is good for by itself, so that no token can choose: there is no HMAC with a public key.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import jwt
import msgspec
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from jwt.algorithms import (
    Algorithm,
    ECAlgorithm,
    HMACAlgorithm,
    OKPAlgorithm,
    RSAAlgorithm,
    get_default_algorithms,
)

from sioserver.auth.jws import MAX_KEY_ID, read_object
from sioserver.config.secrets import ALGORITHMS, LEAST_BYTES, algorithms_for

RSA_BITS: Final = (2048, 16_384)
MAX_KEYS: Final = 64
"""Keys in a set. One that has more is not a set of signing keys."""

PUBLIC_ALGORITHMS: Final = (
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA",
)  # fmt: skip

_KNOWN: Final[Mapping[str, Algorithm]] = get_default_algorithms()
_CURVES: Final = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}
_PARSERS: Final[Mapping[str, Any]] = {
    "RSA": RSAAlgorithm.from_jwk,
    "EC": ECAlgorithm.from_jwk,
    "OKP": OKPAlgorithm.from_jwk,
}


class Key(msgspec.Struct, frozen=True):
    """A key, and what it may be used for."""

    material: Any
    """Bytes of a secret, or a public key of `cryptography`."""
    algorithms: frozenset[str]
    id: str | None = None
    """The `kid` of tokens that it signs; None: it may have signed whatever they say."""

    def verifies(self, algorithm: str, signed: bytes, signature: bytes) -> bool:
        """Is this the key's signature? Never with an algorithm that is not the key's."""
        # The kind and the length of the key were looked at when it was made: PyJWT's preparation,
        # which would do that for each token, is left out.
        return algorithm in self.algorithms and bool(
            _KNOWN[algorithm].verify(signed, self.material, signature)
        )


def secret_key(secret: str) -> Key:
    """The key that a secret is. Raises ValueError, which does not repeat it."""
    data = secret.encode()
    if len(data) < LEAST_BYTES:
        raise ValueError(f"a secret has at least {LEAST_BYTES} bytes, this one has {len(data)}")
    try:
        HMACAlgorithm(HMACAlgorithm.SHA256).prepare_key(data)
    except jwt.InvalidKeyError as error:
        # with it, whoever knows the public key could sign
        raise ValueError("this is a key or certificate, not a secret text") from error
    return Key(data, frozenset(algorithms_for(secret)))


def read_pem(data: bytes) -> Key:
    """The public key in a PEM text, or that of a certificate in it. Raises ValueError."""
    if b"PRIVATE KEY-----" in data:
        raise ValueError("this is a private key: give the server the public one only")
    try:
        if b"-----BEGIN CERTIFICATE-----" in data:
            found: object = x509.load_pem_x509_certificate(data).public_key()
        else:
            found = load_pem_public_key(data)
    except UnsupportedAlgorithm as error:
        raise ValueError(f"a key of a kind that is not known here: {error}") from None
    except ValueError:
        raise ValueError("there is no public key in PEM form in it") from None
    return Key(*_judged(found))


def _judged(key: object) -> tuple[Any, frozenset[str]]:
    """A public key and the algorithms of its kind. Raises ValueError for one that is too weak."""
    least, most = RSA_BITS
    if isinstance(key, rsa.RSAPublicKey):
        if not least <= key.key_size <= most:
            raise ValueError(f"an RSA key has {least} to {most} bits, this one has {key.key_size}")
        return key, frozenset(name for name in PUBLIC_ALGORITHMS if name[:2] in ("RS", "PS"))
    if isinstance(key, ec.EllipticCurvePublicKey):
        if key.curve.name not in _CURVES:
            raise ValueError(f"keys on {key.curve.name} are not used; P-256, P-384 and P-521 are")
        return key, frozenset({_CURVES[key.curve.name]})
    if isinstance(key, ed25519.Ed25519PublicKey | ed448.Ed448PublicKey):
        return key, frozenset({"EdDSA"})
    raise ValueError("a public key for RSA, ECDSA, Ed25519 or Ed448 is needed")


# ---------------------------------------------------------------------------- sets of keys


class KeySet(NamedTuple):
    """What a JSON Web Key Set (RFC 7517) holds."""

    keys: tuple[Key, ...]
    left_out: tuple[str, ...]
    """Why other keys of the set are not used, one text for each."""


def read_set(data: bytes) -> KeySet:
    """Read a key set. Raises ValueError when it is none, or has no key to verify tokens with."""
    try:
        found = read_object(data, "the key set").get("keys")
    except RecursionError:
        raise ValueError("the key set is nested too deeply") from None
    if not isinstance(found, list):
        raise ValueError('a key set is a JSON object with a list "keys"')
    if len(found) > MAX_KEYS:
        raise ValueError(f"a key set has at most {MAX_KEYS} keys, this one has {len(found)}")
    keys, left_out = [], []
    for number, item in enumerate(found, 1):
        try:
            keys.append(_read_jwk(item))
        except (ValueError, TypeError, KeyError, OverflowError, jwt.PyJWTError) as error:
            # the last ones: PyJWT takes the members of a key as they come
            left_out.append(f"key {number}: {error}")
        except UnsupportedAlgorithm:
            left_out.append(f"key {number}: of a kind that is not known here")
    if not keys:
        why = f" ({left_out[0]})" if left_out else ""
        raise ValueError(f"the key set has no key that tokens could be verified with{why}")
    return KeySet(tuple(keys), tuple(left_out))


def _read_jwk(item: object) -> Key:
    if not isinstance(item, dict):
        raise ValueError("not an object")
    parse = _PARSERS.get(_text(item, "kty") or "")
    if parse is None:
        raise ValueError("kty is RSA, EC or OKP; secrets do not belong into a key set")
    if "d" in item:
        raise ValueError("it is a PRIVATE key: whoever has seen this set can sign tokens")
    # RFC 7517, 4.2 and 4.3: what a key is meant for
    if _text(item, "use") not in (None, "sig"):
        raise ValueError("it is not for signatures (use)")
    operations = item.get("key_ops", ["verify"])
    if not isinstance(operations, list) or "verify" not in operations:
        raise ValueError("it is not for verifying (key_ops)")
    name = _text(item, "kid")
    if name is not None and not 0 < len(name) <= MAX_KEY_ID:
        raise ValueError(f"kid is a string of 1 to {MAX_KEY_ID} characters")
    material, algorithms = _judged(parse(item))
    if (only := _text(item, "alg")) is not None:
        algorithms &= {only}
        if not algorithms:
            raise ValueError("its alg is not one of its kind")
    return Key(material, algorithms, name)


def _text(item: Mapping[str, Any], member: str) -> str | None:
    value = item.get(member)
    if value is not None and not isinstance(value, str):
        raise ValueError(f"{member} is not a string")
    return value


class Ring:
    """The keys of a server: which of them may have signed a token?"""

    def __init__(self, fixed: Iterable[Key], allowed: Collection[str], *, issuer: bool) -> None:
        """`allowed` narrows the algorithms of all keys; empty: it does not. `issuer`: more keys are
        published, `publish` brings them."""
        self._fixed = tuple(fixed)
        self._allowed = frozenset(allowed or (*ALGORITHMS, *PUBLIC_ALGORITHMS))
        self._issuer = issuer
        self._named: dict[tuple[str, str], tuple[Key, ...]] = {}
        self._nameless: dict[str, tuple[Key, ...]] = {}
        self._alone: dict[str, tuple[Key, ...]] = {}
        self._several: frozenset[str] = frozenset()
        self._published: frozenset[str] = frozenset()
        self.publish(())

    def publish(self, keys: Sequence[Key]) -> None:
        """From now on the issuer's keys are these. Those it had before verify nothing more."""
        named: dict[tuple[str, str], tuple[Key, ...]] = {}
        nameless: dict[str, tuple[Key, ...]] = {}
        alone: dict[str, tuple[Key, ...]] = {}
        for key in (*self._fixed, *keys):
            for algorithm in key.algorithms & self._allowed:
                if key.id is None:
                    nameless[algorithm] = (*nameless.get(algorithm, ()), key)
                else:
                    place = algorithm, key.id
                    named[place] = (*named.get(place, ()), key)
                    alone[algorithm] = (*alone.get(algorithm, ()), key)
        self._named, self._nameless = named, nameless
        self._alone = {name: those for name, those in alone.items() if len(those) == 1}
        self._several = frozenset(alone.keys() - self._alone.keys())
        self._published = frozenset().union(*(key.algorithms for key in keys))

    def find(self, algorithm: str, key_id: str | None) -> tuple[Key, ...]:
        """Keys that may have signed: that of this name, else those that have none. A token without
        a name is verified with a named key only if there is no other of its kind."""
        if key_id is None:
            return self._nameless.get(algorithm, ()) + self._alone.get(algorithm, ())
        named = self._named.get((algorithm, key_id))
        return named or self._nameless.get(algorithm, ())

    def fault(self, algorithm: str, key_id: str | None) -> str:
        """Why no key has verified a token: one of `errors.TOKEN_FAULTS`."""
        if key_id is None:
            if algorithm in self._several:
                return "unnamed_key"
            to_come = algorithm not in self._published
        else:
            if (algorithm, key_id) in self._named:
                return "signature"
            to_come = True
        public = algorithm in self._allowed and algorithm in PUBLIC_ALGORITHMS
        if to_come and self._issuer and public:
            return "unknown_key"
        if self.find(algorithm, key_id):
            return "signature"
        return "unknown_key" if algorithm in self._several | self._alone.keys() else "algorithm"
