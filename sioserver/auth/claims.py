"""The claims of a token whose signature is right: what they have to say, and whom they describe.

Knows neither keys nor signatures. Everything that is no claim as RFC 7519 has it is an
`InvalidToken`, never another failure.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

from sioserver.auth.identity import Grant, Identity
from sioserver.auth.names import check_user_id, clean_name
from sioserver.config.schema import Auth
from sioserver.errors import InvalidToken
from sioserver.model import User

MAX_TIME: Final = 253_402_300_799.0
"""The last second of the year 9999: later times are taken for it, so that a date can hold them."""

MAX_JTI: Final = 256


def read_claims(claims: Mapping[str, Any], auth: Auth, now: float) -> Identity:
    """Whom the claims describe. Raises `InvalidToken`.

    "expired" comes last: a token that is wrong is wrong, and a fresh one like it would not help.
    """
    _check_audience(claims, auth)
    try:
        identity = _read(claims, auth.leeway)
    except ValueError as error:
        raise InvalidToken("claims", str(error)) from None
    _check_times(claims, identity, auth, now)
    return identity


def _check_audience(claims: Mapping[str, Any], auth: Auth) -> None:
    if auth.issuer and claims.get("iss") != auth.issuer:
        raise InvalidToken("issuer", "iss is not auth.issuer")
    if auth.audience:
        found = claims.get("aud")
        if found != auth.audience and not (isinstance(found, list) and auth.audience in found):
            raise InvalidToken("audience", "aud is not auth.audience")


def _read(claims: Mapping[str, Any], leeway: float) -> Identity:
    user_id = check_user_id(_text(claims, "sub"))
    name = claims.get("name")
    if name is not None:
        name = clean_name(_text(claims, "name"))
    token_id = _text(claims, "jti") if "jti" in claims else None
    if token_id is not None and not (0 < len(token_id) <= MAX_JTI and token_id.isprintable()):
        raise ValueError(f"jti has 1 to {MAX_JTI} printable characters")
    return Identity(
        user=User(user_id, name or user_id),
        expires_at=min(_time(claims, "exp") + leeway, MAX_TIME),
        issued_at=_time(claims, "iat") if "iat" in claims else None,
        token_id=token_id,
        rooms=tuple(_texts(claims["rooms"], "rooms")) if "rooms" in claims else None,
        grants=_grants(claims["perms"]) if "perms" in claims else None,
        authenticated=True,
    )


def _check_times(claims: Mapping[str, Any], identity: Identity, auth: Auth, now: float) -> None:
    latest, issued = now + auth.leeway, identity.issued_at
    try:
        begins = _time(claims, "nbf") if "nbf" in claims else 0.0
    except ValueError as error:
        raise InvalidToken("claims", str(error)) from None
    if begins > latest or (issued is not None and issued > latest):
        raise InvalidToken("early", "nbf or iat lies in the future")
    # Counted from its beginning: who revokes what was issued until now has to remember it for no
    # longer than this.
    begun = now if issued is None else issued
    assert identity.expires_at is not None
    if identity.expires_at - auth.leeway - begun > auth.max_lifetime:
        raise InvalidToken("lifetime", "exp is farther away than auth.max_lifetime allows")
    if identity.expires_at <= now:
        raise InvalidToken("expired", "exp lies in the past")


def _grants(value: object) -> tuple[Grant, ...]:
    """`perms`: a list of words for every room, or an object: patterns of rooms -> such lists."""
    if isinstance(value, list):
        return (Grant.everywhere(*_texts(value, "perms")),)
    if not isinstance(value, dict):
        raise ValueError("perms is neither a list of strings nor an object of such lists")
    return tuple(
        Grant(pattern, frozenset(_texts(words, "perms"))) for pattern, words in value.items()
    )


def _text(claims: Mapping[str, Any], claim: str) -> str:
    value = claims.get(claim)
    if not isinstance(value, str):
        raise ValueError(f"{claim} is not a string" if claim in claims else f"{claim} is missing")
    return value


def _texts(value: object, claim: str) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ValueError(f"{claim} has something else than lists of strings")
    return value


def _time(claims: Mapping[str, Any], claim: str) -> float:
    value = claims.get(claim)
    if isinstance(value, bool) or not isinstance(value, int | float) or not _finite(value):
        raise ValueError(f"{claim} is not a time" if claim in claims else f"{claim} is missing")
    return float(min(max(value, 0), MAX_TIME))  # clamped first: an int may be beyond any float


def _finite(value: float) -> bool:
    return isinstance(value, int) or math.isfinite(value)
