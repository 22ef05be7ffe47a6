"""Tokens in the embedded engine: the rules by which they are refused, here and in their table; and
the table of secrets.

The functions are called in the store's thread, inside its transactions, like `embedded_tables`. It
does not know what a token looks like.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Mapping

from sioserver.engine.base_tokens import TokensListener
from sioserver.engine.embedded_store import Journal
from sioserver.engine.embedded_tables import Tables
from sioserver.engine.revocations import Revocations
from sioserver.model import Credentials, Revocation

log = logging.getLogger(__name__)


class EmbeddedTokens:
    """See `base_tokens.Tokens`."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._rules = Revocations()
        self._listener: TokensListener

    async def start(self, listener: TokensListener) -> None:
        """Read all rules; the journal runs. Raises `Refusal`."""
        self._listener = listener
        for rule in await self._journal.read(revocations):
            self._rules.put(rule)

    def tidy(self, now: float) -> None:
        """Forget what is over. Raises `Refusal` when the store is closed."""
        if self._rules.forget(now):
            self._journal.post(lambda tables: forget(tables, now))

    def stats(self) -> Mapping[str, float]:
        """For `Engine.stats`."""
        return {"revocations": len(self._rules)}

    # -- the contract -----------------------------------------------------------------------------

    async def revoke(self, rule: Revocation) -> Revocation:
        """See `Tokens.revoke`."""
        self._rules.check_space(rule)
        return await self._journal.write(lambda tables: revoke(tables, rule), self._revoked)

    async def lift(self, kind: str, id: str) -> bool:
        """See `Tokens.lift`."""
        return await self._journal.write(
            lambda tables: lift(tables, kind, id), lambda _: self._rules.drop(kind, id)
        )

    async def revoked(self, token: Credentials, now: float) -> bool:
        """See `Tokens.revoked`."""
        return self._rules.refuses(token, now)

    async def revocations(
        self, now: float, *, after: tuple[str, str] | None = None, limit: int
    ) -> list[Revocation]:
        """See `Tokens.revocations`."""
        return self._rules.page(now, after, limit)

    def _revoked(self, rule: Revocation) -> None:
        if self._rules.put(rule):
            try:
                self._listener.on_revoked(rule)
            except Exception:  # the rule counts, whoever could not be ended
                log.exception("a revocation could not be announced")


# ---------------------------------------------------------------------------- in the store's thread


def find_secret(tables: Tables, name: str) -> bytes | None:
    """A secret, if it was made before."""
    row: tuple[bytes] | None = tables.connection.execute(
        "SELECT value FROM secret WHERE name = ?", (name,)
    ).fetchone()
    return None if row is None else row[0]


def make_secret(tables: Tables, name: str) -> bytes:
    """See `Engine.secret`. An earlier one stays."""
    value = find_secret(tables, name)
    if value is None:
        value = secrets.token_bytes(32)
        tables.connection.execute("INSERT INTO secret (name, value) VALUES (?, ?)", (name, value))
    return value


def revoke(tables: Tables, rule: Revocation) -> Revocation:
    """See `Tokens.revoke`."""
    row: tuple[float, float] | None = tables.connection.execute(
        "SELECT until, before FROM revocation WHERE kind = ? AND id = ?", (rule.kind, rule.id)
    ).fetchone()
    if row is not None:
        rule = rule.joined(Revocation(rule.kind, rule.id, *row))
    tables.connection.execute(
        "INSERT OR REPLACE INTO revocation (kind, id, until, before) VALUES (?, ?, ?, ?)",
        (rule.kind, rule.id, rule.until, rule.before),
    )
    return rule


def lift(tables: Tables, kind: str, id: str) -> bool:
    """See `Tokens.lift`."""
    found = tables.connection.execute(
        "DELETE FROM revocation WHERE kind = ? AND id = ?", (kind, id)
    )
    return found.rowcount > 0


def revocations(tables: Tables) -> list[Revocation]:
    """All rules."""
    found = tables.connection.execute("SELECT kind, id, until, before FROM revocation")
    return [Revocation(*row) for row in found.fetchall()]


def forget(tables: Tables, now: float) -> None:
    """Drop the rules that are over."""
    tables.connection.execute("DELETE FROM revocation WHERE until <= ?", (now,))
