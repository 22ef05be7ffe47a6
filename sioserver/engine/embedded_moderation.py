"""Moderation in the embedded engine: its tables, in SQL, and the copies of the rooms here.

Copies are installed and changed in the order in which the journal hands its results out, so that
no change falls between a reading and what comes after it. What a rule means is for `moderated`.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final

from sioserver.engine import moderated
from sioserver.engine.base_moderation import ModerationListener, announce
from sioserver.engine.embedded_store import Journal
from sioserver.engine.embedded_tables import Tables
from sioserver.engine.embedded_webhooks import EmbeddedWebhooks
from sioserver.engine.moderated import Rules, name_of, name_of_setting, too_many
from sioserver.errors import Refusal
from sioserver.model import EVERYWHERE, Act, RoomSettings, Sanction, SanctionKind

log = logging.getLogger(__name__)

Put = tuple[str, bytes | None, float]
"""A change: the name of a record, what it is from now on (None: it goes), and until when."""

PRUNE_ROWS: Final = 10_000
"""Rows that one tidy round forgets."""


class EmbeddedModeration:
    """See `base_moderation.Moderation`."""

    def __init__(self, journal: Journal, webhooks: EmbeddedWebhooks | None = None) -> None:
        """`webhooks`: what keeps the notes of acts."""
        self._journal = journal
        self._webhooks = webhooks
        self._copies: dict[str, Rules | None] = {}
        """The rooms that are watched; None: not read yet."""
        self._rules: dict[str, Rules] = {}
        self._listener: ModerationListener

    async def start(self, listener: ModerationListener) -> None:
        """Begin to announce, with what holds everywhere; the journal runs. Raises `Refusal`."""
        self._listener = listener
        self._copies[EVERYWHERE] = None
        await self.look(EVERYWHERE)

    def watch(self, room: str) -> None:
        """See `Engine.watch`."""
        if room not in self._copies:
            self._copies[room] = None

    def unwatch(self, room: str) -> None:
        """See `Engine.unwatch`."""
        self._copies.pop(room, None)
        self._rules.pop(room, None)

    def tidy(self, now: float) -> None:
        """Forget what is over. Raises `Refusal` when the store is closed."""
        for room, rules in list(self._rules.items()):
            rules.forget(now)
            self._review(room, rules)
        self._journal.post(partial(_prune, now=now))

    def stats(self) -> Mapping[str, float]:
        """For `Engine.stats`."""
        return {
            "rooms_moderated": len(self._rules),
            "sanctions": sum(map(len, self._rules.values())),
        }

    # -- the contract -----------------------------------------------------------------------------

    @property
    def rules(self) -> Mapping[str, Rules]:
        """See `Moderation.rules`."""
        return self._rules

    async def look(self, room: str) -> Rules:
        """See `Moderation.look`."""
        copy = self._copies.get(room)
        if copy is not None:
            return copy
        # the copy is made where the result is handed out: a change may follow at once
        found: list[Rules] = []
        await self._journal.read(
            partial(_read, room=room), lambda rows: found.append(self._install(room, rows))
        )
        return found[0]

    async def impose(self, room: str, sanction: Sanction, act: Act) -> None:
        """See `Moderation.impose`."""
        name, data = name_of(sanction.kind, sanction.user), moderated.pack(sanction)
        await self._change(room, [(name, data, sanction.until)], act)

    async def lift(self, room: str, kind: SanctionKind, user_id: str, act: Act) -> bool:
        """See `Moderation.lift`."""
        return await self._change(room, [(name_of(kind, user_id), None, 0.0)], act, lifts=True)

    def learn(self, room: str, user_id: str, addresses: tuple[str, ...]) -> None:
        """See `Moderation.learn`."""
        try:
            self._journal.post(
                partial(_learn, room=room, user_id=user_id, addresses=addresses),
                done=lambda put: self._changed(room, [put] if put else []),
                failed=lambda reason: log.warning("addresses were not banned: %s", reason),
            )
        except Refusal as reason:
            log.warning("addresses were not banned: %s", reason)

    async def configure(self, room: str, changes: Mapping[str, Any], act: Act) -> RoomSettings:
        """See `Moderation.configure`."""
        puts: list[Put] = []
        for name, value in changes.items():
            data = None if value is None else moderated.pack_setting(value)
            puts.append((name_of_setting(name), data, float("inf")))
        await self._change(room, puts, act)
        return (await self.look(room)).settings

    async def acts(self, room: str, *, before: int | None = None, limit: int) -> list[Act]:
        """See `Moderation.acts`."""
        rows = await self._journal.read(partial(_acts, room=room, before=before, limit=limit))
        return [moderated.unpack_act(data, number) for number, data in rows]

    # -- copies -----------------------------------------------------------------------------------

    async def _change(
        self, room: str, puts: Sequence[Put], act: Act, *, lifts: bool = False
    ) -> bool:
        """`lifts`: nothing is done, and the answer is False, where there is nothing to take away.
        Raises `Refusal("too_many")`."""
        data, webhooks = moderated.pack_act(act), self._webhooks
        note = webhooks and webhooks.noting(room, "moderation", data, act.at)
        # To count 10 000 takes a millisecond, in which no message is stored: not where the copy
        # says that there are few, and what is under way cannot make them too many.
        copy = self._copies.get(room)
        counts = copy is None or len(copy) >= moderated.MOST // 2
        most = moderated.MOST if counts else None

        def write(tables: Tables) -> tuple[bool | None, int]:
            done = _write(tables, room, puts, act.at, data, lifts=lifts, most=most)
            return done, note(tables) if done and note else 0

        def written(found: tuple[bool | None, int]) -> None:
            done, dropped = found
            self._changed(room, puts if done else [])
            if done and note and webhooks:
                webhooks.noted(room, dropped)

        done, _ = await self._journal.write(write, written)
        if done is None:
            raise too_many()
        return done

    def _install(self, room: str, rows: Mapping[str, bytes]) -> Rules:
        rules = self._copies.get(room)
        if rules is None:
            rules = Rules(rows)
            if room in self._copies:
                self._copies[room] = rules
                self._review(room, rules)
        return rules

    def _changed(self, room: str, puts: Sequence[Put]) -> None:
        rules = self._copies.get(room)
        if rules is None:
            return
        settings: RoomSettings | None = None
        for name, data, _ in puts:
            change = rules.drop(name) if data is None else rules.put(name, data)
            self._review(room, rules)
            if isinstance(change, RoomSettings):
                settings = change
            elif change is not None:
                announce(self._listener, room, change, lifted=data is None)
        if settings is not None:  # once: they were set in one step
            announce(self._listener, room, settings, lifted=False)

    def _review(self, room: str, rules: Rules) -> None:
        if rules:
            self._rules[room] = rules
        else:
            self._rules.pop(room, None)


# ---------------------------------------------------------------------------- in the store's thread


def _read(tables: Tables, room: str) -> dict[str, bytes]:
    rows = tables.connection.execute("SELECT name, value FROM decision WHERE room = ?", (room,))
    return dict(rows.fetchall())


def _write(
    tables: Tables,
    room: str,
    puts: Sequence[Put],
    at: float,
    act: bytes,
    *,
    lifts: bool,
    most: int | None,
) -> bool | None:
    """`act`: the line of the record. False: nothing was taken away. None: there would be more than
    `most`, if that is looked at."""
    run = tables.connection.execute
    taken = 0
    for name, value, until in puts:
        if value is None:
            gone = run("DELETE FROM decision WHERE room = ? AND name = ?", (room, name))
            taken += gone.rowcount
            continue
        if most is not None:
            (others,) = run(
                "SELECT count(*) FROM decision WHERE room = ? AND name <> ?", (room, name)
            ).fetchone()
            if others >= most:
                return None
        run(
            "INSERT OR REPLACE INTO decision (room, name, value, until) VALUES (?, ?, ?, ?)",
            (room, name, value, until),
        )
    if lifts and not taken:
        return False
    run("INSERT INTO act (room, at, data) VALUES (?, ?, ?)", (room, at, act))
    run(
        "DELETE FROM act WHERE room = ?1 AND number <= "
        "(SELECT number FROM act WHERE room = ?1 ORDER BY number DESC LIMIT 1 OFFSET ?2)",
        (room, moderated.ACTS),
    )
    return True


def _learn(tables: Tables, room: str, user_id: str, addresses: tuple[str, ...]) -> Put | None:
    name = name_of("ban", user_id)
    row = tables.connection.execute(
        "SELECT value, until FROM decision WHERE room = ? AND name = ?", (room, name)
    ).fetchone()
    if row is None:
        return None
    data, until = row
    wider = moderated.pack(moderated.learned(moderated.unpack(name, data), addresses))
    if wider == data:
        return None
    tables.connection.execute(
        "UPDATE decision SET value = ? WHERE room = ? AND name = ?", (wider, room, name)
    )
    return name, wider, until


def _acts(tables: Tables, room: str, before: int | None, limit: int) -> list[tuple[int, bytes]]:
    return tables.connection.execute(
        "SELECT number, data FROM act WHERE room = ? AND number < ? ORDER BY number DESC LIMIT ?",
        (room, 2**63 - 1 if before is None else before, limit),
    ).fetchall()


def _prune(tables: Tables, now: float) -> None:
    tables.connection.execute(
        "DELETE FROM decision WHERE (room, name) IN "
        "(SELECT room, name FROM decision WHERE until <= ? LIMIT ?)",
        (now, PRUNE_ROWS),
    )
    tables.connection.execute(
        "DELETE FROM act WHERE number IN (SELECT number FROM act WHERE at < ? LIMIT ?)",
        (now - moderated.ACTS_AGE, PRUNE_ROWS),
    )
