"""Searching in the embedded engine: an index of what the messages say, in SQLite's FTS5.

The index follows the log when somebody searches: what came since the last search of the room is
indexed first, in portions, each a job of its own. So posting costs nothing, and rooms in which
nobody searches have no index. What is edited, deleted or trimmed goes out of the index in the same
transaction (`forget`, `cut`), so nothing is found, or kept, that is not said any more.

It is made of trigrams: three letters that follow one another. They find the messages that may
match, and whether they do is `matching`'s word. Ideographs, of which two or one are a word, are
indexed by ones and twos besides. A query with nothing to look up (one or two other letters) is
answered by looking at the messages, as it is where SQLite has no trigrams.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final, NamedTuple

from sioserver.engine.base_search import Found
from sioserver.engine.embedded_pages import page, some
from sioserver.engine.embedded_store import Journal
from sioserver.engine.embedded_tables import SHIFT, Tables
from sioserver.engine.scan import Scan
from sioserver.errors import Refusal
from sioserver.matching import Query, text_of
from sioserver.model import Message

PORTION: Final = 200
"""Entries of the log that one job indexes at most."""
LETTERS: Final = 40_000
"""... or about so many letters: some 20 ms of the store's thread."""
PATIENCE: Final = 3.0
"""Seconds for which a search waits for the index."""
CANDIDATES: Final = 500
"""Messages that one job compares at most."""
WINDOW: Final = 20_000
"""Offsets that one job looks for them in."""
JOBS: Final = 64
"""Jobs of one search at most."""
TOKENS: Final = 32
"""Trigrams of a query that are looked up; the rest is compared."""

_IDEOGRAPHS: Final = re.compile(
    "[\u2e80-\u2fdf\u3005-\u3007\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af"
    "\U00020000-\U0003ffff]+"
)
# `fold` makes spaces of these two.
_MARK: Final = "\x1f"
"""Between ideographs: so each, and each two that follow one another, are three letters."""
_END: Final = "\x1e"
"""Behind what the message says."""


class Step(NamedTuple):
    """What one job has found."""

    messages: list[Message]
    end: int
    """All were looked at from this offset on."""
    first: int
    """The room's log begins here."""
    looked: int
    """Messages that were compared."""


class EmbeddedSearch:
    """See `base_search.Search`."""

    def __init__(
        self, journal: Journal, scan: Scan, first: Callable[[str], Awaitable[int]], most: int
    ) -> None:
        """`first`: where a room's log begins, for others than the store. `most`: messages that one
        search compares."""
        self._journal = journal
        self._scan = scan
        self._first = first
        self._most = most

    async def find(self, room: str, query: Query, *, before: int | None, limit: int) -> Found:
        """See `Search.find`."""
        wanted = expression(query)
        if wanted is None or not await self._is_ready(room):
            return await self._scan.find(room, query, before=before, limit=limit)
        least = await self._first(room)
        found: list[Message] = []
        left = self._most
        for _ in range(JOBS):
            step = await self._journal.read(
                partial(
                    _find,
                    room=room,
                    query=query,
                    wanted=wanted,
                    before=before,
                    limit=limit - len(found),
                    least=least,
                )
            )
            found += step.messages
            before = step.end
            if step.end <= step.first:
                return Found(found, step.first, None, True)
            if len(found) == limit:
                return Found(found, step.end, step.end, True)
            left -= step.looked
            if left <= 0:
                break
        assert before is not None
        return Found(found, before, before, False)

    async def _is_ready(self, room: str) -> bool:
        """Index what is new. False: there is no index."""
        loop = asyncio.get_running_loop()
        until = loop.time() + PATIENCE
        while True:
            state = await self._journal.read(partial(_lacks, room=room))
            if not state:
                return state is not None
            if loop.time() > until:
                raise Refusal(
                    "unavailable",
                    "what was said in this room is still being indexed; search again in a moment",
                    retry_after=1.0,
                )
            await self._journal.write(partial(_follow, room=room))


def expression(query: Query) -> str | None:
    """What to look up: letters that are in every message that matches. None: nothing."""
    tokens: dict[str, None] = {}
    for term in sorted(query.terms, key=len, reverse=True):
        if len(term) >= 3:
            tokens.update(dict.fromkeys(term[at : at + 3] for at in range(len(term) - 2)))
        elif _IDEOGRAPHS.fullmatch(term):
            tokens[_MARK + term + _MARK if len(term) == 1 else _MARK.join(term)] = None
    if not tokens:
        return None
    few = list(tokens)[:: -(-len(tokens) // TOKENS)]
    return " AND ".join('"' + token.replace('"', '""') + '"' for token in few)


def indexed(text: str) -> str:
    """A folded text, as it is in the index."""
    runs = [] if text.isascii() else _IDEOGRAPHS.findall(text)
    if not runs:
        return text
    return text + _END + "".join(f"{_MARK}{_MARK.join(run)}{_MARK}" for run in runs)


# ---------------------------------------------------------------------------- in the store's thread


def _lacks(tables: Tables, room: str) -> bool | None:
    """Is there something that is not indexed yet? None: there is no index."""
    if not tables.searchable:
        return None
    head = tables.head(room)
    return head is not None and max(_upto(tables, head.id), head.first - 1) < head.top


def _upto(tables: Tables, room: int) -> int:
    row = tables.connection.execute("SELECT upto FROM indexed WHERE room = ?", (room,)).fetchone()
    return row[0] if row else 0


def _follow(tables: Tables, room: str) -> None:
    """Index the next portion."""
    head = tables.head(room)
    if head is None:
        return
    run = tables.connection.execute
    upto = max(_upto(tables, head.id), head.first - 1)
    texts: dict[int, str] = {}
    letters = 0
    for entry in page(tables, room, upto, None, PORTION, ops=True).messages:
        upto = entry.offset
        if entry.kind in ("message", "edit"):  # both say what the message says now
            text = text_of(entry.body)
            texts[entry.target or entry.offset] = text
            letters += len(text)
            if letters > LETTERS:
                break
    base = head.id << SHIFT
    for offset, text in texts.items():
        if text and offset >= head.first:
            run(
                "INSERT OR REPLACE INTO said (rowid, text) VALUES (?, ?)",
                (base + offset, indexed(text)),
            )
    run("INSERT OR REPLACE INTO indexed (room, upto) VALUES (?, ?)", (head.id, upto))


def _find(
    tables: Tables,
    room: str,
    query: Query,
    wanted: str,
    before: int | None,
    limit: int,
    least: int,
) -> Step:
    head = tables.head(room)
    if head is None:
        return Step([], 1, 1, 0)
    first = max(head.first, least)
    high = head.top + 1 if before is None else min(before, head.top + 1)
    end = max(first, high - WINDOW)
    base = head.id << SHIFT
    offsets: list[int] = []
    looked = 0
    for row, text in tables.connection.execute(
        "SELECT rowid, text FROM said WHERE said MATCH ? AND rowid >= ? AND rowid < ? "
        "ORDER BY rowid DESC LIMIT ?",
        (wanted, base + end, base + max(end, high), CANDIDATES),
    ):
        looked += 1
        if query.matches(text.partition(_END)[0]):
            offsets.append(row - base)
        if looked == CANDIDATES or len(offsets) == limit:
            end = row - base
            break
    messages = some(tables, head, offsets)
    messages.reverse()
    # By what they say now, in any case: the index of a store that was used by a Python without
    # trigrams in between may be behind.
    messages = [one for one in messages if query.matches(text_of(one.body))]
    return Step(messages, end, first, looked)
