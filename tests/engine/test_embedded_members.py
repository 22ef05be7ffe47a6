"""The rows of members, beside what tests/engine/test_contract.py says of every engine."""

from collections.abc import Iterator

import pytest

from sioserver.engine import embedded_members as members
from sioserver.engine import embedded_pages as pages
from sioserver.engine.embedded_entries import Append
from sioserver.engine.embedded_file import StoreFile
from sioserver.engine.embedded_members import Known
from sioserver.engine.embedded_tables import Tables
from sioserver.engine.tail import TAIL_BYTES
from sioserver.model import Membership, Standing, User

from .conftest import ANN, BEN, draft


@pytest.fixture
def tables() -> Iterator[Tables]:
    file = StoreFile(":memory:", full=False)
    tables = Tables(file.connection, dedup_window=100)
    tables.begin()
    yield tables
    tables.commit()
    file.close()


def publish(tables: Tables, room: str, count: int) -> None:
    tables.append([Append(room, draft(f"m{n}"), b"\xc0", 99, 0) for n in range(count)])


def test_joining_tells_whether_the_member_is_new(tables: Tables) -> None:
    assert members.find(tables, "a", "ann") is None
    publish(tables, "a", 2)
    at_top = Standing(Membership(2, 2, 2, 2), 2, 2)
    assert members.join(tables, "a", ANN) == Known("Ann", at_top, is_new=True)
    assert members.join(tables, "a", User("ann", "Anna")) == Known("Anna", at_top, is_new=False)
    assert members.find(tables, "a", "ann") == Known("Anna", at_top, is_new=False)


def test_joining_makes_the_room(tables: Tables) -> None:
    members.join(tables, "a", ANN)
    tables.commit()
    again = Tables(tables.connection, dedup_window=100)
    assert pages.load(again, "a", 9, TAIL_BYTES).members == 1
    tables.begin()


def test_a_join_that_was_rolled_back_did_not_happen(tables: Tables) -> None:
    members.join(tables, "a", ANN)
    tables.rollback()
    tables.begin()
    assert members.find(tables, "a", "ann") is None
    assert tables.head("a") is None


def test_leaving_tells_whether_there_was_a_member(tables: Tables) -> None:
    assert not members.leave(tables, "a", "ann")
    members.join(tables, "a", ANN)
    assert not members.leave(tables, "a", "ben")
    assert members.leave(tables, "a", "ann")
    assert not members.leave(tables, "a", "ann")


def test_many_cursors_at_once(tables: Tables) -> None:
    users = [User(f"u{n}", f"U{n}") for n in range(400)]
    for user in users:
        members.join(tables, "a", user)
    publish(tables, "a", 10)
    cursors = {("a", user.id): n % 15 for n, user in enumerate(users)}
    members.advance(tables, {**cursors, ("a", "nobody"): 3, ("nowhere", "u1"): 3})
    members.advance(tables, {("a", "u9"): 1})
    found = [members.find(tables, "a", user.id) for user in users]
    assert [known and known.standing.membership.cursor for known in found] == [
        min(n % 15, 10) for n in range(400)
    ]


def test_reading(tables: Tables) -> None:
    assert members.read(tables, "a", "ann", 1) is None
    members.join(tables, "a", ANN)
    publish(tables, "a", 5)
    for offset, expected in ((3, 3), (2, 3), (9, 5), (-1, 5)):
        known = members.read(tables, "a", "ann", offset)
        assert known is not None
        assert known.standing == Standing(Membership(0, expected, expected, expected), 5, 5)


def test_lists(tables: Tables) -> None:
    for room, user in (("a", BEN), ("a", ANN), ("b", ANN)):
        members.join(tables, room, user)
    assert members.by_name(tables, "a", 9) == [ANN, BEN]
    assert members.by_name(tables, "a", -1) == []
    assert list(members.rooms_of(tables, "ann", 9)) == []  # rooms are written with the commit
    tables.commit()
    tables.begin()
    assert list(members.rooms_of(tables, "ann", 9)) == ["a", "b"]
    assert list(members.rooms_of(tables, "ann", -1)) == []
    assert members.names(tables, {"a": "ben", "b": "ben"}) == {"a": "Ben"}


def test_many_names_at_once(tables: Tables) -> None:
    rooms = {f"r{n}": f"u{n}" for n in range(400)}
    for room, user_id in rooms.items():
        members.join(tables, room, User(user_id, user_id.upper()))
    tables.commit()
    tables.begin()
    assert members.names(tables, rooms) == {
        room: user_id.upper() for room, user_id in rooms.items()
    }
