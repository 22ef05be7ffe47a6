"""The clients of this node by the token that they showed: a revocation finds its own at once.

A user's or a token's clients are found without a look at anybody else's. Ends them in slices, for a
rule may concern everybody. It knows no store, and not what a client's room or edge is.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Iterable
from typing import Final

from sioserver.auth import Identity
from sioserver.errors import Disconnect
from sioserver.local import Client
from sioserver.model import Credentials, Revocation

log = logging.getLogger(__name__)

SLICE: Final = 0.005
"""Seconds for which clients are ended in one turn of the event loop."""


class Holders:
    """Who is here on which token. Clients without one are not concerned."""

    def __init__(self) -> None:
        self._users: dict[str, set[Client]] = {}
        self._tokens: dict[str, set[Client]] = {}
        # clients that are still to be looked at, each lot with its rule: as many as there are rules
        # that were made while the last ones are carried out
        self._waiting: deque[tuple[Revocation, deque[set[Client]]]] = deque()

    def __len__(self) -> int:
        """Users with a token."""
        return len(self._users)

    def add(self, client: Client) -> None:
        """The client has shown the token that its identity was read from."""
        identity = client.identity
        if not identity.authenticated:
            return
        self._users.setdefault(identity.user.id, set()).add(client)
        if identity.token_id is not None:
            self._tokens.setdefault(identity.token_id, set()).add(client)

    def remove(self, client: Client) -> None:
        """The client has gone, or is about to get another identity. Unknown ones are ignored."""
        identity = client.identity
        _discard(self._users, identity.user.id, client)
        if identity.token_id is not None:
            _discard(self._tokens, identity.token_id, client)

    def revoked(self, rule: Revocation) -> None:
        """End the clients that the rule concerns, now as far as that is quick."""
        lots: Iterable[set[Client]]
        if rule.kind == "token":
            lots = [self._tokens.get(rule.id, set())]
        elif rule.kind == "user":
            lots = [self._users.get(rule.id, set())]
        else:
            lots = self._users.values()
        self._waiting.append((rule, deque(lots)))
        if len(self._waiting) == 1:
            self._go_on()

    def _go_on(self) -> None:
        loop = asyncio.get_running_loop()
        until = loop.time() + SLICE
        while self._waiting:
            rule, lots = self._waiting[0]
            while lots:
                # those who come meanwhile were compared with the rule
                for client in list(lots[0]):
                    if rule.concerns(credentials(client.identity)):
                        if loop.time() > until:
                            loop.call_soon(self._go_on)
                            return
                        self.remove(client)
                        try:
                            client.outbox.close(client, Disconnect("token_revoked"))
                        except Exception:  # the others are ended
                            log.exception("a client could not be ended")  # the others are
                lots.popleft()
                if loop.time() > until:
                    loop.call_soon(self._go_on)
                    return
            self._waiting.popleft()


def credentials(identity: Identity) -> Credentials:
    """What of an identity the rules look at."""
    return Credentials(identity.user.id, identity.token_id, identity.issued_at or 0.0)


def _discard(table: dict[str, set[Client]], name: str, client: Client) -> None:
    clients = table.get(name)
    if clients is not None:
        clients.discard(client)
        if not clients:
            del table[name]
