"""Who a client is, and who may use the HTTP API: tokens and keys.

What somebody may do in a room is said by the rules of the rooms.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

from sioserver.config.sections.settings import Positive, Seconds, Section, about

Algorithm = Literal[
    "HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512",
    "ES256", "ES384", "ES512", "EdDSA",
]  # fmt: skip


KEY_SOURCES: Final = "auth.secret, auth.public_keys or auth.jwks"
"""For messages: what one of has to be set, so that tokens can be verified."""


class Auth(Section, frozen=True):
    """Who a client is. Tokens are JWTs; with neither a secret nor keys nobody has one, and
    everybody is anonymous."""

    secret: Annotated[
        str,
        about(
            "Secret that your backend signs tokens with: HS256 from 32 bytes on, HS384 from 48, "
            "HS512 from 64.",
            secret=True,
        ),
    ] = ""
    old_secrets: Annotated[
        list[str],
        about(
            "Earlier secrets, whose tokens count until they expire (at most 8).",
            secret=True,
        ),
    ] = []
    public_keys: Annotated[
        list[str],
        about(
            "PEM files (at most 16), each with a public key or certificate that verifies tokens: "
            "RS and PS algorithms (RSA from 2048 bits on), ES (P-256, P-384, P-521), EdDSA "
            "(Ed25519, Ed448)."
        ),
    ] = []
    jwks: Annotated[
        str,
        about(
            "JSON Web Key Set of an issuer: its address (https://, or http:// on this machine), "
            "which is asked while the server runs, or a file."
        ),
    ] = ""
    jwks_refresh: Annotated[
        Positive, about("Pause between two fetches of the key set at an address.")
    ] = 600.0
    jwks_cooldown: Annotated[
        Positive,
        about(
            "A token with an unknown `kid` makes the server fetch the key set anew, but at most "
            "once in this time."
        ),
    ] = 10.0
    algorithms: Annotated[
        list[Algorithm],
        about(
            "The only algorithms that are taken. Empty: those that fit the kind of each key, as "
            "it is always."
        ),
    ] = []
    audience: Annotated[str, about("Tokens must carry this `aud`. Empty: not checked.")] = ""
    issuer: Annotated[str, about("Tokens must carry this `iss`. Empty: not checked.")] = ""
    leeway: Annotated[Seconds, about("Clock skew that is forgiven in `exp`, `nbf`, `iat`.")] = 5.0
    max_lifetime: Annotated[
        Positive,
        about("Tokens must not live longer than this, from `iat` (or from now) to `exp`."),
    ] = 400 * 86400.0
    anonymous: Annotated[
        bool,
        about(
            "Where there are tokens: let clients without one in too, as guests, into the rooms "
            "that allow it."
        ),
    ] = False
    insecure_anonymous: Annotated[
        bool,
        about("Let everybody in on a public address: nobody has to show a token."),
    ] = False
    allow_query_token: Annotated[
        bool,
        about(
            "Take tokens from the address too (`?token=` or `?access_token=`), where proxies and "
            "others log them."
        ),
    ] = False
    expiry_notice: Annotated[
        Seconds, about("A client is told this long before its token expires.")
    ] = 60.0
    recovery_max_age: Annotated[
        Positive,
        about(
            "How long, counted from when it began, a connection can be recovered under its old "
            "session id. What it missed is replayed afterwards too."
        ),
    ] = 30 * 86400.0

    @property
    def takes_tokens(self) -> bool:
        """Is there anything to verify tokens with?"""
        return bool(self.secret or self.old_secrets or self.public_keys or self.jwks)

    @property
    def jwks_is_url(self) -> bool:
        """Is the key set at an address, and not in a file?"""
        return "://" in self.jwks


class Api(Section, frozen=True):
    """The HTTP API, at /api/."""

    keys: Annotated[
        list[str],
        about(
            "API keys, each as NAME:WHAT:sha256:HASH, where WHAT is what it is for: admin, rooms "
            "or metrics; `sioserver apikey make NAME --for WHAT` makes one. Without any, and "
            "without tokens, there is no such API."
        ),
    ] = []
