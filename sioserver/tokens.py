"""Tokens for an operator: made with the configured secret, and judged as the server would.

Values in, texts out. Knows no command line, prints nothing and reads no clock: `now` is seconds
since 1970.
"""

from __future__ import annotations

import asyncio
import datetime
import json
import re
from collections.abc import Sequence
from typing import Any, Final

from sioserver import private
from sioserver.auth import Identity, Policy, Verifier
from sioserver.auth.jws import sign
from sioserver.auth.keys import read_set
from sioserver.auth.policy import ADMIN, PERMISSIONS
from sioserver.config import Config
from sioserver.config.schema import KEY_SOURCES, Auth
from sioserver.config.secrets import HOW_TO_MAKE_ONE, algorithms_for
from sioserver.errors import InvalidToken
from sioserver.ids import random_id
from sioserver.keys.fetch import NotFetched, fetch
from sioserver.keys.files import UnusableKey, read_keys

WORDS: Final = (*PERMISSIONS, ADMIN)
TTL: Final = "1h"
_UNITS: Final = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}

# What can be done about a token that is refused.
_HINTS: Final = {
    "algorithm": "no key of the configuration is for it; look at [auth]",
    "unknown_key": "no key of the configuration has its kid",
    "unnamed_key": "its issuer has to put a kid into the header",
    "signature": "it was signed with another secret or key, or was altered or cut off",
    "audience": "its issuer has to make it for this server",
    "issuer": "it comes from somebody else",
    "early": "look at the clocks of the issuer and of this machine",
    "lifetime": "shorten it, or raise auth.max_lifetime",
    "expired": "make a fresh one",
    "not_taken": f"set {KEY_SOURCES}",
}


class NoToken(Exception):
    """A token cannot be made, or is not good; the message says why, and what to do about it."""


def make(
    auth: Auth,
    now: float,
    *,
    sub: str,
    name: str | None = None,
    rooms: Sequence[str] | None = None,
    perms: str | None = None,
    ttl: str = TTL,
) -> str:
    """A token that the server with this configuration takes. Raises NoToken.

    `perms`: words with commas, or a JSON object from patterns of rooms to lists of words. `ttl`:
    seconds, or a number with s, m, h or d.
    """
    if not auth.secret:
        raise NoToken(
            "there is no auth.secret to sign with; make one and give it to the server too, for "
            f'example: export SIOSERVER_AUTH__SECRET="$({HOW_TO_MAKE_ONE})"'
        )
    begun = int(now)
    claims: dict[str, Any] = {"sub": sub, "iat": begun, "exp": begun + _seconds(ttl)}
    claims["jti"] = random_id(16)  # so that it can be revoked
    optional = {"aud": auth.audience, "iss": auth.issuer, "name": name, "rooms": rooms}
    claims |= {claim: value for claim, value in optional.items() if value}
    if perms is not None:
        claims["perms"] = _perms(perms)
    try:
        verifier = Verifier(auth)
        able = algorithms_for(auth.secret)
        algorithm = next((name for name in auth.algorithms if name in able), able[0])
        token = sign(claims, auth.secret.encode(), algorithm)
        verifier.verify(token, now)
    except InvalidToken as error:
        raise NoToken(f"the server would refuse it: {_why(error)}") from None
    except ValueError as error:
        raise NoToken(str(error)) from None
    return token


def _seconds(ttl: str) -> int:
    parts = re.fullmatch(r"([0-9]{1,9})([smhd]?)", ttl)
    if parts is None:
        raise NoToken(f'--ttl is a number of seconds, or one such as 30m, 12h or 7d, not "{ttl}"')
    seconds = int(parts[1]) * _UNITS[parts[2]]
    if not seconds:
        raise NoToken("--ttl is more than 0, or exp is in the past when the token is printed")
    return seconds


def _perms(text: str) -> list[str] | dict[str, list[str]]:
    if text.lstrip().startswith("{"):
        try:
            rooms: dict[str, list[str]] = json.loads(text)
            words = [word for listed in rooms.values() for word in listed]
        except (ValueError, TypeError, RecursionError):
            raise NoToken('--perms is no JSON such as {"team/*": ["join", "read"]}') from None
        found: list[str] | dict[str, list[str]] = rooms
    else:
        words = found = text.replace(",", " ").split()
    if unknown := [word for word in words if word not in WORDS]:
        raise NoToken(f"{unknown[0]!r} is no permission; there are {', '.join(WORDS)}")
    return found


def check(config: Config, token: str, now: float, room: str) -> str:
    """What the token says and permits, in lines of text. Raises NoToken when it is not good.

    Reads the files that the configuration names, and asks the issuer, where there is one.
    """
    auth = config.auth
    try:
        verifier = Verifier(auth, read_keys(auth))
        if auth.jwks_is_url:
            verifier.ring.publish(read_set(asyncio.run(fetch(auth.jwks))).keys)
        identity = verifier.verify(token.strip(), now)
    except InvalidToken as error:
        raise NoToken(f"bad ({error.reason}): {_why(error)}") from None
    except NotFetched as error:
        raise NoToken(f"{auth.jwks} cannot be had: {error}") from None
    except (UnusableKey, ValueError) as error:
        raise NoToken(str(error)) from None
    return "\n".join(_lines(identity, Policy(config), now, room)) + "\n"


def _why(error: InvalidToken) -> str:
    hint = _HINTS.get(error.reason)
    return f"{error.detail}; {hint}" if hint else error.detail


def _lines(identity: Identity, policy: Policy, now: float, room: str) -> list[str]:
    user, expires = identity.user, identity.expires_at
    assert expires is not None
    lines = [
        f"good for {user.id}" + (f" ({user.name})" if user.name != user.id else ""),
        f"until {_moment(expires)}, {_span(expires - now)} from now, the leeway included",
        "issued " + (_moment(identity.issued_at) if identity.issued_at is not None else "unknown"),
        f"id {identity.token_id or 'none: it cannot be revoked alone'}",
        "rooms " + (", ".join(identity.rooms) or "none" if identity.rooms is not None else "all"),
    ]
    for grant in identity.grants or ():
        words = ", ".join(word for word in WORDS if word in grant.words)
        lines.append(f"permits {words or 'nothing'} in {grant.pattern}")
    inside = room
    if room.startswith(private.DIRECT):
        try:
            inside = private.direct_room(user.id, private.named(room))
        except ValueError as error:
            raise NoToken(str(error)) from None
    may = ", ".join(policy.permissions(identity, inside)) or "nothing"
    lines.append(f"in {room}, by the rules too: {may}")
    lines.append("not looked at: whether it was revoked")
    return lines


def _moment(seconds: float) -> str:
    moment = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")


def _span(seconds: float) -> str:
    for unit, length in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} seconds"
