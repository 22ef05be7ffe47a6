"""Answers in JSON."""

from __future__ import annotations

import json

import pytest

from sioserver.api.answers import answer
from sioserver.api.headers import ANSWER


def test_an_answer() -> None:
    told = answer({"ok": True}, 201, {"Link": "<?after=1>"})
    assert (told.status, told.body) == (201, b'{"ok":true}')
    assert told.headers.items() >= {**ANSWER, "Link": "<?after=1>"}.items()
    assert told.headers["Content-Type"] == "application/json; charset=utf-8"


def test_bytes_are_told_as_text_wherever_they_are() -> None:
    told = answer({"body": [b"\0\xff", {"a": b""}], "n": {1: 2}})
    assert isinstance(told.body, bytes)
    found = json.loads(told.body)
    assert found == {"body": [{"_base64": "AP8="}, {"a": {"_base64": ""}}], "n": {"1": 2}}


def test_what_is_not_json() -> None:
    with pytest.raises(TypeError):
        answer({"body": object()})
