"""Who asks the HTTP API: an operator, by an API key or a token for `admin`, or a user, by a token.

Both stand in a header; nothing in the address and no cookie is looked at. Wrong keys and tokens are
paced by address, as those of clients are: then none is looked at, but a good key is always good.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

import msgspec
from aiohttp import web

from sioserver import admission
from sioserver.admin import NEEDED, Admin
from sioserver.admission import Admission
from sioserver.auth import Identity, Policy
from sioserver.auth.bearer import bearer
from sioserver.auth.identity import Grant
from sioserver.auth.policy import ADMIN
from sioserver.config.api_keys import ROOMS
from sioserver.errors import Refusal
from sioserver.metrics import Metrics
from sioserver.model import User

_NEEDED: Final = {ROOMS: "a token, or an API key for rooms, is needed"}
"""What is said to who shows nothing, where it is not only for operators."""

Guard = Callable[[web.Request, str], Awaitable[str]]
"""Lets those in who may do what the word says, and answers with a name for the log. Raises
`Refusal`, and `web.HTTPNotFound` where nobody may."""


class Caller(msgspec.Struct, frozen=True):
    """Who asks."""

    name: str
    """For the log."""
    identity: Identity | None
    """The token's. None: it was an API key."""
    operator: bool
    """May do everything in all rooms, and in anybody's name."""
    admin: bool
    """May do everything."""

    def acting(self, user: User | None) -> Identity:
        """Whose request it is: the caller's own, or that of a `user` in whose name an operator
        asks. Raises `Refusal`."""
        if not self.operator:
            assert self.identity is not None
            if user is not None and user.id != self.identity.user.id:
                raise Refusal("forbidden", "only operators ask in somebody else's name")
            return self.identity
        if user is None:
            # who only reads need not be anybody
            own = None if self.identity is None else self.identity.user
            user = own or User(self.name, self.name, guest=True)
        grants = (Grant.everywhere(ADMIN),) if self.admin else None
        return Identity(user, authenticated=True, operator=True, grants=grants)


class Callers:
    """Finds out."""

    def __init__(
        self,
        admin: Admin,
        policy: Policy,
        admit: Admission,
        metrics: Metrics,
        clock: Callable[[], float],
        address: Callable[[web.Request], str],
    ) -> None:
        self._admin = admin
        self._policy = policy
        self._admit = admit
        self._metrics = metrics
        self._clock = clock
        self._address = address

    async def operator(self, request: web.Request, perm: str) -> str:
        """See `Guard`."""
        try:
            caller = await self._find(request, perm)
            if caller.identity is not None:  # keys say themselves what they are for
                self._policy.check_admin(caller.identity)
        except Refusal as error:
            self._metrics.count_admin_refusal(error.code)
            raise
        return caller.name

    async def caller(self, request: web.Request, perm: str) -> Caller:
        """A user, or an operator, whose key has to be for `perm`. Raises as `Guard` does."""
        return await self._find(request, perm)

    def address(self, request: web.Request) -> str | None:
        """Under what the caller's address is counted, and can be banned: see `admission.whose`."""
        return admission.whose(self._address(request))

    async def _find(self, request: web.Request, perm: str) -> Caller:
        admin = self._admin
        if not admin.reachable:
            raise web.HTTPNotFound
        shown, token = _shown(request)
        key = None if shown is None else admin.by_key(shown, perm)
        if key is not None:
            return Caller(f"the key {key.name}", None, operator=True, admin=ADMIN in key.perms)
        whose = self.address(request)
        wait = self._admit.try_token(whose, self._clock()) if shown is not None else 0.0
        if wait:
            raise Refusal("rate_limited", "too many bad keys; try later", retry_after=wait)
        try:
            if token is None:
                raise Refusal("unauthorized", _NEEDED.get(perm, NEEDED))
            identity = await admin.identify(token)
        except Refusal as error:
            if error.code == "unauthorized" and shown is not None:
                self._admit.token_was_bad(whose, self._clock())
            raise
        admin_too = self._policy.is_admin(identity)
        return Caller(f"the user {identity.user.id}", identity, admin_too, admin_too)


def _shown(request: web.Request) -> tuple[str | None, str | None]:
    """What may be a key, and what may be a token."""
    token = bearer(request.headers.get("Authorization"))
    return request.headers.get("X-API-Key", "").strip() or token, token
