"""Small tokens of our own: for what clients keep for us and must not alter.

They have nothing to do with the JWTs of users.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Mapping
from hashlib import sha256
from typing import Final

import msgspec

MIN_SECRET: Final = 32

_FIELDS: Final = msgspec.msgpack.Decoder(dict[str, str | int])


class Signer:
    """Small tokens that only this cluster can make: anybody may read them, nobody can alter them.

    `base64url(msgpack(fields)) "." base64url(HMAC-SHA256, the first 128 bits)`, without padding.
    """

    MAX_LENGTH = 4096

    def __init__(self, secret: bytes) -> None:
        if len(secret) < MIN_SECRET:
            raise ValueError(f"a signer's secret has at least {MIN_SECRET} bytes")
        self._secret = secret

    def sign(self, fields: Mapping[str, str | int]) -> str:
        """Raises ValueError or OverflowError for what no token can carry: half a surrogate pair, a
        number beyond 64 bits, more than fits."""
        body = _base64(msgspec.msgpack.encode(fields))
        token = f"{body}.{self._seal(body)}"
        if len(token) > self.MAX_LENGTH:
            raise ValueError("too much for a signed token")
        return token

    def open(self, token: str) -> dict[str, str | int] | None:
        """The fields, or None when this is no token of ours, for whatever reason."""
        if len(token) > self.MAX_LENGTH or not token.isascii():
            return None
        body, _, seal = token.partition(".")
        # the text of the seal is compared, not its bytes: base64 has several texts for them
        if not hmac.compare_digest(seal, self._seal(body)):
            return None
        try:
            return _FIELDS.decode(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
        except (msgspec.MsgspecError, binascii.Error, UnicodeDecodeError):
            return None  # signed by us, but by a version that put other things in

    def _seal(self, body: str) -> str:
        return _base64(hmac.digest(self._secret, body.encode(), sha256)[:16])


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
