"""Tokens by hand."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from sioserver.cli import main

STRONG = "0123456789abcdef" * 3


def test_a_token_is_made_and_checked(
    file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SIOSERVER_AUTH__SECRET", STRONG)
    wanted = ["--sub", "ann", "--name", "Ann", "--rooms", "hall, team/*", "--perms", "join,read"]
    assert main(["token", "make", "--config", str(file), *wanted, "--ttl", "2d"]) == 0
    token = capsys.readouterr().out.strip()
    assert token.count(".") == 2
    for given in (["--room", "team/a", token], ["-", "--set", "rooms.root=hall"]):
        monkeypatch.setattr(sys, "stdin", io.StringIO(token + "\n"))
        assert main(["token", "check", "--config", str(file), *given]) == 0
        out, err = capsys.readouterr()
        assert out.startswith("good for ann (Ann)\nuntil ")
        assert "rooms hall, team/*\npermits join, read in *\n" in out
        assert "by the rules too: join, read\n" in out
        assert not err
    assert main(["token", "check", token, "--set", f"auth.secret={STRONG}?"]) == 1
    out, err = capsys.readouterr()
    assert (out, "sioserver: bad (signature): " in err) == ("", True)
    assert token.split(".")[2] not in err


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["make", "--sub", "ann"], "sioserver: there is no auth.secret to sign with"),
        (["make", "--sub", "", "--set", f"auth.secret={STRONG}"], "a user id has 1 to 128"),
        (["make", "--sub", "ann", "--set", "auth.secret=short"], "auth.secret: the secret has 5"),
    ],
)
def test_a_token_that_cannot_be_made(
    args: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["token", *args]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert says in err
    assert "Traceback" not in err
