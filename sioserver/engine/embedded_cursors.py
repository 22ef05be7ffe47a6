"""Proven cursors that are on their way into the embedded engine's table of members.

A cursor moves with every proof of delivery, far more often than a disk should be told: what came
since the last time is written as one lot, one lot at a time. Whoever reads a cursor meanwhile is
told what is proven. It does not know who is a member: cursors of others are nobody's.
"""

from __future__ import annotations

from msgspec.structs import replace

from sioserver.engine import embedded_members as rows
from sioserver.engine.embedded_store import Journal
from sioserver.errors import Refusal
from sioserver.model import Standing

Lot = dict[tuple[str, str], int]
"""Offsets by (room, user id)."""


class Cursors:
    """What is proven, as far as it may not be in the table yet."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self.waiting: Lot = {}
        """Still to be written down."""
        self._under_way: Lot = {}
        self._before: Lot = {}
        """The lot that was written last. Who read a cursor before may look at it only then."""

    def __len__(self) -> int:
        return len(self.waiting) + len(self._under_way)

    def advance(self, room: str, user_id: str, offset: int) -> None:
        """See `Members.advance`."""
        who = room, user_id
        if offset > self.waiting.get(who, 0):
            self.waiting[who] = offset

    def as_proven(self, room: str, user_id: str, stored: Standing) -> Standing:
        """As stored, but with the cursor that is not written down yet."""
        who = room, user_id
        lots = self.waiting, self._under_way, self._before
        proven = max(lot.get(who, 0) for lot in lots)
        cursor = min(proven, stored.top)
        if cursor <= stored.membership.cursor:
            return stored
        return replace(stored, membership=replace(stored.membership, cursor=cursor))

    def write(self) -> None:
        """Write them down with the next batch, one lot at a time. Does not wait, never fails."""
        if not self.waiting or self._under_way:
            return
        lot = self.waiting
        try:
            self._journal.post(
                lambda tables: rows.advance(tables, lot),
                done=self._written,
                failed=self._not_written,
            )
        except Refusal:
            return  # they stay until the next time
        self.waiting, self._under_way = {}, lot

    def _written(self, _: None) -> None:
        self._before, self._under_way = self._under_way, {}

    def _not_written(self, _: Refusal) -> None:
        lot, self._under_way = self._under_way, {}
        for (room, user_id), offset in lot.items():
            self.advance(room, user_id, offset)
