"""The command: what an operator types, what is printed where, and the exit codes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from sioserver._version import __version__
from sioserver.cli import main
from sioserver.config import Config, ConfigError
from sioserver.config.load import FLAGS

from .conftest import BAD, GOOD


def command(*args: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "sioserver", *args], capture_output=True, text=True, timeout=timeout
    )


# ---------------------------------------------------------------------------- serve


def test_serve_without_anything_takes_the_defaults(served: list[Config]) -> None:
    assert main(["serve"]) == 7
    assert served == [Config()]


def test_serve_takes_all_layers(
    served: list[Config], file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIOSERVER_LOG__LEVEL", "error")
    monkeypatch.setenv("SIOSERVER_LOG__FORMAT", "json")
    flags = ["--config", str(file), "--host", "::1", "--port", "1", "--store", ":memory:"]
    sets = ["--set", "server.port=2", "--set", "log.format=text", "--set=limits.enabled=no"]
    assert main(["serve", *flags, *sets]) == 7
    (config,) = served
    assert (config.server.host, config.server.port, config.store.path) == ("::1", 1, ":memory:")
    assert (config.log.level, config.log.format, config.limits.enabled) == ("error", "text", False)


def test_many_workers_are_for_the_supervisor(
    served: list[Config], file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[Config] = []

    def supervise(config: Config, reload: Callable[[], Config], extension: str) -> int:
        started.append(config)
        file.write_text(GOOD + "[presence]\ngrace = 7\n")
        started.append(reload())
        file.write_text(BAD)
        with pytest.raises(ConfigError, match=r"s\.toml:2: server\.prot: unknown key"):
            reload()
        return 8

    workers = ModuleType("sioserver.workers")
    workers.supervise = supervise  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "sioserver.workers", workers)
    assert main(["serve", "--config", str(file), "--workers", "4"]) == 8
    assert not served
    assert [(config.server.workers, config.server.port) for config in started] == [(4, 9000)] * 2
    assert [config.presence.grace for config in started] == [5, 7]


def test_serve_does_not_start_with_a_fault(
    served: list[Config], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["serve", "--host", "0.0.0.0", "--port", "http"]) == 2
    assert not served
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("sioserver: 2 faults in the configuration\n  --port: server.port: expe")
    assert "--host: server.host: 0.0.0.0 can be reached from outside" in err


@pytest.mark.parametrize("workers", ["1", "2"])
def test_serve_does_not_start_with_a_parser_of_http_that_is_not_safe(
    monkeypatch: pytest.MonkeyPatch, workers: str
) -> None:
    monkeypatch.setenv("AIOHTTP_NO_EXTENSIONS", "1")
    done = command("serve", "--port", "0", "--store", ":memory:", "--workers", workers)
    assert (done.returncode, done.stdout) == (2, "")
    assert "unset AIOHTTP_NO_EXTENSIONS" in done.stderr
    assert "Traceback" not in done.stderr


def test_serve_with_something_that_is_no_function(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["serve", "--app", "chat.py"])
    assert caught.value.code == 2
    assert "argument --app: expected MODULE:FUNCTION" in capsys.readouterr().err


def test_every_short_flag_is_an_option_of_serve(served: list[Config]) -> None:
    for option in FLAGS:
        assert main(["serve", option, "1"]) == (2 if option == "--host" else 7)


def test_an_interrupt_is_no_traceback(
    served: list[Config], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(config: Config, *, extension: str) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(sys.modules["sioserver.serve"], "run", interrupted)
    assert main(["serve"]) == 130


def test_names_of_the_protocol_cannot_be_relayed(capsys: pytest.CaptureFixture[str]) -> None:
    rules = 'rooms.rules=[{match = "a", relay = ["cursor", "auth", "welcome", "connect"]}]'
    assert main(["config", "check", "--set", rules]) == 2
    err = capsys.readouterr().err
    for name in ("auth", "welcome", "connect"):
        assert f'"{name}" cannot be relayed' in err
    assert '"cursor"' not in err


# ---------------------------------------------------------------------------- the rest


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["version"]) == 0
    assert capsys.readouterr().out == f"sioserver {__version__}\n"


@pytest.mark.parametrize("args", [[], ["config"]])
def test_a_command_that_is_not_complete_gets_help(
    args: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(args) == 0
    out = capsys.readouterr().out
    assert out.startswith(" ".join(["usage: sioserver", *args]))
    assert ("show" if args else "serve") in out


@pytest.mark.parametrize(
    "args", [["serv"], ["serve", "--bogus"], ["serve", "--conf", "x"], ["serve", "x"], ["-x"]]
)
def test_what_is_not_understood_is_said_with_exit_code_2(
    args: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(args)
    assert caught.value.code == 2
    assert "usage: sioserver" in capsys.readouterr().err


# ---------------------------------------------------------------------------- as a process


def test_the_module_is_the_command() -> None:
    done = command("version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"sioserver {__version__}\n", "")


def test_the_exit_code_of_a_fault() -> None:
    done = command("serve", "--config", "missing.toml")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "missing.toml: cannot be read" in done.stderr


def test_a_reader_that_goes_away_is_no_traceback() -> None:
    arguments = [sys.executable, "-m", "sioserver", "config", "example"]
    with subprocess.Popen(
        arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 0


def test_a_terminal_that_is_not_utf_8() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "sioserver", "config", "show", "--set", "store.path=Straße"],
        capture_output=True,
        text=True,
        timeout=60,
        env={"PYTHONIOENCODING": "ascii"},
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert 'path = "Stra\\xdfe"' in done.stdout


def test_commands_that_do_not_serve_load_nothing_of_the_server() -> None:
    """They stay fast, and work where the server's own libraries do not."""
    code = (
        "import sys; from sioserver.cli import main; code = main(['config', 'check']); "
        "print(code, sorted(sys.modules.keys() & {'asyncio', 'aiohttp', 'socketio', 'redis'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines()[-1] == "0 []"
