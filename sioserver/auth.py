"""Who somebody is and what they may do: tokens, anonymous users, the rules of the rooms.

Pure policy: values in, values or a `Refusal` out. The module knows no clock (`now` is seconds since
1970), no engine (revocation is asked there) and no wire. It is the only one that reads JWTs.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import math
import re
import unicodedata
import zlib
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from hashlib import sha256
from typing import Any, Final

import jwt
import msgspec
from jwt.algorithms import HMACAlgorithm

from sioserver.config import Config, RoomRule
from sioserver.config.schema import Auth
from sioserver.errors import Refusal
from sioserver.model import User

MAX_NAME: Final = 128
MAX_TOKEN: Final = 8192
MIN_SECRET: Final = 32
MAX_TIME: Final = 253_402_300_799.0
"""The last second of the year 9999: later times are taken for it, so that a date can hold them."""

GUEST: Final = "guest:"
"""User ids that begin so are made up by the server and can be claimed by nobody."""

SESSION_ROOM: Final = "@me"
PERMISSIONS: Final = ("join", "read", "history", "post")

ALGORITHMS: Final = ["HS256"]
"""Pinned: what a token's own header says is never asked."""

# Signs that show as nothing although Unicode does not file them under control or format: fillers,
# variation selectors, the empty Braille pattern. With them two ids could look the same.
_INVISIBLE: Final = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
# Marks that may stand on one letter. Four is enough for every living script; more is a flood that
# paints over the neighbours.
_MAX_MARKS: Final = 4


# ---------------------------------------------------------------------------- names


def check_user_id(text: str) -> str:
    """Return the id as it is, or raise ValueError. Nothing is repaired: two texts that were made
    equal by the server would be two people with one account."""
    if not 0 < len(text) <= MAX_NAME:
        raise ValueError(f"a user id has 1 to {MAX_NAME} characters")
    # no control, bidi, zero-width, private or unassigned sign, no surrogate, no space but " "
    if not text.isprintable() or _INVISIBLE.search(text):
        raise ValueError("a user id has visible characters only")
    if text[0] == " " or text[-1] == " ":
        raise ValueError("a user id does not begin or end with a space")
    if not unicodedata.is_normalized("NFC", text):
        raise ValueError("a user id is in Unicode form NFC")
    if _thin_out(text) != text:
        raise ValueError(f"a user id has at most {_MAX_MARKS} marks on a letter")
    if text.startswith(GUEST):
        raise ValueError(f"a user id does not begin with {GUEST!r}")
    return text


def clean_name(text: str, limit: int = MAX_NAME) -> str:
    """A name as others may see it: whatever could deceive or paint over them is left out.

    The result is in form NFC, has at most `limit` characters and may be empty.
    """
    text = text[: 4 * limit]  # normalizing takes quadratic time on a flood of marks
    words = " ".join(text.split())
    if not words.isascii() or not words.isprintable():
        seen = "".join(sign for sign in words if sign.isprintable())
        seen = unicodedata.normalize("NFC", _INVISIBLE.sub("", seen))
        words = " ".join(_thin_out(seen).split())
    return words[:limit].rstrip()


def _thin_out(text: str) -> str:
    """Without marks that have no letter to stand on, or too many neighbours."""
    if text.isascii():
        return text
    kept: list[str] = []
    marks = _MAX_MARKS  # at the beginning and behind a space there is no letter
    for sign in text:
        if unicodedata.category(sign) in ("Mn", "Me"):
            marks += 1
            if marks > _MAX_MARKS:
                continue
        else:
            marks = _MAX_MARKS if sign == " " else 0
        kept.append(sign)
    return "".join(kept)


# ---------------------------------------------------------------------------- who


class Identity(msgspec.Struct, frozen=True):
    """Who a connection speaks for, and what their token says about them."""

    user: User
    expires_at: float | None = None
    """The first moment at which the token no longer counts: its `exp` plus the leeway."""
    token_id: str | None = None
    """The token's `jti`, by which it can be revoked."""
    rooms: tuple[str, ...] | None = None
    """Patterns of the rooms that the token is for; None is all."""
    perms: frozenset[str] | None = None
    """What the token permits; None is everything that the rooms' rules permit."""
    authenticated: bool = False
    """A token proved who this is."""


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


# ---------------------------------------------------------------------------- what


class Policy:
    """What an identity may do in a room, by the configuration's rules and the token's claims."""

    CACHED = 10_000

    def __init__(self, config: Config) -> None:
        self._rules = tuple(config.rooms.rules)
        self._default = RoomRule()
        self._known: dict[str, RoomRule] = {}

    def rule(self, room: str) -> RoomRule:
        """The first rule whose pattern matches, else the defaults."""
        if not self._rules:
            return self._default
        rule = self._known.get(room)
        if rule is None:
            rule = self._find(room)
            if len(self._known) >= self.CACHED:
                self._known.clear()  # cheaper than keeping an order that nearly nobody needs
            self._known[room] = rule
        return rule

    def _find(self, room: str) -> RoomRule:
        if not room.startswith("@"):
            for rule in self._rules:
                if fnmatchcase(room, rule.match):
                    return rule
        return self._default

    def check_join(self, identity: Identity, room: str) -> None:
        """May they come in? Raises `Refusal("forbidden")` that says why not, like the others."""
        self._check(identity, room, "join")

    def check_read(self, identity: Identity, room: str) -> None:
        """May they see what happens in the room?"""
        self._check(identity, room, "read")

    def check_history(self, identity: Identity, room: str) -> None:
        """May they see what happened before?"""
        self._check(identity, room, "history")

    def check_post(self, identity: Identity, room: str) -> None:
        """May they post?"""
        self._check(identity, room, "post")

    def permissions(self, identity: Identity, room: str) -> list[str]:
        """What they may do, in the order of `PERMISSIONS`."""
        return [what for what in PERMISSIONS if self._objection(identity, room, what) is None]

    def _check(self, identity: Identity, room: str, what: str) -> None:
        objection = self._objection(identity, room, what)
        if objection is not None:
            raise Refusal("forbidden", objection)

    def _objection(self, identity: Identity, room: str, what: str) -> str | None:
        """Why not, or None. Who may not come in may do nothing else from outside either."""
        if room.startswith("@"):
            if room != SESSION_ROOM:
                return "rooms that begin with @ are reserved"
            return None if what in ("join", "read") else f"there is nothing to {what} in @me"
        if identity.perms is not None and what not in identity.perms:
            return f"your token does not permit: {what}"
        if identity.rooms is not None and not _matches(room, identity.rooms):
            return "your token is not for this room"
        rule = self.rule(room)
        if not (rule.anonymous or identity.authenticated):
            return "this room is not open to anonymous users"
        if not _matches(identity.user.id, rule.join):
            return "you may not join this room"
        if what == "post" and not _matches(identity.user.id, rule.post):
            return "you may not post in this room"
        return None


def _matches(text: str, patterns: Sequence[str]) -> bool:
    return "*" in patterns or any(fnmatchcase(text, pattern) for pattern in patterns)


# ---------------------------------------------------------------------------- our own tokens

_FIELDS: Final = msgspec.msgpack.Decoder(dict[str, str | int])


class Signer:
    """Small tokens that only this cluster can make: anybody may read them, nobody can alter them.

    `base64url(msgpack(fields)) "." base64url(HMAC-SHA256, the first 128 bits)`, without padding.
    """

    MAX_LENGTH = 2048

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
