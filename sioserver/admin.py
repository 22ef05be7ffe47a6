"""What an operator may do from outside, and who is one: today, to revoke tokens.

One service behind every way in; it knows no HTTP. Who shows an API key, or a token that permits
`admin`, is an operator.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Awaitable, Callable
from typing import Final, Literal

from sioserver.auth import Identity, Policy
from sioserver.auth.api_keys import ApiKeys
from sioserver.auth.claims import MAX_TIME
from sioserver.config import Config
from sioserver.config.api_keys import ADMIN, ApiKey
from sioserver.engine.base import Engine
from sioserver.errors import InvalidToken, Refusal
from sioserver.metrics import Metrics
from sioserver.model import Revocation

log = logging.getLogger(__name__)

MAX_ID: Final = 256

NEEDED: Final = "an API key, or a token that permits admin, is needed"

_JWT: Final = re.compile(r"eyJ[\w-]*\.[\w-]+\.[\w-]*", re.ASCII)

Identify = Callable[[str], Awaitable[Identity]]


class Admin:
    """The operator's requests. Methods raise `Refusal`."""

    def __init__(
        self,
        config: Config,
        engine: Engine,
        policy: Policy,
        metrics: Metrics,
        clock: Callable[[], float],
        identify: Identify,
    ) -> None:
        """`identify`: who has this token, see `Identities.identify`."""
        self._keys = ApiKeys(config.api.keys)
        self._takes_tokens = config.auth.takes_tokens
        self._lifetime = config.auth.max_lifetime + config.auth.leeway
        self._tokens = engine.tokens
        self._policy = policy
        self._metrics = metrics
        self._clock = clock
        self._identify = identify

    @property
    def reachable(self) -> bool:
        """Can there be an operator at all?"""
        return bool(self._keys) or self._takes_tokens

    # ------------------------------------------------------------ who

    def by_key(self, shown: str, perm: str) -> ApiKey | None:
        """The key that was shown, or None when it is none. Raises `Refusal("forbidden")` for one
        that is not for this."""
        key = self._keys.find(shown)
        if key is None:
            return None
        if not key.perms.intersection((perm, ADMIN)):
            raise Refusal("forbidden", f"this API key is not for {perm}")
        return key

    async def by_token(self, token: str) -> str:
        """The name of the token's user, who may do everything."""
        identity = await self.identify(token)
        self._policy.check_admin(identity)
        return f"the user {identity.user.id}"

    async def identify(self, token: str) -> Identity:
        """Whose token it is, operator or not."""
        if not self._takes_tokens:
            raise Refusal("unauthorized", NEEDED)
        return await self._identify(token)

    # ------------------------------------------------------------ revocations

    async def revoke_token(self, token: str, until: float | None, by: str) -> Revocation:
        """Refuse a token, named by its `jti` or by itself, until it expires. Whether it is good
        may not be known just now: that is "unavailable", not that there is nothing to revoke."""
        if _JWT.fullmatch(token):
            try:
                identity = await self._identify(token)
            except InvalidToken as error:
                if error.reason == "early":
                    text = "this token is not good yet, but will be: revoke it by its jti"
                else:
                    text = "this token is not taken anyway: nothing was revoked"
                raise Refusal("bad_request", text) from error
            if identity.token_id is None:
                raise Refusal("bad_request", "this token has no jti; revoke its user's instead")
            token, until = identity.token_id, identity.expires_at if until is None else until
        return await self._revoke("token", token, until, 0.0, by)

    async def revoke_user(
        self, user_id: str, before: float | None, until: float | None, by: str
    ) -> Revocation:
        """Refuse a user's tokens that were issued before a time (now)."""
        return await self._revoke("user", user_id, until, self._past(before), by)

    async def revoke_all(self, before: float | None, until: float | None, by: str) -> Revocation:
        """The same for everybody's."""
        return await self._revoke("all", "", until, self._past(before), by)

    async def _revoke(
        self,
        kind: Literal["token", "user", "all"],
        id: str,
        until: float | None,
        before: float,
        by: str,
    ) -> Revocation:
        if kind != "all":
            _check_id(id)
        now = self._clock()
        if until is None:
            until = now + self._lifetime  # none lives longer
        elif not now < until <= MAX_TIME:
            raise Refusal("bad_request", "until has to be a time to come, in seconds since 1970")
        rule = await self._tokens.revoke(Revocation(kind, id, until, before))
        self._metrics.count_revocation(kind)
        if kind == "token":
            log.info("%s revoked: the token %.80r", by, id)
        else:
            log.info("%s revoked: %s %.80r, issued before %.3f", by, kind, id, before)
        return rule

    def _past(self, before: float | None) -> float:
        now = self._clock()
        if before is None:
            return now
        if not 0 < before <= now:
            # or nobody could log in until then
            raise Refusal("bad_request", "before has to be a time gone by, in seconds since 1970")
        return before

    async def lift(self, kind: str, id: str, by: str) -> bool:
        """End a rule before its time. False: there is none."""
        lifted = await self._tokens.lift(kind, id)
        if lifted:
            self._metrics.count_revocation("lifted")
            log.info("%s lifted: %s %.80r", by, kind, id)
        return lifted

    async def revocations(
        self, after: tuple[str, str] | None, limit: int
    ) -> tuple[list[Revocation], bool]:
        """A page of the rules in force, and whether there are more."""
        found = await self._tokens.revocations(self._clock(), after=after, limit=limit + 1)
        return found[:limit], len(found) > limit


def _check_id(id: str) -> None:
    if not (0 < len(id) <= MAX_ID and id.isprintable()):
        raise Refusal("bad_request", f"an id has 1 to {MAX_ID} printable characters")
