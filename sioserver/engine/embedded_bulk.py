"""Many rows in one statement of SQL: in portions of few sizes, with the marks of their values.

It knows no table.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any, Final

# sqlite3 gives the GIL away with every step and has to get it back from a busy event loop (92k
# instead of 74k rows/s with an idle one, on tmpfs). The sizes are few so that the statements stay
# prepared.
_SIZES: Final = (256, 64, 16, 4, 1)


def insert(connection: sqlite3.Connection, statement: str, rows: Sequence[tuple[Any, ...]]) -> None:
    """Execute with `{}` replaced by the marks of the rows, as few times as can be."""
    for part in parts(rows):
        connection.execute(statement.format(marks(part)), tuple(chain.from_iterable(part)))


def parts(rows: Sequence[tuple[Any, ...]]) -> Iterator[Sequence[tuple[Any, ...]]]:
    """The rows in portions of few different sizes."""
    start = 0
    for size in _SIZES:
        while len(rows) - start >= size:
            yield rows[start : start + size]
            start += size


_MARKS: dict[tuple[int, int], str] = {}


def marks(part: Sequence[tuple[Any, ...]]) -> str:
    """The marks of the rows' values, as they stand after VALUES."""
    shape = len(part), len(part[0])
    text = _MARKS.get(shape)
    if text is None:
        row = f"({','.join('?' * shape[1])})"
        text = _MARKS[shape] = ",".join([row] * shape[0])
    return text
