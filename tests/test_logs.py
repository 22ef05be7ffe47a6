"""Lines of the log: what they look like, what they never show, and floods."""

import io
import json
import logging
import sys
from collections.abc import Iterator
from typing import Any

import engineio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sioserver.config.schema import Log
from sioserver.logs import JsonFormatter, TextFormatter, hide_secrets, once_per, setup

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9.c2lnbmF0dXJl-_x"


def record(message: object = "hello", *args: object, **fields: Any) -> logging.LogRecord:
    made = logging.LogRecord(
        name=fields.pop("name", "sioserver.test"),
        level=fields.pop("level", logging.INFO),
        pathname="test.py",
        lineno=fields.pop("lineno", 1),
        msg=message,
        args=args,
        exc_info=fields.pop("exc_info", None),
    )
    made.created = fields.pop("created", 1_700_000_000.25)
    for name, value in fields.items():
        setattr(made, name, value)
    return made


def failure(text: str) -> Any:
    try:
        raise ValueError(text)
    except ValueError:
        return sys.exc_info()


def test_a_line_of_text() -> None:
    line = TextFormatter().format(record("%s joined", "alice", room="lobby", number=3))
    assert line == (
        "2023-11-14T22:13:20.250Z INFO    sioserver.test: alice joined room=lobby number=3"
    )


def test_a_line_of_json() -> None:
    line = JsonFormatter().format(record("%s joined", "alice", room="lobby", number=3, x=None))
    assert json.loads(line) == {
        "at": "2023-11-14T22:13:20.250Z",
        "level": "info",
        "logger": "sioserver.test",
        "message": "alice joined",
        "room": "lobby",
        "number": 3,
        "x": None,
    }


def test_a_traceback_is_indented_or_a_field() -> None:
    given_record = record("it failed", exc_info=failure("the cause"), level=logging.ERROR)
    first, *rest = TextFormatter().format(given_record).split("\n")
    assert first.endswith("ERROR   sioserver.test: it failed")
    assert rest[0] == "    Traceback (most recent call last):"
    assert rest[-1] == "    ValueError: the cause"
    assert all(line.startswith("    ") for line in rest)
    fields = json.loads(JsonFormatter().format(given_record))
    assert fields["trace"].endswith("ValueError: the cause")


@pytest.mark.parametrize("formatter", [TextFormatter(), JsonFormatter()])
@pytest.mark.parametrize(
    "evil",
    [
        "a\n2023-11-14T22:13:20.250Z INFO    sioserver: all is well",
        "a\rb",
        "a\x1b[2Jb",
        "a\u2028b",
        "a\u202eb",
        "a\ud800b",
        "a\x85b",
    ],
)
def test_a_strangers_text_makes_no_line_of_its_own(formatter: logging.Formatter, evil: str) -> None:
    line = formatter.format(record("name %s", evil, room=evil))
    assert len(line.splitlines()) == 1
    assert not any(sign in line for sign in "\n\r\x1b\u2028\u202e\ud800\x85")
    line.encode()


def test_in_a_traceback_too() -> None:
    line = TextFormatter().format(record(exc_info=failure("a\x1b[2J\u202eb\ud800")))
    assert not any(sign in line for sign in "\x1b\u202e\ud800")


@settings(deadline=None)
@given(st.text(st.characters()), st.recursive(st.none() | st.text(st.characters()), st.lists))
def test_any_text_makes_one_line(text: str, extra: Any) -> None:
    for formatter in (TextFormatter(), JsonFormatter()):
        line = formatter.format(record("%s", text, room=extra, huge=10**40, real=float("nan")))
        assert len(line.splitlines()) == 1
        line.encode()
        if isinstance(formatter, JsonFormatter):
            assert json.loads(line)["logger"] == "sioserver.test"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"token {JWT} refused", "token <token> refused"),
        (f"auth={JWT}", "auth=<token>"),
        (JWT[:-10], "<token>"),
        ("GET /socket.io/?EIO=4&sid=abc HTTP/1.1", "GET /socket.io/?<query> HTTP/1.1"),
        ("http://h/x?token=1#y", "http://h/x?<query>"),
        ("('/socket.io/?sid=abc', 1)", "('/socket.io/?<query>', 1)"),
        ("{'token': 'abc', 'room': 'r'}", "{'token': <hidden>, 'room': 'r'}"),
        ('{"token":"a b","pid":"c"}', '{"token":<hidden>,"pid":<hidden>}'),
        ("Authorization: Bearer abc", "Authorization: <hidden>"),
        ("password=abc, user=x", "password=<hidden>, user=x"),
        ("secret: abc", "secret: <hidden>"),
        ("at redis://joe:abc@h:1/0, again", "at redis://<hidden>@h:1/0, again"),
        ("'rediss://:a@abc@h'", "'rediss://<hidden>@h'"),
        ("unix://joe:abc@/x.sock", "unix://<hidden>@/x.sock"),
        # and nothing else
        ("are you there?", "are you there?"),
        ("why? because a=b", "why? because a=b"),
        ("eye.to.eye", "eye.to.eye"),
        ("the token has expired", "the token has expired"),
        ("listening on http://127.0.0.1:8000", "listening on http://127.0.0.1:8000"),
        ("redis://h:1/0 and https://h/@me", "redis://h:1/0 and https://h/@me"),
    ],
)
def test_secrets_are_hidden(text: str, shown: str) -> None:
    assert hide_secrets(text) == shown
    for formatter in (TextFormatter(), JsonFormatter()):
        line = formatter.format(record("%s", text, extra=text, exc_info=failure(text)))
        if text != shown:
            assert text not in line
            assert JWT not in line
            assert "abc" not in line


# ---------------------------------------------------------------------------- floods


def test_one_cause_writes_one_line() -> None:
    flood = once_per(10)
    shown = [flood.filter(record("no %s", n, created=100 + n)) for n in range(25)]
    assert [n for n in range(25) if shown[n]] == [0, 10, 20]
    again = record("no %s", 1, created=130.0)
    assert flood.filter(again)
    assert "(4 more like this were not shown)" in TextFormatter().format(again)
    assert json.loads(JsonFormatter().format(again))["repeated"] == 4


def test_the_first_line_says_nothing_of_others() -> None:
    flood = once_per(10)
    for created in (0.0, 20.0):
        one = record(created=created)
        assert flood.filter(one)
        assert "more like this" not in TextFormatter().format(one)


@pytest.mark.parametrize(
    "other",
    [
        {"lineno": 2},
        {"name": "sioserver.other"},
        {"message": "another"},
        {"exc_info": failure("x")},
        {"message": ["not", "a", "string"]},
    ],
)
def test_another_cause_has_a_line_of_its_own(other: dict[str, Any]) -> None:
    flood = once_per(10)
    assert flood.filter(record())
    assert not flood.filter(record())
    assert flood.filter(record(**other))
    assert not flood.filter(record(**other))


def test_a_clock_that_is_set_back_silences_nothing() -> None:
    flood = once_per(10)
    assert flood.filter(record(created=1000.0))
    assert flood.filter(record(created=500.0))
    assert not flood.filter(record(created=501.0))


def test_lower_levels_pass() -> None:
    flood = once_per(10, logging.WARNING)
    assert all(flood.filter(record(level=logging.INFO)) for _ in range(3))
    assert flood.filter(record(level=logging.WARNING))
    assert not flood.filter(record(level=logging.WARNING))


def test_the_causes_have_a_bound() -> None:
    flood = once_per(1e9)
    for number in range(5000):
        flood.filter(record(f"made on the spot {number}"))
    assert len(flood._causes) <= flood.CAUSES


# ---------------------------------------------------------------------------- setup


@pytest.fixture
def _logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    names = ("engineio", "socketio", "aiohttp.access", "asyncio")
    levels = {name: logging.getLogger(name).level for name in names}
    handlers, level = root.handlers[:], root.level
    filters = logging.getLogger("aiohttp.server").filters[:]
    yield
    root.handlers[:], root.level = handlers, level
    logging.getLogger("aiohttp.server").filters[:] = filters
    root.setLevel(level)
    for name, before in levels.items():
        logging.getLogger(name).setLevel(before)


@pytest.mark.usefixtures("_logging_as_before")
class TestSetup:
    def test_the_level_and_the_format(self) -> None:
        out = io.StringIO()
        setup(Log(level="warning", format="json"), out)
        logging.getLogger("sioserver.test").info("too low")
        logging.getLogger("sioserver.test").warning("high enough")
        assert [json.loads(line)["message"] for line in out.getvalue().splitlines()] == [
            "high enough"
        ]

    def test_text(self) -> None:
        out = io.StringIO()
        setup(Log(), out)
        logging.getLogger("sioserver.test").info("shown")
        logging.getLogger("sioserver.test").debug("not shown")
        assert out.getvalue().endswith("INFO    sioserver.test: shown\n")
        assert out.getvalue().count("\n") == 1

    def test_the_lines_of_a_worker_say_so(self) -> None:
        stream = io.StringIO()
        setup(Log(), stream, worker=3)
        logging.getLogger("sioserver.x").info("hello")
        setup(Log(format="json"), stream, worker=4)
        logging.getLogger("sioserver.x").info("hello")
        text, line = stream.getvalue().splitlines()
        assert text.endswith(" sioserver.x: hello worker=3")
        assert json.loads(line)["worker"] == 4

    def test_twice_is_once(self) -> None:
        first, second = io.StringIO(), io.StringIO()
        setup(Log(), first)
        handler = setup(Log(level="error"), second)
        assert handler in logging.getLogger().handlers
        logging.getLogger("sioserver.test").error("x")
        assert first.getvalue() == ""
        assert second.getvalue().count("\n") == 1

    def test_handlers_of_others_stay(self) -> None:
        other = logging.NullHandler()
        logging.getLogger().addHandler(other)
        setup(Log(), io.StringIO())
        setup(Log(), io.StringIO())
        assert other in logging.getLogger().handlers

    def test_warnings_do_not_flood_and_the_rest_is_complete(self) -> None:
        out = io.StringIO()
        setup(Log(), out)
        for _ in range(50):
            logging.getLogger("sioserver.test").warning("again")
            logging.getLogger("sioserver.test").info("news")
        assert out.getvalue().count("again") == 1
        assert out.getvalue().count("news") == 50

    def test_a_server_that_is_made_is_no_news(self) -> None:
        out = io.StringIO()
        setup(Log(level="info"), out)
        log = logging.getLogger("sioserver.some.server")
        engineio.AsyncServer(async_mode="aiohttp", logger=log)
        assert out.getvalue() == ""
        log.info("something else")
        assert "something else" in out.getvalue()

    def test_libraries_do_not_tell_what_they_see(self) -> None:
        out = io.StringIO()
        setup(Log(level="debug"), out)
        for name in ("engineio.server", "socketio.server", "aiohttp.access", "asyncio"):
            logging.getLogger(name).info("a payload")
            logging.getLogger(name).warning("a warning of %s", name)
        assert "payload" not in out.getvalue()
        assert out.getvalue().count("a warning of") == 4

    def test_what_is_not_http_makes_no_traceback(self) -> None:
        from aiohttp.http_exceptions import BadStatusLine

        out = io.StringIO()
        setup(Log(level="debug"), out)
        log = logging.getLogger("aiohttp.server")
        log.error("Error handling request from %s", "::1", exc_info=BadStatusLine("\x16\x03"))
        assert out.getvalue() == ""
        log.error("Error handling request from %s", "::1", exc_info=ValueError("ours"))
        assert "ValueError: ours" in out.getvalue()
