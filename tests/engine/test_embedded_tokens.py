from collections.abc import Iterator

import pytest

from sioserver.engine import embedded_tokens as tokens
from sioserver.engine.embedded_file import StoreFile
from sioserver.engine.embedded_tables import Tables


@pytest.fixture
def tables() -> Iterator[Tables]:
    file = StoreFile(":memory:", full=False)
    yield Tables(file.connection, dedup_window=100)
    file.close()


def test_a_secret_is_made_once(tables: Tables) -> None:
    assert tokens.find_secret(tables, "a") is None
    made = tokens.make_secret(tables, "a")
    assert len(made) == 32
    assert made == tokens.make_secret(tables, "a") == tokens.find_secret(tables, "a")
    assert made != tokens.make_secret(tables, "b")


def test_the_longest_revocation_counts(tables: Tables) -> None:
    for until in (5.5, 9.25, 7.0):
        tokens.revoke(tables, "t", until)
    assert tokens.revoked(tables) == {"t": 9.25}


def test_what_is_over_is_forgotten(tables: Tables) -> None:
    tokens.revoke(tables, "t", 5)
    tokens.revoke(tables, "u", 6)
    tokens.forget(tables, 5)
    assert tokens.revoked(tables) == {"u": 6}
