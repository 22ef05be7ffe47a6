"""On which line of a TOML text a key stands: `tomllib` knows but does not tell.

The text is cut into statements, the shortest runs of lines that are TOML by themselves, so strings
and arrays over several lines are never mistaken for keys. Only for texts that `tomllib` accepts.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from typing import Any

Path = tuple[str | int, ...]


def line_numbers(text: str) -> dict[Path, int]:
    """The line of every table and key; entries of an array of tables are counted from 0.

    The array itself stands where its first entry does.
    """
    found: dict[Path, int] = {}
    entries: dict[Path, int] = {}
    table: Path = ()
    for line, statement in _statements(text):
        content = tomllib.loads(statement)
        if statement.lstrip().startswith("["):
            table = _header(content, entries)
            for path in (table, table[:-1]) if isinstance(table[-1], int) else (table,):
                found.setdefault(path, line)
        else:
            _note(table, content, line, found)
    return found


def _statements(text: str) -> Iterator[tuple[int, str]]:
    """Each statement with the number of its first line."""
    lines: list[str] = []
    for number, line in enumerate(text.replace("\r\n", "\n").split("\n"), 1):
        lines.append(line)
        # A statement of several lines ends with a bracket or a triple quote: do not try at others.
        if len(lines) > 1 and not any(end in line for end in ("]", "}", '"""', "'''")):
            continue
        statement = "\n".join(lines)
        try:
            tomllib.loads(statement)
        except ValueError:
            continue
        yield number - len(lines) + 1, statement
        lines = []


def _header(content: dict[str, Any], entries: dict[Path, int]) -> Path:
    """The path of `[a.b]` or `[[a.b]]`, in which parts that are arrays mean their last entry."""
    path: Path = ()
    rest: Any = content
    while rest:
        ((name, rest),) = rest.items()
        path += (name,)
        if isinstance(rest, list):
            entries[path] = entries.get(path, -1) + 1
            return (*path, entries[path])
        if path in entries:
            path += (entries[path],)
    return path


def _note(path: Path, value: Any, line: int, found: dict[Path, int]) -> None:
    """Enter a value and what is in it."""
    if path:
        found.setdefault(path, line)
    if isinstance(value, dict):
        for name, inner in value.items():
            _note((*path, name), inner, line, found)
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            if isinstance(inner, dict):
                _note((*path, number), inner, line, found)
