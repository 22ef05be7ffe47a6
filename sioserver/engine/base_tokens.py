"""The contract of an engine, the part of tokens: the rules by which they are refused.

See `base` for what holds of all parts. It knows neither what a token looks like nor who showed one.
"""

from __future__ import annotations

from typing import Protocol

from sioserver.model import Credentials, Revocation


class TokensListener(Protocol):
    """What an engine calls, as in `EngineListener`."""

    def on_revoked(self, rule: Revocation) -> None:
        """Tokens are refused from now on that were not, through whichever node: end the clients
        here that showed one of them. Comes within a second, and if this node could not be told,
        when it can be told again; a rule may come more than once."""


class Tokens(Protocol):
    """Which tokens are refused. Durable."""

    async def revoke(self, rule: Revocation) -> Revocation:
        """Refuse tokens from now on, and announce it on every node. Another rule of the same kind
        and id is joined with this one: the later of both times counts; what is returned is in
        force. Too many rules are a `Refusal("too_many")`."""

    async def lift(self, kind: str, id: str) -> bool:
        """End a rule before its time. False: there was none."""

    async def revoked(self, token: Credentials, now: float) -> bool:
        """Is the token refused? Looks at what is known here, and only asks elsewhere when this node
        may not have heard of everything."""

    async def revocations(
        self, now: float, *, after: tuple[str, str] | None = None, limit: int
    ) -> list[Revocation]:
        """The rules in force, by kind and id, at most `limit` behind that kind and id."""
