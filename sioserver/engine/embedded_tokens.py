"""The embedded engine's tables of secrets and revocations, in SQL.

Like `embedded_tables`: called in the store's thread, inside its transactions. It does not know
what a token looks like.
"""

from __future__ import annotations

import secrets

from sioserver.engine.embedded_tables import Tables
from sioserver.model import Revocation


def find_secret(tables: Tables, name: str) -> bytes | None:
    """A secret, if it was made before."""
    row: tuple[bytes] | None = tables.connection.execute(
        "SELECT value FROM secret WHERE name = ?", (name,)
    ).fetchone()
    return None if row is None else row[0]


def make_secret(tables: Tables, name: str) -> bytes:
    """See `Tokens.secret`. An earlier one stays."""
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
