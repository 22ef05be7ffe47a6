"""What of the marks and notes is SQLite's: transactions, damage and disks that are full."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sioserver.config.schema import Store, Webhook, Webhooks
from sioserver.engine.embedded import EmbeddedEngine
from sioserver.engine.embedded_entries import Append
from sioserver.engine.embedded_file import StoreFile
from sioserver.engine.embedded_tables import Tables
from sioserver.engine.embedded_webhooks import (
    Marking,
    due,
    mark_of,
    notes,
    set_mark,
    write_note,
)
from sioserver.errors import Refusal
from sioserver.model import Draft, User
from sioserver.subscriptions import Lane, Subscriptions

from .conftest import Keep, Listener, until

ANN = User("ann", "Ann")
ENDPOINTS = Webhooks(endpoints=[Webhook(name="crm", rooms=["a"])], queue=3)
LOG, NOTES = Lane("crm", "log"), Lane("crm", "notes")
SUBSCRIPTIONS = Subscriptions(ENDPOINTS)


@pytest.fixture
def marking() -> Marking:
    return Marking(SUBSCRIPTIONS)


@pytest.fixture
def tables(tmp_path: Path, marking: Marking) -> Any:
    file = StoreFile(tmp_path / "rooms.db", full=False)
    yield Tables(file.connection, dedup_window=100.0, watcher=marking)
    file.close()


def append(tables: Tables, room: str = "a") -> None:
    draft = Draft("m", ANN, "hi", 1, resendable=False)
    tables.append([Append(room, draft, b"\xa2hi", 10, 0.0)])


def test_the_first_message_of_a_room_waits_for_the_endpoint(tables: Tables) -> None:
    tables.begin()
    append(tables)
    append(tables, "b")
    tables.commit()
    assert mark_of(tables, LOG, "a") == (0, 1)
    assert mark_of(tables, LOG, "b") is None
    assert due(tables, LOG, 9) == ["a"]


def test_a_mark_of_a_transaction_that_failed_is_made_again(tables: Tables) -> None:
    tables.begin()
    append(tables)
    tables.rollback()
    assert mark_of(tables, LOG, "a") is None
    tables.begin()
    append(tables)
    tables.commit()
    assert mark_of(tables, LOG, "a") == (0, 1)


def test_a_marked_room_costs_nothing_more(tables: Tables) -> None:
    tables.begin()
    append(tables)
    tables.commit()
    said: list[str] = []
    tables.connection.set_trace_callback(said.append)
    tables.begin()
    append(tables)
    tables.commit()
    assert not [text for text in said if "hook" in text]


def test_rooms_are_not_remembered_without_end(
    tables: Tables, marking: Marking, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sioserver.engine.embedded_webhooks.MARKED", 3)
    for number in range(9):
        tables.begin()
        append(tables, f"r{number}")
        tables.commit()
        assert len(marking._marked) <= 4


def test_the_oldest_notes_are_dropped(tables: Tables) -> None:
    tables.begin()
    dropped = [
        write_note(tables, SUBSCRIPTIONS, "a", "join", b"\x81\xa4user\xa1%d" % number, 1.7e9)
        for number in range(5)
    ]
    tables.commit()
    assert dropped == [0, 0, 0, 1, 1]
    assert [note.data["user"] for note in notes(tables, "a", 0, 9)] == ["2", "3", "4"]
    assert due(tables, NOTES, 9) == ["a"]


@given(st.lists(st.sampled_from(["note", "note", "note", "take one", "take all"]), max_size=40))
def test_how_many_wait_is_known_whatever_was_taken(steps: list[str]) -> None:
    file = StoreFile(":memory:", full=False)
    tables = Tables(file.connection, dedup_window=100.0)
    kept: list[str] = []
    for number, step in enumerate(steps):
        waiting = notes(tables, "a", 0, 99)
        if step == "note":
            data = b"\xa1%d" % (number % 10)
            dropped = write_note(tables, SUBSCRIPTIONS, "a", "join", b"\x81\xa1u" + data, 1.7e9)
            kept.append(str(number % 10))
            assert dropped == max(0, len(kept) - ENDPOINTS.queue)
            kept = kept[dropped:]
        elif waiting:
            taken = waiting[0 if step == "take one" else -1]
            set_mark(tables, SUBSCRIPTIONS, NOTES, "a", taken.number)
            kept = kept[1:] if step == "take one" else []
        assert [note.data["u"] for note in notes(tables, "a", 0, 99)] == kept
    file.close()


async def test_who_came_is_noted_when_the_disk_can_be_written_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = EmbeddedEngine(
        Store(durability="normal"), grace=5.0, path=tmp_path / "rooms.db", endpoints=ENDPOINTS
    )
    await engine.start(Listener())
    webhooks = engine.webhooks
    assert webhooks is not None

    def full(*_: Any) -> int:
        error = sqlite3.OperationalError("database or disk is full")
        error.sqlite_errorcode = sqlite3.SQLITE_FULL
        raise error

    monkeypatch.setattr("sioserver.engine.embedded_webhooks.write_people", full)
    for number in range(5):
        await engine.enter("a", User(f"u{number}", "Name"), f"c{number}")
    await engine.sweep(1_700_000_000.0)
    await until(lambda: not webhooks._writing, "the attempt is over")
    assert len(webhooks._people) == 3  # webhooks.queue
    assert webhooks.stats()["webhook_notes_dropped_total"] == 2
    monkeypatch.undo()
    await engine.sweep(1_700_000_001.0)
    await until(lambda: not webhooks._writing and not webhooks._people, "it is written")
    found = await webhooks.notes("a", after=0, limit=9)
    assert [note.data["user"] for note in found] == ["u2", "u3", "u4"]
    await engine.stop()


async def test_a_store_that_is_closed(tmp_path: Path) -> None:
    engine = EmbeddedEngine(
        Store(durability="normal"), grace=5.0, path=tmp_path / "rooms.db", endpoints=ENDPOINTS
    )
    await engine.start(Listener())
    webhooks = engine.webhooks
    assert webhooks is not None
    await engine.publish("a", Draft("m", ANN, "hi", 1, resendable=False), Keep())
    await engine.stop()
    webhooks.people("a", [ANN], [])
    webhooks.write(1.7e9)
    assert len(webhooks._people) == 1
    with pytest.raises(Refusal):
        await webhooks.claim(LOG, "a")
    assert not webhooks._claims
