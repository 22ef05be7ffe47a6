"""Opening a store: what is there is left as it is unless it is ours and whole."""

import hashlib
import os
import random
import shutil
import sqlite3
import stat
import struct
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from sioserver.engine import embedded_file
from sioserver.engine import embedded_pages as pages
from sioserver.engine.base import StoreError
from sioserver.engine.embedded_entries import Append
from sioserver.engine.embedded_file import APPLICATION_ID, VERSION, StoreFile
from sioserver.engine.embedded_tables import Damaged, Tables

from .conftest import draft


def hashes(directory: Path) -> dict[str, str]:
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in directory.iterdir()
        if path.is_file() and path.suffix != ".lock"
    }


def fill(path: Path, count: int = 300) -> None:
    file = StoreFile(path, full=False)
    tables = Tables(file.connection, dedup_window=100)
    tables.begin()
    tables.append([Append("a", draft(f"m{n}"), b"\xa9some text", 9999, 0) for n in range(count)])
    tables.commit()
    file.close()


def refused(path: Path) -> str:
    with pytest.raises(StoreError) as error:
        StoreFile(path, full=True)
    return str(error.value)


CRASH = """
    import os, sys
    from pathlib import Path
    from sioserver.engine.embedded_file import StoreFile
    file = StoreFile(Path(sys.argv[1]), full=False)
    for n in range(50):
        file.connection.execute("INSERT INTO meta VALUES (?, zeroblob(2000))", (f"row{n}",))
    os._exit(0)
"""


def crash(path: Path) -> None:
    """Leave a store with a full write-ahead log behind."""
    subprocess.run([sys.executable, "-c", textwrap.dedent(CRASH), str(path)], check=True)
    assert Path(f"{path}-wal").stat().st_size > 100_000


def test_a_new_store_is_private_and_complete(tmp_path: Path) -> None:
    path = tmp_path / "some" / "where" / "rooms.db"
    file = StoreFile(path, full=True)
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    epoch = Tables(file.connection, dedup_window=1).epoch
    assert epoch.isalnum()
    assert file.size() == path.stat().st_size
    file.close()
    assert sorted(p.name for p in path.parent.iterdir()) == ["rooms.db", "rooms.db.lock"]
    again = StoreFile(path, full=True)
    assert Tables(again.connection, dedup_window=1).epoch == epoch
    again.close()


@pytest.mark.parametrize(("full", "expected"), [(True, 2), (False, 1)])
def test_durability_and_the_log(tmp_path: Path, full: bool, expected: int) -> None:
    file = StoreFile(tmp_path / "rooms.db", full=full)
    pragmas = ("synchronous", "journal_mode", "locking_mode", "application_id", "user_version")
    assert [file.connection.execute(f"PRAGMA {name}").fetchone()[0] for name in pragmas] == [
        expected, "wal", "exclusive", APPLICATION_ID, VERSION,
    ]  # fmt: skip
    file.close()


def test_two_stores_in_memory_are_two_stores() -> None:
    stores = [StoreFile(":memory:", full=True) for _ in range(2)]
    epochs = {Tables(store.connection, dedup_window=1).epoch for store in stores}
    assert len(epochs) == 2
    for store in stores:
        store.close()


def test_a_path_with_signs_in_it(tmp_path: Path) -> None:
    path = tmp_path / "a?b#c%20d é.db"
    fill(path)
    fill(path, 1)
    assert path.is_file()


def foreign(path: Path) -> None:
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE precious (thing)")
    other.commit()
    other.close()


def newer(path: Path) -> None:
    fill(path)
    other = sqlite3.connect(path)
    other.execute(f"PRAGMA user_version = {VERSION + 1}")
    other.close()


def older(path: Path) -> None:
    fill(path)
    other = sqlite3.connect(path)
    other.execute(f"PRAGMA user_version = {VERSION - 1}")
    other.close()


def no_database(path: Path) -> None:
    path.write_text("Dear diary, " * 1000)


def empty(path: Path) -> None:
    path.touch()


def cut(path: Path) -> None:
    fill(path)
    os.truncate(path, path.stat().st_size // 2)


def only_a_header(path: Path) -> None:
    fill(path)
    os.truncate(path, 100)


def without_tables(path: Path) -> None:
    other = sqlite3.connect(path)
    other.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    other.execute("CREATE TABLE t (a)")
    other.close()


def without_epoch(path: Path) -> None:
    fill(path)
    other = sqlite3.connect(path)
    other.execute("DELETE FROM meta")
    other.commit()
    other.close()


def bad_page(path: Path) -> None:
    fill(path)
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 4096)


def bad_page_and_a_log(path: Path) -> None:
    fill(path)
    crash(path)
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(size - 3 * 4096)
        file.write(b"\xff" * 3 * 4096)


def log_without_its_store(path: Path) -> None:
    crash(path)
    path.unlink()


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (foreign, "another program"),
        (newer, "newer sioserver"),
        (older, "before the first release"),
        (no_database, "not a store"),
        (empty, "is empty"),
        (cut, "damaged"),
        (only_a_header, "damaged"),
        (without_tables, "damaged"),
        (without_epoch, "damaged"),
        (bad_page, "damaged"),
        (bad_page_and_a_log, "damaged"),
        (log_without_its_store, "missing"),
    ],
)
def test_what_is_not_a_store_stays_as_it_is(
    tmp_path: Path, make: Callable[[Path], None], says: str
) -> None:
    path = tmp_path / "rooms.db"
    make(path)
    before = hashes(tmp_path)
    message = refused(path)
    assert says in message
    assert str(path) in message
    assert hashes(tmp_path) == {**hashes(tmp_path), **before}
    assert set(hashes(tmp_path)) - set(before) <= {"rooms.db-shm"}
    refused(path)


def test_a_directory_is_not_a_store(tmp_path: Path) -> None:
    assert "not a file" in refused(tmp_path)
    tmp_path.with_name(f"{tmp_path.name}.lock").unlink()


@pytest.mark.parametrize("parent", ["file", "/proc/sioserver", "/dev/null/x"])
def test_a_directory_that_cannot_be_written(tmp_path: Path, parent: str) -> None:
    (tmp_path / "file").touch()
    path = tmp_path / parent / "rooms.db"
    message = refused(path)
    assert "cannot be used" in message
    assert str(path.parent) in message


def test_a_full_disk_leaves_no_half_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(connection: sqlite3.Connection) -> None:
        connection.execute("PRAGMA max_page_count = 1")
        connection.execute("CREATE TABLE a (b)")

    with monkeypatch.context() as patch:
        patch.setattr(embedded_file, "_create_tables", fail)
        message = refused(tmp_path / "rooms.db")
    assert "the disk must have room" in message
    assert hashes(tmp_path) == {}
    (tmp_path / "rooms.db.new").write_text("left by a crash")
    fill(tmp_path / "rooms.db")


def test_an_old_sqlite_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 32, 9))
    assert "3.33.0 or newer" in refused(tmp_path / "rooms.db")
    assert list(tmp_path.iterdir()) == []


def test_a_store_is_used_by_one_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "rooms.db"
    first = StoreFile(path, full=False)
    assert "in use by another sioserver" in refused(path)
    first.connection.execute("INSERT INTO meta VALUES ('still', 'here')")  # it kept its locks
    code = (
        f"from sioserver.engine.embedded_file import StoreFile; StoreFile({str(path)!r}, full=True)"
    )
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "StoreError" in other.stderr
    assert "in use by another sioserver" in other.stderr
    first.close()
    StoreFile(path, full=False).close()


def test_a_tool_that_has_the_store_open_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "rooms.db"
    fill(path)
    tool = sqlite3.connect(path)
    tool.execute("SELECT * FROM room").fetchall()
    assert "in use by another sioserver" in refused(path)
    tool.close()
    fill(path, 1)


def test_what_a_crash_left_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "rooms.db"
    crash(path)
    file = StoreFile(path, full=False)
    assert file.connection.execute("SELECT count(*) FROM meta").fetchone()[0] == 51
    file.close()
    assert not Path(f"{path}-wal").exists()
    assert not Path(f"{path}-shm").exists()


@pytest.mark.parametrize("part", [0.1, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("full", [True, False])
def test_of_a_torn_log_whole_transactions_are_read_back(
    tmp_path: Path, part: float, full: bool
) -> None:
    path = tmp_path / "rooms.db"
    crash(path)
    log = Path(f"{path}-wal")
    os.truncate(log, int(log.stat().st_size * part))
    file = StoreFile(path, full=full)
    rows = [name for (name,) in file.connection.execute("SELECT name FROM meta ORDER BY name")]
    file.close()
    assert 1 <= len(rows) <= 50
    assert sorted(rows) == sorted(["epoch", *(f"row{n}" for n in range(len(rows) - 1))])


@pytest.mark.parametrize("part", [0.1, 0.5, 0.9])
def test_a_bad_record_in_the_log_is_noticed(tmp_path: Path, part: float) -> None:
    path = tmp_path / "rooms.db"
    crash(path)
    log = Path(f"{path}-wal")
    with log.open("r+b") as file:
        file.seek(int(log.stat().st_size * part))
        old = file.read(1)[0]
        file.seek(-1, os.SEEK_CUR)
        file.write(struct.pack("B", old ^ 1))
    before = hashes(tmp_path)
    message = refused(path)
    assert "bad record" in message
    after = hashes(tmp_path)
    assert {name: after[name] for name in before} == before
    file = StoreFile(path, full=False)  # as the message says
    rows = file.connection.execute("SELECT count(*) FROM meta").fetchone()[0]
    file.close()
    assert abs(rows - 51 * part) < 4
    StoreFile(path, full=True).close()


def test_of_a_log_that_was_begun_anew_the_old_rest_is_no_damage(tmp_path: Path) -> None:
    path = tmp_path / "rooms.db"
    code = CRASH.replace(
        "os._exit(0)",
        """file.connection.execute("PRAGMA wal_checkpoint(RESTART)").fetchall()
    file.connection.execute("INSERT INTO meta VALUES ('last', 1)")
    os._exit(0)""",
    )
    subprocess.run([sys.executable, "-c", textwrap.dedent(code), str(path)], check=True)
    assert Path(f"{path}-wal").stat().st_size > 100_000
    file = StoreFile(path, full=True)
    assert file.connection.execute("SELECT count(*) FROM meta").fetchone()[0] == 52
    file.close()


def test_random_damage_is_refused_or_harmless(tmp_path: Path) -> None:
    """One changed byte, anywhere: the store says that it is damaged, at the start or when the
    place is read, or it still has every message; never another failure."""
    whole = tmp_path / "whole.db"
    fill(whole)
    size = whole.stat().st_size
    chance = random.Random(7)
    refusals = 0
    for n in range(150):
        path = tmp_path / f"rooms{n}.db"
        shutil.copy(whole, path)
        place = chance.randrange(size)
        with path.open("r+b") as file:
            file.seek(place)
            old = file.read(1)[0]
            file.seek(place)
            file.write(struct.pack("B", old ^ chance.randrange(1, 256)))
        try:
            store = StoreFile(path, full=False)
        except StoreError:
            refusals += 1
            continue
        try:
            tables = Tables(store.connection, dedup_window=100)
            messages = pages.page(tables, "a", None, None, 9999).messages
            assert len(messages) in (300, 0)  # 0: the room's name was hit
        except (Damaged, sqlite3.DatabaseError, ValueError):
            refusals += 1
        finally:
            store.close()
    assert refusals > 5
