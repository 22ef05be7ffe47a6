"""The report: a line each, JSON, the exit code; and no secret in any of it."""

from __future__ import annotations

import json

import pytest

from sioserver.doctor.findings import Finding, as_json, as_text, exit_code, fail, ok, skip, warn

ALL = [ok("a", "is well"), skip("b", "not asked"), warn("c", "hm", "mend it"), fail("d", "no", "x")]


def test_a_line_each_and_a_count() -> None:
    assert as_text(ALL) == (
        "ok    a  is well\n"
        "-     b  not asked\n"
        "warn  c  hm — mend it\n"
        "FAIL  d  no — x\n"
        "1 ok, 1 to look at, 1 wrong, 1 left out\n"
    )
    assert as_text(ALL[:1]).endswith("1 ok, 0 to look at, 0 wrong\n")


def test_a_finding_is_one_line_whatever_others_said() -> None:
    assert Finding("fail", "a", "one\ntwo\r\n  three", "four").line().count("\n") == 0


def test_json_has_all_fields() -> None:
    found = json.loads(as_json(ALL))
    assert found[2] == {"level": "warn", "check": "c", "text": "hm", "remedy": "mend it"}
    assert [one["level"] for one in found] == ["ok", "skip", "warn", "fail"]


@pytest.mark.parametrize(
    ("findings", "strict", "code"),
    [
        (ALL[:2], False, 0),
        (ALL[:2], True, 0),
        (ALL[:3], False, 0),
        (ALL[:3], True, 1),
        (ALL, False, 1),
        (ALL, True, 1),
        ([], True, 0),
    ],
)
def test_the_exit_code(findings: list[Finding], strict: bool, code: int) -> None:
    assert exit_code(findings, strict=strict) == code


@pytest.mark.parametrize(
    "text", ["redis://joe:swordfish@10.0.0.1", "eyJhbGciOi.eyJzdWIiOiJ.c3dvcmRmaXNo swordfish"[:31]]
)
def test_what_others_quote_is_blotted_out(text: str) -> None:
    for shown in (as_text([fail("a", text, "")]), as_json([fail("a", text, "")])):
        assert "swordfish" not in shown
        assert "eyJhb" not in shown
