"""A token, or what an anonymous client says of itself, becomes an identity.

The way of a token: taken apart (`jws`), a key found and asked (`keys`), the claims read (`claims`).
No clock (`now` is seconds since 1970) and no engine: revocation is asked there.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable

from sioserver.auth.claims import read_claims
from sioserver.auth.identity import Identity
from sioserver.auth.jws import read_object, take_apart
from sioserver.auth.keys import Key, Ring, secret_key
from sioserver.auth.names import GUEST, check_user_id, clean_name
from sioserver.config.schema import Auth
from sioserver.errors import InvalidToken, Refusal
from sioserver.model import User


class Verifier:
    """Turns a token, or what an anonymous client says of itself, into an identity."""

    def __init__(self, auth: Auth, keys: Iterable[Key] = ()) -> None:
        """`keys`: those that are not in `auth` itself, but in files that it names. Raises
        ValueError for a secret that is none."""
        secrets = [("auth.secret", auth.secret)] if auth.secret else []
        secrets += [("auth.old_secrets", secret) for secret in auth.old_secrets]
        self._auth = auth
        self.ring = Ring((*_secret_keys(secrets), *keys), auth.algorithms, issuer=auth.jwks_is_url)

    @property
    def required(self) -> bool:
        """Nobody comes in without a token."""
        return self._auth.takes_tokens and not self._auth.anonymous

    def verify(self, token: str, now: float) -> Identity:
        """Raises `InvalidToken`, whose message never tells what was wrong: its `reason` and
        `detail` do, for the counters and the log."""
        if not self._auth.takes_tokens:
            raise InvalidToken("not_taken", "no key is configured", "this server takes no tokens")
        try:
            parts = take_apart(token)
        except (ValueError, RecursionError) as error:
            raise InvalidToken("malformed", f"no token: {_text_of(error)}") from None
        algorithm, key_id = parts.algorithm, parts.key_id
        for key in self.ring.find(algorithm, key_id):
            if key.verifies(algorithm, parts.signed, parts.signature):
                break
        else:
            fault = self.ring.fault(algorithm, key_id)
            raise InvalidToken(fault, f"no key has signed it (alg {algorithm:.20})")
        try:
            claims = read_object(parts.payload, "the payload")
        except (ValueError, RecursionError) as error:
            raise InvalidToken("claims", _text_of(error)) from None
        return read_claims(claims, self._auth, now)

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
        if user is None or self._auth.takes_tokens:
            # a checksum, because the ids of one node may all begin alike
            short = f"Guest-{zlib.crc32(made_up.encode()) & 0xFFFF:04X}"
            return Identity(User(GUEST + made_up, shown or short, guest=True))
        try:
            check_user_id(user)
        except ValueError as error:
            raise Refusal("bad_request", str(error)) from None
        return Identity(User(user, shown or user))


def _secret_keys(secrets: Iterable[tuple[str, str]]) -> Iterable[Key]:
    for setting, secret in secrets:
        try:
            yield secret_key(secret)
        except ValueError as error:
            raise ValueError(f"{setting}: {error}") from error


def _text_of(error: Exception) -> str:
    return "nested too deeply" if isinstance(error, RecursionError) else str(error)
