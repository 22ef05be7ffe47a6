"""The examples of docs/api.md, one after the other, as a reader would try them out."""

from __future__ import annotations

import json
import re
import shlex
import time
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from yarl import URL

from .test_rooms import KEY, Http, running, token

DOCS = Path(__file__).resolve().parents[2] / "docs" / "api.md"
HOST = "https://chat.example"

_EXAMPLE = re.compile(r"^    \$ (curl (?:.*\\\n)*.*)\n    ({.*})$", re.M)


class Example(NamedTuple):
    command: str
    answer: Any


EXAMPLES = [Example(one[1], json.loads(one[2])) for one in _EXAMPLE.finditer(DOCS.read_text())]

TELLS_TIME = {"at", "before", "edited", "until"}
"""Members whose values are another each time, as is the epoch of a position."""


async def curl(http: Http, command: str) -> Any:
    """Do what curl does with the options that the examples need."""
    secrets = {"$KEY": KEY, "$TOKEN": token(name="Ann", iat=time.time()), "\\\n": " "}
    for name, value in secrets.items():
        command = command.replace(name, value)
    words = iter(shlex.split(command)[1:])
    headers, method, data, where = {}, "", None, ""
    for word in words:
        if word == "-H":
            name, _, value = next(words).partition(": ")
            headers[name] = value
        elif word in ("-d", "--data-binary"):
            data = next(words).encode()
        elif word == "-X":
            method = next(words)
        else:
            assert word.startswith(HOST), word
            where = word.removeprefix(HOST)
    url, method = URL(where, encoded=True), method or ("GET" if data is None else "POST")
    async with http.request(method, url, data=data, headers=headers) as answer:
        return await answer.json()


def alike(found: Any, told: Any) -> bool:
    """The same but for times."""
    if isinstance(told, dict) and isinstance(found, dict):
        if list(found) != list(told):
            return False
        return all(
            type(found[name]) is type(told[name])
            if name in TELLS_TIME
            else found[name].split(".")[1:] == told[name].split(".")[1:]
            if name == "position"
            else alike(found[name], told[name])
            for name in told
        )
    if isinstance(told, list) and isinstance(found, list):
        return len(found) == len(told) and all(map(alike, found, told))
    return bool(found == told)


async def test_the_examples() -> None:
    assert len(EXAMPLES) >= 6
    assert DOCS.read_text().count("    $ curl ") == len(EXAMPLES)
    async with running() as http:
        for example in EXAMPLES:
            found = await curl(http, example.command)
            assert alike(found, example.answer), (example.command, found)


@pytest.mark.parametrize("found", [{}, {"ok": True, "at": "x"}, {"at": 5, "ok": True}, [1], None])
def test_what_is_not_alike(found: Any) -> None:
    assert not alike(found, {"ok": True, "at": 1})
    assert alike({"ok": True, "at": 2}, {"ok": True, "at": 1})
