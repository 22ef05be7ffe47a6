"""Who somebody is, and whether they may ask for anything: tokens are verified, looked up, replaced.

Part of `RoomService`. It compares an identity with a room's rules, but knows neither requests nor
what moderators have decided.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from sioserver import wire
from sioserver.actors import Actor
from sioserver.auth import Identity, Policy, Verifier
from sioserver.engine.base import Engine
from sioserver.errors import InvalidToken, Refusal
from sioserver.holders import credentials
from sioserver.hub import Client, Hub
from sioserver.metrics import Metrics


class Identities:
    """See the module. Methods raise `Refusal`."""

    def __init__(
        self,
        engine: Engine,
        hub: Hub,
        verifier: Verifier,
        policy: Policy,
        metrics: Metrics,
        clock: Callable[[], float],
        renew_keys: Callable[[], Awaitable[None]] | None,
    ) -> None:
        """`renew_keys`: see `RoomService`."""
        self._engine = engine
        self._hub = hub
        self._verifier = verifier
        self._policy = policy
        self._metrics = metrics
        self._clock = clock
        self._renew_keys = renew_keys

    # ------------------------------------------------------------ tokens

    async def identify(self, hello: wire.Hello, made_up: str) -> Identity:
        """Who is it? A token decides; without one, what the client says, where that is allowed."""
        if hello.token is None:
            return self._verifier.anonymous(hello.user, hello.name, made_up)
        return await self._identify(hello.token)

    async def _identify(self, token: str) -> Identity:
        try:
            identity = await self._verify(token)
        except InvalidToken as error:
            self._metrics.count_invalid_token(error.reason)
            raise
        await self.check_revoked(identity)
        return identity

    async def _verify(self, token: str) -> Identity:
        try:
            return self._verifier.verify(token, self._clock())
        except InvalidToken as error:
            if error.reason != "unknown_key" or self._renew_keys is None:
                raise
            try:
                await self._renew_keys()
            except Refusal:
                self._metrics.count_invalid_token(error.reason)
                raise
        return self._verifier.verify(token, self._clock())

    async def check_revoked(self, identity: Identity) -> None:
        """Raises `InvalidToken` for one whose token was revoked."""
        if identity.authenticated:
            token = credentials(identity)
            if await self._engine.tokens.revoked(token, self._clock()):
                self._metrics.count_invalid_token("revoked")
                raise InvalidToken("revoked", "it was revoked")

    async def refresh(self, client: Client, token: str) -> Identity:
        """A fresh token on a live connection: the same user, perhaps with other permissions."""
        self.check_in(client)  # also when the old token has just expired
        identity = await self._identify(token)
        if identity.user.id != client.user.id:
            raise Refusal("forbidden", "the token is another user's; open a new connection")
        self.check_in(client)  # it may have been ended while it was looked at
        self.check_entry(identity, client.room)
        self.adopt(client, identity)
        return identity

    def adopt(self, client: Client, identity: Identity) -> None:
        """The client speaks for this identity now, which was compared with the rules just before.
        Does not wait."""
        self._hub.holders.remove(client)
        client.identity = identity
        self._hub.holders.add(client)

    # ------------------------------------------------------------ whoever asks for something

    def check_entry(self, identity: Identity, room: str) -> None:
        """May it be in the room, by the room's rule?"""
        self._policy.check(identity, "join", room)
        self._policy.check(identity, "read", room)

    def check_in(self, client: Client) -> None:
        """Has the client joined its room, and not left it?"""
        if not self._hub.is_in(client):
            raise Refusal("not_member")

    def check(self, client: Actor) -> float:
        """The time, if the client may ask for something at all."""
        if isinstance(client, Client):
            self.check_in(client)
        else:
            self.check_entry(client.identity, client.room)  # nobody has let it in
        now = self._clock()
        expires = client.identity.expires_at
        if expires is not None and now >= expires:
            raise Refusal("token_expired")
        return now
