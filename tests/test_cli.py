"""The command: what an operator types, what is printed where, and the exit codes."""

import io
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from sioserver import remote
from sioserver._version import __version__
from sioserver.auth.api_keys import ApiKeys
from sioserver.cli import LARGEST_FILE, main
from sioserver.config import Config, ConfigError
from sioserver.config.load import FLAGS
from sioserver.config.render import example

from .auth.kit import pem
from .certificates import Certificates

GOOD = '[server]\nport = 9000\n[log]\nlevel = "debug"\n'
BAD = '[server]\nprot = 9000\n[log]\nlevel = "loud"\n'


@pytest.fixture(autouse=True)
def _no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SIOSERVER_CONFIG", raising=False)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "s.toml"
    path.write_text(GOOD)
    return path


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[Config]:
    """The configurations that the server was started with; it ends with exit code 7."""
    started: list[Config] = []

    def run(config: Config) -> int:
        started.append(config)
        return 7

    app = ModuleType("sioserver.app")
    app.run = run  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "sioserver.app", app)
    return started


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

    def supervise(config: Config, reload: Callable[[], Config]) -> int:
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


def test_every_short_flag_is_an_option_of_serve(served: list[Config]) -> None:
    for option in FLAGS:
        assert main(["serve", option, "1"]) == (2 if option == "--host" else 7)


def test_an_interrupt_is_no_traceback(
    served: list[Config], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(config: Config) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(sys.modules["sioserver.app"], "run", interrupted)
    assert main(["serve"]) == 130


def test_names_of_the_protocol_cannot_be_relayed(capsys: pytest.CaptureFixture[str]) -> None:
    rules = 'rooms.rules=[{match = "a", relay = ["cursor", "auth", "welcome", "connect"]}]'
    assert main(["config", "check", "--set", rules]) == 2
    err = capsys.readouterr().err
    for name in ("auth", "welcome", "connect"):
        assert f'"{name}" cannot be relayed' in err
    assert '"cursor"' not in err


# ---------------------------------------------------------------------------- the file


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


# ---------------------------------------------------------------------------- doctor


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


# ---------------------------------------------------------------------------- tokens

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


# ---------------------------------------------------------------------------- keys, revocations


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
