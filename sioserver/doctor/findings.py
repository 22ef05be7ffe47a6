"""Findings, and the report that is made of them. Values in, text out: nothing is looked at here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, Literal, NamedTuple

import orjson

from sioserver.logs import hide_secrets

Level = Literal["ok", "skip", "warn", "fail"]

_SHOWN: Final = {"ok": "ok", "skip": "-", "warn": "warn", "fail": "FAIL"}


class Finding(NamedTuple):
    """What one check has found. No field ever holds a secret."""

    level: Level
    """`skip`: it could not be looked at; the text says why."""
    check: str
    """What was looked at: a setting's key, or a name of the form `area.thing`."""
    text: str
    remedy: str = ""
    """What to do about it."""

    def line(self) -> str:
        """For people."""
        remedy = f" — {self.remedy}" if self.remedy else ""
        words = " ".join(hide_secrets(f"{self.text}{remedy}").split())
        # two spaces: a colon behind a setting's name would look like its value
        return f"{_SHOWN[self.level]:<4}  {self.check}  {words}"


def ok(check: str, text: str) -> Finding:
    """All is well."""
    return Finding("ok", check, text)


def skip(check: str, text: str, remedy: str = "") -> Finding:
    """It could not be looked at."""
    return Finding("skip", check, text, remedy)


def warn(check: str, text: str, remedy: str) -> Finding:
    """It works, and may not one day, or not for everybody."""
    return Finding("warn", check, text, remedy)


def fail(check: str, text: str, remedy: str) -> Finding:
    """It does not work, or is not safe."""
    return Finding("fail", check, text, remedy)


def exit_code(findings: Iterable[Finding], *, strict: bool) -> int:
    """1 when something fails (`strict`: or is warned of), else 0."""
    bad = ("fail", "warn") if strict else ("fail",)
    return int(any(finding.level in bad for finding in findings))


def as_text(findings: Sequence[Finding]) -> str:
    """A line for each, and one that counts them."""
    lines = [finding.line() for finding in findings]
    counts = {level: sum(one.level == level for one in findings) for level in _SHOWN}
    words = f"{counts['ok']} ok, {counts['warn']} to look at, {counts['fail']} wrong"
    if counts["skip"]:
        words += f", {counts['skip']} left out"
    return "\n".join([*lines, words]) + "\n"


def as_json(findings: Sequence[Finding]) -> str:
    """A list of objects with the fields of `Finding`."""
    found = [
        {name: hide_secrets(text) for name, text in finding._asdict().items()}
        for finding in findings
    ]
    return orjson.dumps(found, option=orjson.OPT_INDENT_2).decode() + "\n"
