"""What is made of the other nodes' answers."""

from __future__ import annotations

import pytest

from sioserver.doctor.peers import Answer, findings

GOOD = Answer("abc", "10.0.0.1:7000", 400, "", 0.0)


@pytest.mark.parametrize(
    ("answers", "secret", "expected"),
    [
        ([], True, [("skip", "cluster.peers")]),
        ([GOOD], True, []),
        (
            [GOOD._replace(status=0, error="refused", skew=None)],
            True,
            [("fail", "cluster.peer.abc")],
        ),
        ([GOOD._replace(status=403)], True, [("fail", "cluster.peer.abc")]),
        ([GOOD._replace(status=403)], False, [("skip", "cluster.peer.abc")]),
        ([GOOD._replace(status=200)], True, [("fail", "cluster.peer.abc")]),
        ([GOOD._replace(skew=5.0)], True, [("warn", "cluster.peer.abc.clock")]),
        ([GOOD._replace(skew=-40.0)], True, [("fail", "cluster.peer.abc.clock")]),
        ([GOOD._replace(skew=None)], True, []),
        ([Answer("d", "", 0, "", None), GOOD], True, []),
    ],
)
def test_answers(answers: list[Answer], secret: bool, expected: list[tuple[str, str]]) -> None:
    found = findings(answers, has_secret=secret)
    assert [(one.level, one.check) for one in found if one.level != "ok"] == expected
