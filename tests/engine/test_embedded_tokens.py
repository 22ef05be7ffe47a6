from collections.abc import Iterator

import pytest

from sioserver.engine import embedded_tokens as tokens
from sioserver.engine.embedded_file import StoreFile
from sioserver.engine.embedded_tables import Tables
from sioserver.model import Revocation


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


def test_rules_are_joined(tables: Tables) -> None:
    for until, before in ((5.5, 1.0), (9.25, 0.5), (7.0, 2.5)):
        tokens.revoke(tables, Revocation("user", "a", until, before))
    assert tokens.revocations(tables) == [Revocation("user", "a", 9.25, 2.5)]


def test_a_rule_is_lifted_once(tables: Tables) -> None:
    tokens.revoke(tables, Revocation("token", "a", 5.0))
    assert not tokens.lift(tables, "user", "a")
    assert tokens.lift(tables, "token", "a")
    assert not tokens.lift(tables, "token", "a")


def test_what_is_over_is_forgotten(tables: Tables) -> None:
    tokens.revoke(tables, Revocation("token", "t", 5.0))
    tokens.revoke(tables, Revocation("token", "u", 6.0))
    tokens.forget(tables, 5)
    assert tokens.revocations(tables) == [Revocation("token", "u", 6.0)]
