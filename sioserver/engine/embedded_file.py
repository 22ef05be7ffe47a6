"""Open the embedded engine's file, or say clearly why not.

A file that is there is looked at before it is touched: one that is not ours, is damaged or was
written by a newer version stays exactly as it is, and no new file takes its place. A new store
is built beside its path and moved there when it is complete, so an empty file is never "new".
This module knows the pragmas and the tables' shape, but neither what the tables mean nor threads.
"""

from __future__ import annotations

import os
import secrets
import sqlite3
import string
import struct
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import cache, partial
from pathlib import Path
from typing import Final

from sioserver.engine.base import StoreError

APPLICATION_ID: Final = 0x53494F52  # "SIOR"
VERSION: Final = 4
MEMORY: Final = ":memory:"
QUICK_CHECK_BYTES: Final = 64 * 1024 * 1024
"""Larger files are not read through at start: it would take seconds."""

# 3.24 has upserts, 3.33 UPDATE FROM. RETURNING and STRICT are newer than some systems' SQLite.
_OLDEST_SQLITE: Final = (3, 33, 0)
_EPOCH_LETTERS: Final = string.ascii_lowercase + string.digits
_MAGIC: Final = b"SQLite format 3\0"
_HEADER: Final = struct.Struct(">60x i 4x i")
"""user_version and application_id in the first bytes of a database."""

# `message` is clustered by (room, offset): a page of history is one walk over neighbours. It holds
# every entry of the log; `ops` counts the operations among those up to it, so a message's number is
# its offset less that. What was done to a message is in `fold`, under the offset that its entries
# have as `target` (and it too, once something was done to it). A body that was edited or deleted is
# there or nowhere: the message has none any more. `last` is the newest entry about the message.
# The notes of a room have neighbouring places, because only the oldest go: so it is known how many
# there are without counting.
# `dedup` is numbered in the order of arrival, so that the oldest rows are pruned from its start
# without an index on the time.
_TABLES: Final = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE room (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE,
    top INTEGER NOT NULL, first INTEGER NOT NULL, ops INTEGER NOT NULL
);
CREATE TABLE message (
    room INTEGER NOT NULL, offset INTEGER NOT NULL, id TEXT NOT NULL,
    user TEXT NOT NULL, name TEXT NOT NULL, at INTEGER NOT NULL, body BLOB NOT NULL,
    ops INTEGER NOT NULL DEFAULT 0, kind INTEGER NOT NULL DEFAULT 0, target INTEGER, more BLOB,
    PRIMARY KEY (room, offset)
) WITHOUT ROWID;
CREATE TABLE fold (
    room INTEGER NOT NULL, offset INTEGER NOT NULL, last INTEGER NOT NULL,
    edited INTEGER NOT NULL, deleted INTEGER NOT NULL, body BLOB, reactions BLOB,
    PRIMARY KEY (room, offset)
) WITHOUT ROWID;
CREATE INDEX fold_last ON fold (room, last);
CREATE TABLE dedup (
    number INTEGER PRIMARY KEY, room INTEGER NOT NULL, user TEXT NOT NULL, id TEXT NOT NULL,
    offset INTEGER NOT NULL, at INTEGER NOT NULL, UNIQUE (room, user, id)
);
CREATE TABLE member (
    room INTEGER NOT NULL, user TEXT NOT NULL, name TEXT NOT NULL,
    joined INTEGER NOT NULL, cursor INTEGER NOT NULL, read INTEGER NOT NULL,
    number INTEGER NOT NULL,
    PRIMARY KEY (room, user)
) WITHOUT ROWID;
CREATE INDEX member_user ON member (user);
CREATE TABLE mention (
    user TEXT NOT NULL, number INTEGER NOT NULL, room INTEGER NOT NULL, offset INTEGER NOT NULL,
    id TEXT NOT NULL, author TEXT NOT NULL, name TEXT NOT NULL, at INTEGER NOT NULL,
    PRIMARY KEY (user, number)
) WITHOUT ROWID;
CREATE TABLE secret (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE revocation (
    kind TEXT NOT NULL, id TEXT NOT NULL, until REAL NOT NULL, before REAL NOT NULL,
    PRIMARY KEY (kind, id)
) WITHOUT ROWID;
CREATE TABLE seen (user TEXT PRIMARY KEY, at INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX seen_at ON seen (at);
CREATE TABLE decision (
    room TEXT NOT NULL, name TEXT NOT NULL, value BLOB NOT NULL, until REAL NOT NULL,
    PRIMARY KEY (room, name)
) WITHOUT ROWID;
CREATE INDEX decision_until ON decision (until);
CREATE TABLE act (
    number INTEGER PRIMARY KEY, room TEXT NOT NULL, at REAL NOT NULL, data BLOB NOT NULL
);
CREATE INDEX act_room ON act (room, number);
CREATE INDEX act_at ON act (at);
CREATE TABLE listed (
    room TEXT PRIMARY KEY, seen REAL NOT NULL, topic TEXT
) WITHOUT ROWID;
CREATE INDEX listed_seen ON listed (seen);
CREATE TABLE indexed (room INTEGER PRIMARY KEY, upto INTEGER NOT NULL);
CREATE TABLE hook_mark (
    lane TEXT NOT NULL, room TEXT NOT NULL, offset INTEGER NOT NULL, PRIMARY KEY (lane, room)
) WITHOUT ROWID;
CREATE TABLE hook_note (
    room TEXT NOT NULL, number INTEGER NOT NULL, place INTEGER NOT NULL, kind TEXT NOT NULL,
    data BLOB NOT NULL, at INTEGER NOT NULL, PRIMARY KEY (room, number)
) WITHOUT ROWID;
CREATE TABLE hook_online (
    room TEXT NOT NULL, user TEXT NOT NULL, name TEXT NOT NULL, guest INTEGER NOT NULL,
    PRIMARY KEY (room, user)
) WITHOUT ROWID;
"""


# What messages say, for `embedded_search`: only which trigrams there are, not where in the text.
_SAID: Final = """
CREATE VIRTUAL TABLE said USING fts5 (
    text, tokenize = 'trigram case_sensitive 1', detail = none, columnsize = 0
);
"""


@cache
def has_trigrams() -> bool:
    """Can this SQLite index them? (3.34 or newer, with FTS5.)"""
    with closing(sqlite3.connect(MEMORY)) as connection:
        try:
            connection.executescript(_SAID)
        except sqlite3.OperationalError:
            return False
    return True


class StoreFile:
    """An open store: its connection, and the lock that makes it ours alone."""

    def __init__(self, path: str | Path, *, full: bool) -> None:
        """Open or create the store; raises StoreError. `full`: fsync with every commit.

        The connection belongs to the calling thread.
        """
        if sqlite3.sqlite_version_info < _OLDEST_SQLITE:
            oldest = ".".join(map(str, _OLDEST_SQLITE))
            raise StoreError(
                f"this Python has SQLite {sqlite3.sqlite_version}; {oldest} or newer is needed"
            )
        self._lock: _Lock | None = None
        if str(path) == MEMORY:
            self.connection = sqlite3.connect(MEMORY, isolation_level=None)
            _create_tables(self.connection)
            return
        path = Path(path).absolute()
        with _os_errors(path):
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = _Lock(path)
        try:
            with _os_errors(path), _sqlite_errors(path):
                if os.path.lexists(path):
                    _check(path, full=full)
                else:
                    _create(path)
                self.connection = _connect(path, full=full)
        except BaseException:
            self._lock.release()
            raise

    def size(self) -> int:
        """Bytes of the database (without its write-ahead log)."""
        pages: int = self.connection.execute("PRAGMA page_count").fetchone()[0]
        size: int = self.connection.execute("PRAGMA page_size").fetchone()[0]
        return pages * size

    def close(self) -> None:
        """Write the log back into the file and let go; raises sqlite3.Error, but lets go."""
        try:
            if self._lock is not None:
                self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        finally:
            self.connection.close()
            if self._lock is not None:
                self._lock.release()


def _connect(path: Path, *, full: bool) -> sqlite3.Connection:
    connection = sqlite3.connect(_uri(path, "rw"), uri=True, isolation_level=None, timeout=0)
    try:
        # One connection that nobody can share: no shared-memory file (writing to its mapping on a
        # full disk would kill the process), and SQLite before 3.51.3 can damage a log that two
        # connections write back at the same time.
        connection.execute("PRAGMA locking_mode = EXCLUSIVE").fetchall()
        connection.execute("PRAGMA trusted_schema = OFF")
        if connection.execute("PRAGMA journal_mode = WAL").fetchone()[0] != "wal":
            raise StoreError(f"{path}: the file system does not let SQLite write; use another one")
        connection.execute(f"PRAGMA synchronous = {'FULL' if full else 'NORMAL'}")
        connection.execute("PRAGMA temp_store = MEMORY")
        connection.execute("PRAGMA cache_size = -16000")  # KiB
        connection.execute("PRAGMA journal_size_limit = 67108864").fetchall()
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("ROLLBACK")
        # Left by `_check`, or by a tool; nobody else has the store open now.
        path.with_name(f"{path.name}-shm").unlink(missing_ok=True)
    except BaseException:
        connection.close()
        raise
    return connection


def _create(path: Path) -> None:
    for suffix in ("-wal", "-journal"):
        if os.path.lexists(f"{path}{suffix}"):
            raise StoreError(
                f"{path} is missing, but {path.name}{suffix} beside it is not: put the file back "
                f"where it was, or move {path.name}{suffix} away to start with an empty store"
            )
    draft = path.with_name(f"{path.name}.new")
    draft.unlink(missing_ok=True)
    os.close(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    try:
        with closing(sqlite3.connect(_uri(draft, "rw"), uri=True, isolation_level=None)) as new:
            _create_tables(new)
            new.execute("PRAGMA journal_mode = WAL").fetchall()
        _sync(draft)
        draft.rename(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    if sys.platform != "win32":
        _sync(path.parent)


def _create_tables(connection: sqlite3.Connection) -> None:
    epoch = "".join(secrets.choice(_EPOCH_LETTERS) for _ in range(8))
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {VERSION}")
    said = _SAID if has_trigrams() else ""
    connection.executescript(f"BEGIN; {_TABLES} {said} COMMIT;")
    connection.execute("INSERT INTO meta (name, value) VALUES ('epoch', ?)", (epoch,))


def _check(path: Path, *, full: bool) -> None:
    """Raise StoreError unless the file is a whole store of this version. Changes nothing."""
    if not path.is_file():
        raise StoreError(f"{path} is not a file: give the path of the store's file")
    with path.open("rb") as file:
        header = file.read(_HEADER.size)
    if not header:
        raise StoreError(
            f"{path} is empty, so it is not a store: delete it to start with an empty store"
        )
    if not header.startswith(_MAGIC):
        raise StoreError(f"{path} is not a store of sioserver: give another path")
    if len(header) < _HEADER.size:
        raise sqlite3.DatabaseError("it is cut off")
    # No connection to a file that is not ours: its owner may be using it.
    version, application = _HEADER.unpack(header)
    _check_identity(path, application, version)
    log = Path(f"{path}-wal")
    log_size = log.stat().st_size if log.exists() else 0
    # Neither way writes to the file or its log: a read-only connection sees what a crash left in
    # the log, but does not write it back; without a log, no files need to be made beside it.
    uri = _uri(path, "ro" if log_size else "ro&immutable=1")
    with closing(sqlite3.connect(uri, uri=True, timeout=0)) as connection:
        connection.text_factory = partial(str, encoding="utf-8", errors="replace")
        application = connection.execute("PRAGMA application_id").fetchone()[0]
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        _check_identity(path, application, version)
        if path.stat().st_size + log_size <= QUICK_CHECK_BYTES:
            verdict = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
            if verdict != "ok":
                raise sqlite3.DatabaseError(verdict.splitlines()[-1])
        if connection.execute("SELECT value FROM meta WHERE name = 'epoch'").fetchone() is None:
            raise sqlite3.DatabaseError("its epoch is missing")
        # Without an fsync for each transaction a power cut may leave holes, and they are no news.
        lost = _lost_transactions(log, Path(f"{path}-shm")) if log_size and full else 0
    if lost:
        raise StoreError(
            f"{log} has a bad record, and {lost} acknowledged transaction(s) after it cannot be "
            "read. Nothing was changed: restore a backup, or start once with "
            'store.durability = "normal" to go on without them'
        )


def _lost_transactions(log: Path, index: Path) -> int:
    """How many transactions the log holds after a bad record.

    SQLite stops reading at the first bad checksum and takes the rest for the tail that a crash
    tore off. But each transaction is synced before the next begins: one that others follow was
    whole, and has been damaged since. Needs an open connection, which has written the index.
    """
    with index.open("rb") as file:
        valid = struct.unpack("=16x I", file.read(20))[0]  # frames, in the order of this machine
    transactions = 0
    follows = False
    with log.open("rb") as file:
        page_size, salts = struct.unpack(">8x I 4x 8s", file.read(24))
        size = log.stat().st_size
        for place in range(
            32 + valid * (24 + page_size), size - 24 - page_size + 1, 24 + page_size
        ):
            file.seek(place)
            commits, salt = struct.unpack(">4x I 8s", file.read(16))
            if salt != salts:
                break  # left over from before the log was last written back
            transactions += bool(commits)
            follows = not commits
    # The last one may be what the crash interrupted, unless another has begun after it.
    return transactions if follows else max(0, transactions - 1)


def _check_identity(path: Path, application: int, version: int) -> None:
    if application != APPLICATION_ID:
        raise StoreError(f"{path} is a database of another program: give another path")
    if 0 < version < VERSION:
        raise StoreError(
            f"{path} was written before the first release (its format is {version}, this is "
            f"{VERSION}): move it away to start with an empty store"
        )
    if version > VERSION:
        raise StoreError(
            f"{path} was written by a newer sioserver (its format is {version}, this one reads up "
            f"to {VERSION}): install that version again"
        )


def _uri(path: Path, mode: str) -> str:
    return f"{path.as_uri()}?mode={mode}"


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _os_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreError(
            f"{path} cannot be used: {error.strerror or error}. The server's user must be able to "
            f"write files in {path.parent}"
        ) from error


@contextmanager
def _sqlite_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, UnicodeDecodeError) as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            raise StoreError(_in_use(path)) from error
        if code in (
            sqlite3.SQLITE_READONLY,
            sqlite3.SQLITE_CANTOPEN,
            sqlite3.SQLITE_PERM,
            sqlite3.SQLITE_FULL,
            sqlite3.SQLITE_IOERR,
        ):
            raise StoreError(
                f"{path} cannot be used: {error}. The server's user must be able to write files "
                f"in {path.parent}, and the disk must have room"
            ) from error
        raise StoreError(
            f"{path} is damaged ({error}). It was left as it is: restore a backup, or move it and "
            f"{path.name}-wal away to start with an empty store"
        ) from error


def _in_use(path: Path) -> str:
    return (
        f"{path} is in use by another sioserver: stop that one, or give this one a file of its own "
        "with --store"
    )


class _Lock:
    """One process at a time, through a file beside the store.

    Not through the store itself: closing any descriptor of it would drop the POSIX locks that
    SQLite holds on it in this process. The file stays: to delete it would be a race.
    """

    def __init__(self, path: Path) -> None:
        flags = os.O_CREAT | os.O_RDWR | getattr(os, "O_CLOEXEC", 0)
        self._descriptor = os.open(f"{path}.lock", flags, 0o600)
        try:
            if sys.platform == "win32":
                import msvcrt

                msvcrt.locking(self._descriptor, msvcrt.LK_NBLCK, 1)
            else:
                import fcntl

                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._descriptor)
            if isinstance(error, BlockingIOError | PermissionError):
                raise StoreError(_in_use(path)) from error
            raise

    def release(self) -> None:
        os.close(self._descriptor)
