"""Searching a room's log by looking at its messages, where there is no index.

Reads pages of history, newest first, and lets others have a turn in between. It knows no store.
"""

from __future__ import annotations

import asyncio
from typing import Final, Protocol

from sioserver.engine.base_search import Found
from sioserver.matching import Query, text_of
from sioserver.model import Message, Page

PAGE: Final = 100
"""Messages that are read at a time."""
SLICE: Final = 0.002
"""Seconds for which messages are looked at in one turn of the event loop."""


class History(Protocol):
    """`Engine.history`."""

    async def __call__(self, room: str, /, *, before: int | None, limit: int) -> Page: ...


class Scan:
    """See `base_search.Search`."""

    def __init__(self, history: History, most: int) -> None:
        """`most`: messages that one search looks at."""
        self._history = history
        self._most = most

    async def find(self, room: str, query: Query, *, before: int | None, limit: int) -> Found:
        """See `Search.find`."""
        loop = asyncio.get_running_loop()
        until = loop.time() + SLICE
        found: list[Message] = []
        left = self._most
        while True:
            page = await self._history(room, before=before, limit=min(PAGE, left))
            for message in reversed(page.messages):
                if query.matches(text_of(message.body)):
                    found.append(message)
                    if len(found) == limit:
                        offset = message.offset
                        return Found(found, offset, offset if offset > page.first else None, True)
                if loop.time() > until:
                    await asyncio.sleep(0)
                    until = loop.time() + SLICE
            if page.start <= page.first:
                return Found(found, page.first, None, True)
            # a page of operations only counts too: each was looked at
            left -= max(1, len(page.messages))
            before = page.start
            if left <= 0:
                return Found(found, page.start, page.start, False)
