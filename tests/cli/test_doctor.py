"""The words of an examination, and what is printed of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from sioserver.cli import main
from sioserver.config import Config


@pytest.mark.parametrize(
    "arguments",
    [
        ("--url", "ftp://x"),
        ("--url", "https://"),
        ("--url", "https://x/?token=1"),
        ("--url", "https://joe:swordfish@x"),
        ("--timeout", "0"),
        ("--timeout", "soon"),
        ("--proxy-timeout", "-1"),
        ("--pid", "x"),
    ],
)
def test_the_doctor_takes_no_nonsense(
    arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["doctor", *arguments])
    assert ended.value.code == 2
    assert arguments[0] in capsys.readouterr().err


def test_the_doctor_is_told_of_files_that_are_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--nginx", "none.conf"]) == 2
    assert "none.conf: cannot be read" in capsys.readouterr().err


def test_the_doctor_prints_lines_or_json_and_is_strict(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    from sioserver.doctor import examination
    from sioserver.doctor.findings import Finding, warn

    asked: list[examination.Request] = []

    async def examine(config: Config, request: examination.Request) -> list[Finding]:
        asked.append(request)
        return [warn(f"on {config.server.port}", "hm", "mend it")]

    monkeypatch.setattr(examination, "examine", examine)
    (tmp_path / "n.conf").write_text("events {}")
    assert main(["doctor", "--set", "server.port=9", "--nginx", "n.conf", "--pid", "7"]) == 0
    assert capsys.readouterr().out.splitlines()[0] == "warn  on 9  hm — mend it"
    assert asked == [examination.Request(nginx=[("n.conf", "events {}")], haproxy=[], pid=7)]
    assert main(["doctor", "--json", "--strict"]) == 1
    assert '"remedy": "mend it"' in capsys.readouterr().out
