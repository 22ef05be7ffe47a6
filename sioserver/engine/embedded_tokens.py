"""The embedded engine's tables of secrets and revocations, in SQL.

Like `embedded_tables`: called in the store's thread, inside its transactions. It does not know
what a token looks like.
"""

from __future__ import annotations

import secrets

from sioserver.engine.embedded_tables import Tables


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


def revoke(tables: Tables, token_id: str, until: float) -> None:
    """See `Tokens.revoke`."""
    tables.connection.execute(
        "INSERT INTO revoked (token, until) VALUES (?, ?) "
        "ON CONFLICT (token) DO UPDATE SET until = max(until, excluded.until)",
        (token_id, until),
    )


def revoked(tables: Tables) -> dict[str, float]:
    """All revocations: token id -> seconds since 1970 at which it ends."""
    return dict(tables.connection.execute("SELECT token, until FROM revoked").fetchall())


def forget(tables: Tables, now: float) -> None:
    """Drop the revocations that are over."""
    tables.connection.execute("DELETE FROM revoked WHERE until <= ?", (now,))
