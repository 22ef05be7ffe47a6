"""Searching a room's history: who may, how often, and how many at a time.

Part of `RoomService`. What is found is the engine's business, what a query means `matching`'s.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from sioserver import wire
from sioserver.actors import Actor
from sioserver.auth import Policy
from sioserver.engine.base import Engine
from sioserver.engine.base_search import Found
from sioserver.errors import Refusal
from sioserver.limits import Budget

AT_ONCE: Final = 2
"""Searches of a node at a time, so that others always come between."""
WAITING: Final = 64
"""Searches that may wait for those."""


class Search:
    """See the module. Methods raise `Refusal`."""

    def __init__(
        self,
        engine: Engine,
        policy: Policy,
        budget: Budget,
        check: Callable[[Actor], float],
    ) -> None:
        """`check`: may the client ask for something at all? See `Identities`."""
        self._engine = engine
        self._policy = policy
        self._budget = budget
        self._check = check
        self._places = asyncio.Semaphore(AT_ONCE)
        self._waiting = 0

    async def find(self, client: Actor, request: wire.SearchRequest) -> Found:
        """The newest messages that say what is looked for."""
        now = self._check(client)
        self._policy.check(client.identity, "history", client.room)
        if not client.identity.operator:
            self._budget.check_search(client.user.id, now)
        if self._waiting >= WAITING:
            raise Refusal("unavailable", "too many searches just now", retry_after=1.0)
        self._waiting += 1
        try:
            await self._places.acquire()
        finally:
            self._waiting -= 1
        try:
            self._check(client)  # it may have left, or been put out, while it waited
            return await self._engine.search.find(
                client.room, request.query, before=request.before, limit=request.limit
            )
        finally:
            self._places.release()
