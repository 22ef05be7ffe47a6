"""What the program says when it starts, and how it knows its terminal."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from sioserver import __version__
from sioserver.config import Config
from sioserver.startup import (
    CANNOT_START,
    CannotStart,
    allow_many_files,
    announce,
    cannot_listen,
    check_parser,
    complain,
    redis_in_words,
    shown,
    valkey_beside,
)


def configured(**redis: object) -> Config:
    return msgspec.convert({"redis": redis}, Config)


def test_the_announcement(capsys: pytest.CaptureFixture[str]) -> None:
    announce(Config(), 80, "a place")
    assert capsys.readouterr().out == (
        f"sioserver {__version__} serves http://127.0.0.1:80\n"
        "  store: a place\n"
        "  ANYBODY WHO CAN REACH IT MAY JOIN AND USE ANY NAME: "
        "set auth.secret, auth.public_keys or auth.jwks\n"
    )
    announce(msgspec.convert({"auth": {"secret": "x" * 32}}, Config), 80, "a place")
    assert "ANYBODY" not in capsys.readouterr().out
    announce(msgspec.convert({"server": {"insecure_any_origin": True}}, Config), 80, "a place")
    assert "  PAGES OF EVERY SITE MAY CONNECT: server.insecure_any_origin is set\n" in (
        capsys.readouterr().out
    )
    announce(Config(), 80, "a place", supervisor=1234)
    line = capsys.readouterr().out.splitlines()[2]
    assert line == "  pid 1234: kill -HUP 1234 reads the configuration again"
    announce(msgspec.convert({"tls": {"cert": "a.pem"}}, Config), 443, "a place")
    assert " serves https://127.0.0.1:443\n" in capsys.readouterr().out


def test_a_complaint(capsys: pytest.CaptureFixture[str]) -> None:
    assert complain(CannotStart("the moon is full")) == CANNOT_START
    assert capsys.readouterr() == ("", "sioserver: the moon is full\n")


def test_an_address_that_cannot_be_had() -> None:
    text = str(cannot_listen("::1", 80, OSError(errno.EADDRINUSE, "Address already in use")))
    assert text == (
        "cannot listen on [::1]:80: Address already in use; "
        "choose another with --port, or stop what uses it"
    )
    text = str(cannot_listen("::1", 80, OSError(errno.EACCES, "Permission denied")))
    assert text == "cannot listen on [::1]:80: Permission denied"
    assert str(cannot_listen("a", 1, OSError("strange"))) == "cannot listen on a:1: strange"
    assert shown("127.0.0.1") == "127.0.0.1"


@pytest.mark.parametrize(
    ("redis", "words"),
    [
        ({"url": "redis://localhost"}, "Redis at redis://localhost"),
        ({"url": "rediss://joe:pw@10.0.0.1:6380/3"}, "Redis at rediss://10.0.0.1:6380/3"),
        ({"url": "redis://:pw@[::1]:6379/"}, "Redis at redis://[::1]:6379"),
        ({"url": "redis://:p%40w@a?password=pw"}, "Redis at redis://a"),
        ({"url": "redis://:p@w@a"}, "Redis at redis://a"),
        ({"url": "unix://joe:pw@/run/redis.sock?db=1"}, "Redis at unix:///run/redis.sock"),
        ({"url": "redis://:pw@a:port"}, "Redis"),
        (
            {"url": "redis://:pw@", "sentinels": ["a:1", "b:2"], "service": "main"},
            "Redis, main of the Sentinels a:1, b:2",
        ),
    ],
)
def test_which_redis_it_is_without_its_password(redis: dict[str, object], words: str) -> None:
    assert redis_in_words(configured(**redis).redis) == words


def test_where_workers_keep_their_messages() -> None:
    assert valkey_beside(Path("/var/a.db")) == Path("/var/a.db-valkey")
    assert valkey_beside(Path("a.db")) == Path.cwd() / "a.db-valkey"


# ---------------------------------------------------------------------------- aiohttp's parser


def checked(before: str, **environ: str) -> str:
    """What a program that has done this before gets to hear of aiohttp's parser."""
    program = f"""
import os
{before}
from sioserver.startup import CannotStart, check_parser
try:
    check_parser(os.environ)
except CannotStart as error:
    print(error)
"""
    return subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | environ,
        check=True,
        capture_output=True,
        text=True,
    ).stdout


@pytest.mark.parametrize("before", ["", "import aiohttp.web"])
def test_aiohttp_has_to_read_http_by_its_parser_in_c(before: str) -> None:
    assert checked(before, AIOHTTP_NO_EXTENSIONS="") == ""
    refused = checked(before, AIOHTTP_NO_EXTENSIONS="1")
    assert refused == (
        "aiohttp would read HTTP by its parser in Python, which attackers can get requests past; "
        "unset AIOHTTP_NO_EXTENSIONS and start again\n"
    )


NOT_COMPILED = """
import importlib.machinery
class NotCompiled:
    def find_spec(name, path=None, target=None):
        if name == "aiohttp._http_parser":
            raise ImportError(name)
sys.meta_path.insert(0, NotCompiled)
found = importlib.machinery.PathFinder.find_spec
importlib.machinery.PathFinder.find_spec = lambda name, *places: (
    None if name == "aiohttp._http_parser" else found(name, *places))
"""


@pytest.mark.parametrize("after", ["", "import aiohttp.web"])
def test_an_aiohttp_that_was_not_compiled_is_refused(after: str) -> None:
    refused = checked(f"import sys\n{NOT_COMPILED}\n{after}", AIOHTTP_NO_EXTENSIONS="")
    assert refused.endswith("; install aiohttp from a wheel, or where there is a C compiler\n")


def test_it_is_looked_for_without_an_import() -> None:
    """The supervisor, which looks for it too, has no use for aiohttp."""
    told = "import atexit, sys\natexit.register(lambda: print('aiohttp' in sys.modules))"
    assert checked(told, AIOHTTP_NO_EXTENSIONS="") == "False\n"


def test_the_parser_of_this_process_is_fine() -> None:
    check_parser({})


# ---------------------------------------------------------------------------- the terminal

_PROGRAM = """
import os, signal, sys
if len(sys.argv) > 1:
    os.open(sys.argv[1], os.O_RDWR)  # a session's first terminal becomes its own
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # the tests themselves may run under nohup
from sioserver.startup import Terminal
{before}
terminal = Terminal()
assert not terminal.gone
signal.signal(signal.SIGHUP, lambda *_: print("gone" if terminal.gone else "there", flush=True))
print("ready", flush=True)
while True:
    signal.pause()
"""


def told(before: str = "", *, hang_up: bool, terminal: bool = True) -> str:
    """What a program in a terminal of its own says of a SIGHUP."""
    ours, its = os.openpty()
    arguments = [os.ttyname(its)] if terminal else []
    with subprocess.Popen(
        [sys.executable, "-c", _PROGRAM.format(before=before), *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            os.close(its)
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            if hang_up:
                os.close(ours)
            else:
                process.send_signal(signal.SIGHUP)
            return process.stdout.readline()
        finally:
            process.kill()
            if not hang_up:
                os.close(ours)


def test_a_terminal_that_is_closed_is_told_from_a_signal() -> None:
    assert told(hang_up=False) == "there\n"
    assert told(hang_up=True) == "gone\n"


def test_a_program_that_was_told_to_outlive_its_terminal_does() -> None:
    """As nohup does it."""
    assert told("signal.signal(signal.SIGHUP, signal.SIG_IGN)", hang_up=True) == "there\n"


def test_without_a_terminal_there_is_none_to_lose() -> None:
    assert told(hang_up=False, terminal=False) == "there\n"


@pytest.mark.skipif(sys.platform == "win32", reason="no such limit there")
def test_as_many_files_as_there_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    import resource

    kind = resource.RLIMIT_NOFILE
    before = resource.getrlimit(kind)
    try:
        resource.setrlimit(kind, (512, before[1]))
        allow_many_files()
        assert resource.getrlimit(kind) == (before[1], before[1])
    finally:
        resource.setrlimit(kind, before)

    def refuse(*_: object) -> None:
        raise ValueError("more than the system gives")

    monkeypatch.setattr(resource, "setrlimit", refuse)
    allow_many_files()
