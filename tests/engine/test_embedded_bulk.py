"""Many rows in one statement: none is lost, and each has its marks."""

import random
import sqlite3

from hypothesis import given
from hypothesis import strategies as st

from sioserver.engine.embedded_bulk import insert, marks, parts


@given(st.integers(0, 2000))
def test_parts_lose_nothing(count: int) -> None:
    numbered = [(n,) for n in range(count)]
    assert [row for part in parts(numbered) for row in part] == numbered


def test_marks_match_their_rows() -> None:
    for _ in range(20):
        height, width = random.randint(1, 9), random.randint(1, 9)
        text = marks([("x",) * width] * height)
        assert text.count("(") == height
        assert text.count("?") == height * width


@given(st.integers(0, 700))
def test_every_row_is_inserted_with_few_statements(count: int) -> None:
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE pair (a INTEGER PRIMARY KEY, b)")
    statements: list[str] = []
    connection.set_trace_callback(statements.append)
    rows = [(n, f"{n}") for n in range(count)]
    insert(connection, "INSERT INTO pair (a, b) VALUES {}", rows)
    connection.set_trace_callback(None)
    assert connection.execute("SELECT a, b FROM pair ORDER BY a").fetchall() == rows
    assert sum(text.startswith("INSERT") for text in statements) <= count // 256 + 4 * 3
    connection.close()
