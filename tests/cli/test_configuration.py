"""The configuration that commands are given, and the commands that look at it."""

from __future__ import annotations

from pathlib import Path

import pytest

from sioserver.cli import main
from sioserver.cli.configuration import LARGEST_FILE
from sioserver.config import Config
from sioserver.config.render import example
from tests.auth.kit import pem
from tests.certificates import Certificates

from .conftest import BAD, GOOD


def test_a_file_of_the_working_directory_is_not_read_unasked(
    served: list[Config], tmp_path: Path
) -> None:
    (tmp_path / "sioserver.toml").write_text(BAD)
    assert main(["serve"]) == 7
    assert served == [Config()]


def test_the_environment_can_name_the_file(
    served: list[Config], file: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SIOSERVER_CONFIG", str(file))
    main(["serve"])
    other = tmp_path / "other.toml"
    other.write_text("")
    main(["serve", "--config", str(other)])
    monkeypatch.setenv("SIOSERVER_CONFIG", "")
    main(["serve"])
    assert [config.server.port for config in served] == [9000, 8000, 8000]


def test_a_byte_order_mark_is_forgiven(file: Path) -> None:
    file.write_text(GOOD, encoding="utf-8-sig")
    assert main(["config", "check", "--config", str(file)]) == 0


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("missing.toml", "missing.toml: cannot be read: No such file or directory"),
        (".", ".: cannot be read: Is a directory"),
        ("", "cannot be read: No such file or directory"),
        ("a\0b", "cannot be read: embedded null byte"),
        ("latin.toml", "latin.toml:2: is not UTF-8 text"),
        ("large.toml", "large.toml: has more than 1000000 bytes"),
        ("broken.toml", "broken.toml:2:6: not valid TOML: expected '=' after a key"),
    ],
)
def test_a_file_that_cannot_be_read(
    name: str, text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "latin.toml").write_bytes(b"[server]\nhost = '\xe9'")
    (tmp_path / "large.toml").write_bytes(b"#" * (LARGEST_FILE + 1))
    (tmp_path / "broken.toml").write_text("[server]\nport 1")
    assert main(["serve", "--config", name]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("sioserver: a fault in the configuration\n")
    assert text in err


# ---------------------------------------------------------------------------- config


def test_check_says_what_is_fine(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "check", "--config", str(file)]) == 0
    assert capsys.readouterr() == (f"{file}: ok\n", "")
    assert main(["config", "check"]) == 0
    assert capsys.readouterr().out == "no file, so the defaults: ok\n"


def test_check_says_all_that_is_wrong(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text(BAD)
    assert main(["config", "check", "--config", str(file), "--set", "a"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "sioserver: 3 faults in the configuration",
        f'  {file}:2: server.prot: unknown key; did you mean "port"?',
        f'  {file}:4: log.level: expected one of "debug", "info", "warning", "error", found "loud"',
        "  --set: a: expected section.key=value",
    ]


def test_check_looks_at_the_certificate(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = Certificates(tmp_path)
    file.write_text(f"[tls]\ncert = '{files.cert}'\n")
    check = ["config", "check", "--config", str(file)]
    assert main([*check, "--set", f"tls.key={files.key}"]) == 0
    assert capsys.readouterr() == (f"{file}: ok\n", "")
    files.issue(begins_at=0.0, expires_at=1_000_000_000.0)
    assert main([*check, "--set", f"tls.key={files.key}"]) == 0
    assert capsys.readouterr() == (
        f"{file}: ok\n",
        "warning: the certificate expired on 2001-09-09 01:46 UTC: clients refuse it\n",
    )
    assert main(check) == 2
    assert capsys.readouterr().err == (
        "sioserver: a fault in the configuration\n"
        f"  {file}:2: tls.cert: there is no private key (PEM) in {files.cert}; "
        "name the file that holds it in tls.key\n"
    )
    missing = tmp_path / "none"
    assert main([*check, "--set", f"tls.key={missing}"]) == 2
    assert f"  --set tls.key: tls.key: {missing} cannot be read: No" in capsys.readouterr().err
    # what is only shown need not be there
    assert main(["config", "show", "--config", str(file), "--set", f"tls.key={missing}"]) == 0


def test_keys_of_tokens_are_looked_at_too(
    served: list[Config], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "issuer.pem"
    keys = ["--set", f'auth.public_keys=["{path}"]']
    for command in (["serve"], ["config", "check"]):
        assert main([*command, *keys, "--set", "tls.cert=nowhere.pem"]) == 2
        err = capsys.readouterr().err
        assert f'auth.public_keys=["{path}"]' not in err
        assert f"--set auth.public_keys: auth.public_keys: {path} cannot be read: No such" in err
        assert "tls.cert: nowhere.pem cannot be read" in err  # every fault in one go
    path.write_bytes(pem("p256"))
    assert main(["config", "check", *keys]) == 0
    assert main(["serve", *keys]) == 7


def test_serve_does_not_start_with_a_certificate_that_is_no_good(
    served: list[Config], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["serve", "--set", "tls.cert=nowhere.pem"]) == 2
    assert not served
    assert "tls.cert: nowhere.pem cannot be read: No such file" in capsys.readouterr().err


def test_show(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    secret = "0123456789abcdef" * 2
    args = ["--config", str(file), "--set", f"auth.secret={secret}"]
    assert main(["config", "show", *args]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert f"port = 9000  # {file}:2\n" in out
    assert secret not in out


def test_example(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "example"]) == 0
    assert capsys.readouterr().out == example()
