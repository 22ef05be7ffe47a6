"""A token, or what an anonymous client says of itself, becomes an identity.

The only part that reads JWTs. It knows no clock (`now` is seconds since 1970) and no engine:
revocation is asked there.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping
from typing import Any, Final

import jwt
from jwt.algorithms import HMACAlgorithm

from sioserver.auth.identity import Identity
from sioserver.auth.names import GUEST, check_user_id, clean_name
from sioserver.config.schema import Auth
from sioserver.errors import Refusal
from sioserver.model import User

MAX_TOKEN: Final = 8192
MIN_SECRET: Final = 32
MAX_TIME: Final = 253_402_300_799.0
"""The last second of the year 9999: later times are taken for it, so that a date can hold them."""

ALGORITHMS: Final = ["HS256"]
"""Pinned: what a token's own header says is never asked."""


class Verifier:
    """Turns a token, or what an anonymous client says of itself, into an identity."""

    def __init__(self, auth: Auth) -> None:
        self._secret = auth.secret.encode()
        if self._secret:
            _check_secret(self._secret)
        self._anonymous = auth.anonymous
        self._audience = auth.audience or None
        self._issuer = auth.issuer or None
        self._leeway = auth.leeway
        self._jwt = jwt.PyJWT(
            {
                "require": ["exp", "sub"],
                # times are compared here: PyJWT would ask the clock
                "verify_exp": False,
                "verify_nbf": False,
                "verify_iat": False,
                "verify_aud": self._audience is not None,
                "verify_iss": self._issuer is not None,
                "enforce_minimum_key_length": True,
            }
        )

    @property
    def required(self) -> bool:
        """Nobody comes in without a token."""
        return bool(self._secret) and not self._anonymous

    def verify(self, token: str, now: float) -> Identity:
        """Raises `Refusal("unauthorized" | "token_expired")`, which never tell what was wrong:
        the reason is the cause of the exception, for the log."""
        if not self._secret:
            raise Refusal("unauthorized", "this server takes no tokens")
        if len(token) > MAX_TOKEN:
            raise Refusal("unauthorized")
        try:
            claims = self._jwt.decode(
                token,
                self._secret,
                algorithms=ALGORITHMS,
                audience=self._audience,
                issuer=self._issuer,
            )
            identity = self._read(claims, now)
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError) as error:
            # the last three: a stranger's text must not become another kind of failure, whatever
            # the parser below makes of it
            raise Refusal("unauthorized") from error
        assert identity.expires_at is not None
        if identity.expires_at <= now:
            raise Refusal("token_expired")
        return identity

    def _read(self, claims: Mapping[str, Any], now: float) -> Identity:
        """The claims of a token whose signature is right. Raises ValueError."""
        user_id = check_user_id(_text(claims, "sub"))
        name = claims.get("name")
        if name is not None:
            name = clean_name(_text(claims, "name"))
        for claim in ("nbf", "iat"):
            if claim in claims and _time(claims, claim) > now + self._leeway:
                raise ValueError(f"{claim} lies in the future")
        token_id = _text(claims, "jti") if "jti" in claims else None
        if token_id is not None and not (0 < len(token_id) <= 256 and token_id.isprintable()):
            raise ValueError("jti has 1 to 256 printable characters")
        return Identity(
            user=User(user_id, name or user_id),
            expires_at=min(_time(claims, "exp") + self._leeway, MAX_TIME),
            issued_at=_time(claims, "iat") if "iat" in claims else None,
            token_id=token_id,
            rooms=tuple(_texts(claims, "rooms")) if "rooms" in claims else None,
            perms=frozenset(_texts(claims, "perms")) if "perms" in claims else None,
            authenticated=True,
        )

    def anonymous(
        self, user: str | None, name: str | None, made_up: str, now: float = 0.0
    ) -> Identity:
        """Somebody without a token. `made_up` is an id that nobody else has.

        Where tokens exist, `user` is not believed: it could be the id of somebody who has one.
        Raises `Refusal("unauthorized")`, or "bad_request" for an id that is none.
        """
        if self.required:
            raise Refusal("unauthorized")
        shown = clean_name(name or "")
        if user is None or self._secret:
            # a checksum, because the ids of one node may all begin alike
            short = f"Guest-{zlib.crc32(made_up.encode()) & 0xFFFF:04X}"
            return Identity(User(GUEST + made_up, shown or short, guest=True))
        try:
            check_user_id(user)
        except ValueError as error:
            raise Refusal("bad_request", str(error)) from None
        return Identity(User(user, shown or user))


def _check_secret(secret: bytes) -> None:
    if len(secret) < MIN_SECRET:
        raise ValueError(f"auth.secret needs at least {MIN_SECRET} bytes, it has {len(secret)}")
    try:
        HMACAlgorithm(HMACAlgorithm.SHA256).prepare_key(secret)
    except jwt.InvalidKeyError as error:
        # PyJWT would say so with every token, when nobody is looking
        raise ValueError("auth.secret is a key or certificate, not a secret text") from error


def _text(claims: Mapping[str, Any], claim: str) -> str:
    value = claims[claim]
    if not isinstance(value, str):
        raise ValueError(f"{claim} is not a string")
    return value


def _texts(claims: Mapping[str, Any], claim: str) -> list[str]:
    value = claims[claim]
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ValueError(f"{claim} is not a list of strings")
    return value


def _time(claims: Mapping[str, Any], claim: str) -> float:
    value = claims[claim]
    if isinstance(value, bool) or not isinstance(value, int | float) or not _finite(value):
        raise ValueError(f"{claim} is not a time")
    return float(min(max(value, 0), MAX_TIME))  # clamped first: an int may be beyond any float


def _finite(value: float) -> bool:
    return isinstance(value, int) or math.isfinite(value)
