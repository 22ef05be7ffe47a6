"""What an operator asks of a server that runs."""

from __future__ import annotations

import io

import pytest

from sioserver import remote
from sioserver.auth.api_keys import ApiKeys
from sioserver.cli import main


def test_a_key_that_is_made_opens(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["apikey", "make", "ops"]) == 0
    key, entry = (line.partition(": ")[2] for line in capsys.readouterr().out.splitlines())
    known = ApiKeys([entry.strip('"')])
    assert str(known.find(key)).startswith("ops:admin:sha256:")
    assert main(["apikey", "make", "ops", "--for", "metrics"]) == 0
    assert '"ops:metrics:sha256:' in capsys.readouterr().out


@pytest.mark.parametrize("args", [["a b"], [""], ["ops", "--for", "root"], ["ops", "--for", ""]])
def test_what_is_no_key(args: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["apikey", "make", *args]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert "1 to 64 letters" in told.err


class Asked:
    """What was asked of a server."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.requests: list[tuple[object, ...]] = []
        self.answer: dict[str, object] = {"user": "ann", "before": 60.0, "until": 120.0}
        self.error = ""
        monkeypatch.setattr(remote, "ask", self.ask)
        monkeypatch.setenv("SIOSERVER_API_KEY", "sio_key")

    def ask(self, *request: object) -> dict[str, object]:
        self.requests.append(request)
        if self.error:
            raise remote.RemoteError(self.error)
        return {"ok": True, "revocation": self.answer}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    return Asked(monkeypatch)


def test_revoke_a_user(asked: Asked, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["revoke", "--user", "ann", "--url", "https://a.example/chat"]) == 0
    assert asked.requests == [
        ("https://a.example/chat", "sio_key", "POST", "/api/revocations", {"user": "ann"})
    ]
    assert capsys.readouterr().out == (
        "revoked: tokens of ann that were issued before 1970-01-01T00:01:00+00:00, "
        "until 1970-01-01T00:02:00+00:00\n"
    )


@pytest.mark.parametrize(
    ("args", "body"),
    [
        (["--before", "1700000000.5"], {"before": 1700000000.5}),
        (["--before", "2023-11-14T22:13:20+00:00"], {"before": 1700000000.0}),
        (["--user", "a", "--before", "1", "--until", "2"], {"user": "a", "before": 1, "until": 2}),
        (["--token", "t1"], {"token": "t1"}),
        (["--token", "-"], {"token": "from stdin"}),
    ],
)
def test_revoke_what_is_said(
    asked: Asked, args: list[str], body: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("from stdin\n"))
    assert main(["revoke", *args]) == 0
    assert asked.requests[0][-1] == body


def test_what_was_revoked_in_words(asked: Asked, capsys: pytest.CaptureFixture[str]) -> None:
    asked.answer = {"token": "t1", "until": 120.0}
    main(["revoke", "--token", "t1"])
    assert "revoked: the token t1, until 1970" in capsys.readouterr().out
    asked.answer = {"before": 60.0, "until": 120.0}
    main(["revoke", "--before", "60"])
    assert "revoked: tokens of everybody that" in capsys.readouterr().out


def test_revoke_without_a_key_or_a_word(
    asked: Asked, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["revoke"]) == 2
    assert "--user, --token or --before" in capsys.readouterr().err
    monkeypatch.delenv("SIOSERVER_API_KEY")
    assert main(["revoke", "--user", "ann"]) == 2
    assert "$SIOSERVER_API_KEY" in capsys.readouterr().err
    assert asked.requests == []
    with pytest.raises(SystemExit) as error:
        main(["revoke", "--before", "yesterday"])
    assert error.value.code == 2


def test_a_server_that_does_not_do_it(asked: Asked, capsys: pytest.CaptureFixture[str]) -> None:
    asked.error = "it is not there"
    assert main(["revoke", "--user", "ann"]) == 1
    told = capsys.readouterr()
    assert (told.out, told.err) == ("", "sioserver: it is not there\n")
