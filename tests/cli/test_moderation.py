"""`sioserver ban`, `unban` and `bans`."""

from __future__ import annotations

from typing import Any

import pytest

from sioserver import remote
from sioserver.cli import main

BAN = {
    "user": "eve",
    "until": 120_000,
    "by": "the key ops",
    "reason": "spam",
    "at": 60_000,
    "address": False,
}


class Asked:
    """What was asked of a server, and what it answers."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.requests: list[tuple[Any, ...]] = []
        self.answers: list[dict[str, Any]] = []
        self.error = ""
        monkeypatch.setattr(remote, "ask", self.ask)
        monkeypatch.setenv("SIOSERVER_API_KEY", "sio_key")

    def ask(self, url: str, key: str, *request: Any) -> dict[str, Any]:
        assert (url, key) == ("http://127.0.0.1:8000", "sio_key")
        self.requests.append(request)
        if self.error:
            raise remote.RemoteError(self.error)
        return {"ok": True, **self.answers.pop(0)}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    return Asked(monkeypatch)


@pytest.mark.parametrize(
    ("args", "path", "body"),
    [
        (["eve"], "/api/bans", {"user": "eve"}),
        (["eve", "--address"], "/api/bans", {"user": "eve", "address": True}),
        (
            ["eve", "--seconds", "60", "--reason", "spam", "--room", "team/ä"],
            "/api/rooms/team%2F%C3%A4/bans",
            {"user": "eve", "seconds": 60, "reason": "spam"},
        ),
        (["eve", "--mute", "--seconds", "9"], "/api/mutes", {"user": "eve", "seconds": 9}),
    ],
)
def test_ban(asked: Asked, args: list[str], path: str, body: dict[str, Any]) -> None:
    asked.answers = [BAN]
    assert main(["ban", *args]) == 0
    assert asked.requests == [("POST", path, body)]


def test_what_was_done_in_words(asked: Asked, capsys: pytest.CaptureFixture[str]) -> None:
    asked.answers = [BAN, {**BAN, "until": None, "address": True, "reason": ""}, {}, {}]
    assert main(["ban", "eve"]) == 0
    assert capsys.readouterr().out == "banned: eve, until 1970-01-01T00:02:00+00:00: spam\n"
    assert main(["ban", "eve", "--mute", "--seconds", "1"]) == 0
    assert capsys.readouterr().out == "muted: eve, and where they came from, for good\n"
    assert main(["unban", "a/b ä"]) == 0
    assert capsys.readouterr().out == "a/b ä may come again\n"
    assert main(["unban", "eve", "--mute", "--room", "lobby"]) == 0
    assert capsys.readouterr().out == "eve may post again\n"
    assert [request[:2] for request in asked.requests[2:]] == [
        ("DELETE", "/api/bans/a%2Fb%20%C3%A4"),
        ("DELETE", "/api/rooms/lobby/mutes/eve"),
    ]


def test_bans_are_listed_to_the_end(asked: Asked, capsys: pytest.CaptureFixture[str]) -> None:
    other = {**BAN, "user": "z"}
    asked.answers = [{"items": [BAN], "next": "eve"}, {"items": [other]}]
    assert main(["bans"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == (
        "eve, until 1970-01-01T00:02:00+00:00: spam (by the key ops, 1970-01-01T00:01:00+00:00)"
    )
    assert lines[1].startswith("z, until")
    assert [request[1] for request in asked.requests] == ["/api/bans", "/api/bans?after=eve"]


@pytest.mark.parametrize("args", [["ban", "eve"], ["unban", "eve"], ["bans"]])
def test_a_server_that_does_not_do_it(
    asked: Asked, args: list[str], monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    asked.error = "it is not there"
    assert main(args) == 1
    assert capsys.readouterr().err == "sioserver: it is not there\n"
    monkeypatch.delenv("SIOSERVER_API_KEY")
    assert main(args) == 2
    assert "$SIOSERVER_API_KEY" in capsys.readouterr().err
