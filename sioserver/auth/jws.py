"""Signed texts in the compact form of RFC 7515: taken apart, and made.

Knows no keys of ours, no claims and no clock. What is taken apart here is a stranger's word until a
key has verified it. Written out instead of taken from PyJWT, which makes and checks the signatures:
the header has to be known before a key can be chosen, PyJWT's parser lets equal names pass, and it
goes through the text sign by sign in Python (decision 17 has the figures).
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any, Final, NamedTuple, NoReturn

import jwt

MAX_TOKEN: Final = 8192
"""Characters. Longer ones are not looked at."""

MAX_KEY_ID: Final = 256

_PYJWT: Final = jwt.PyJWS(options={"enforce_minimum_key_length": True})


class Unverified(NamedTuple):
    """The parts of a token that nobody has verified yet."""

    algorithm: str
    key_id: str | None
    """The header's `kid`: a name to look up, nothing else. `jku`, `jwk`, `x5u` and `x5c` say where
    a stranger would like us to find keys; they are not read."""
    payload: bytes
    signed: bytes
    """What the signature is of."""
    signature: bytes


def take_apart(token: str) -> Unverified:
    """Raises ValueError; RecursionError for brackets without end."""
    if len(token) > MAX_TOKEN:
        raise ValueError(f"it has more than {MAX_TOKEN} characters")
    parts = token.split(".", 3)
    if len(parts) != 3:
        raise ValueError("it has not three parts")
    header = read_object(_bytes(parts[0]), "the header")
    algorithm, key_id = header.get("alg"), header.get("kid")
    if not isinstance(algorithm, str):
        raise ValueError("the header names no algorithm")
    if key_id is not None and not (isinstance(key_id, str) and 0 < len(key_id) <= MAX_KEY_ID):
        raise ValueError(f"kid is a string of 1 to {MAX_KEY_ID} characters")
    # RFC 7515, 4.1.11: who does not know an extension that is critical has to refuse the token. We
    # know none; b64 (RFC 7797) is one that comes with crit or is wrong.
    if "crit" in header or "b64" in header:
        raise ValueError("the header asks for extensions (crit), there are none here")
    signed, _, _ = token.rpartition(".")
    return Unverified(algorithm, key_id, _bytes(parts[1]), signed.encode("ascii"), _bytes(parts[2]))


def _bytes(part: str) -> bytes:
    """The bytes of base64url without padding, in the one text that stands for them."""
    try:
        data = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    except binascii.Error as error:
        raise ValueError("it is not base64url") from error
    # the decoder leaves out what is no base64, and does not look at bits that are not used
    if base64.urlsafe_b64encode(data).rstrip(b"=") != part.encode("ascii"):
        raise ValueError("it is not base64url")
    return data


def read_object(data: bytes, what: str) -> dict[str, Any]:
    """A JSON object in UTF-8 without equal names, NaN or infinity. `what` is for the message.

    Raises ValueError, which does not repeat the data; RecursionError for brackets without end.
    """
    try:
        value = json.loads(
            data.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_no_number
        )
    except UnicodeDecodeError:
        raise ValueError(f"{what} is not UTF-8") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"{what} is not JSON: {error.msg}") from None
    if not isinstance(value, dict):
        raise ValueError(f"{what} is not a JSON object")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name stands twice in an object")
    return found


def _no_number(name: str) -> NoReturn:
    raise ValueError("NaN and Infinity are no JSON")


def sign(claims: Mapping[str, Any], key: bytes, algorithm: str) -> str:
    """A token that carries these claims. Raises `jwt.InvalidKeyError` for a key that is too short
    for the algorithm, TypeError or ValueError for claims that are no JSON."""
    payload = json.dumps(claims, separators=(",", ":"), allow_nan=False).encode()
    return _PYJWT.encode(payload, key, algorithm)
