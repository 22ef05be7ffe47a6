"""What is caught whatever it is, or is kept from the type checker, has its reason beside it."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "sioserver"
BROAD = {"Exception", "BaseException"}
HIDDEN = re.compile(r"# type: ignore(\[[\w, -]+\])?(?P<why>.*)")


def test_there_is_a_reason_for_each() -> None:
    found = [
        f"{path.relative_to(PACKAGE)}:{line}: {what}"
        for path in sorted(PACKAGE.rglob("*.py"))
        for line, what in without_reason(path.read_text(encoding="utf-8"))
    ]
    assert not found, "say in a comment who is told, or why not: " + ", ".join(found)


def without_reason(source: str) -> list[tuple[int, str]]:
    """Lines that catch anything, and do not end by raising something, without a comment on the line
    or right below; and lines that are not checked, without one behind."""
    lines = source.splitlines()
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ExceptHandler) and is_broad(node.type):
            here, below = lines[node.lineno - 1], lines[node.lineno].strip()
            told = "  # " in here or below.startswith("# ")
            if not (told or isinstance(node.body[-1], ast.Raise)):
                found.append((node.lineno, here.strip()))
    for number, line in enumerate(lines, 1):
        hidden = HIDDEN.search(line)
        if hidden is not None and not hidden["why"].strip(" #"):
            found.append((number, hidden[0]))
    return found


def is_broad(caught: ast.expr | None) -> bool:
    if isinstance(caught, ast.Tuple):
        return any(map(is_broad, caught.elts))
    return caught is None or (isinstance(caught, ast.Name) and caught.id in BROAD)


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("try: ...\nexcept Exception:\n    log()", 1),
        ("try: ...\nexcept:\n    log()", 1),
        ("try: ...\nexcept (OSError, BaseException) as e:\n    log(e)", 1),
        ("x = y  # type: ignore[assignment]", 1),
        ("x = y  # type: ignore", 1),
        ("try: ...\nexcept Exception:  # nobody waits for it\n    log()", 0),
        ("try: ...\nexcept Exception:\n    # nobody waits for it\n    log()", 0),
        ("try: ...\nexcept BaseException:\n    log()\n    raise", 0),
        ("try: ...\nexcept OSError:\n    log()", 0),
        ("x = y  # type: ignore[assignment]  # a stub that is wrong", 0),
    ],
)
def test_what_has_none_is_found(source: str, found: int) -> None:
    assert len(without_reason(source)) == found
