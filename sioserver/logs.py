"""What the log looks like: formatters, the filter against floods, and `setup` for the command line.

A line never shows a token or the query string of an address, whoever wrote it: both are blotted
out here, in the message and in the traceback. A library user's own logging is left alone.
"""

from __future__ import annotations

import datetime
import logging
import re
import sys
import traceback
from collections.abc import Mapping
from typing import Any, Final, TextIO

import orjson

from sioserver.config.schema import Log

# What makes a log line dangerous to who reads it: the text of a stranger that looks like a line of
# ours, or that steers the terminal. Half a surrogate pair would break the encoder.
_STEERING: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
_SECRETS: Final = (
    (re.compile(r"\b((?:rediss?|unix)://)[^\s\"'<>]*@"), r"\1<hidden>@"),
    (re.compile(r"\beyJ[\w-]{5,}\.[\w-]*(?:\.[\w-]*)?"), "<token>"),
    (re.compile(r"(?<=[\w/])\?[^\s\"'<>]*=[^\s\"'<>]*"), "?<query>"),
    (
        re.compile(
            r"""(?i)(\b(?:token|secret|password|authorization|pid)["']?\s*[:=]\s*)"""
            r"""(?:bearer\s+)?(?:"[^"]*"|'[^']*'|[^\s,;"'&)}\]]+)"""
        ),
        r"\1<hidden>",
    ),
)
_USUAL: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_MARK: Final = "_sioserver"
REPEATED: Final = "repeated"
"""The field of a record that says how many like it were left out."""

# These write the payloads they see, tokens among them, on the levels below; or a line per request
# with its query string.
_TALKATIVE: Final = ("engineio", "socketio", "aiohttp.access", "asyncio")

# A stock server or client that was made before sets the level of its own.
_SELF_WILLED: Final = ("engineio.server", "engineio.client", "socketio.server", "socketio.client")


def hide_secrets(text: str) -> str:
    """The text without tokens and query strings."""
    for pattern, instead in _SECRETS:
        text = pattern.sub(instead, text)
    return text


def _escape(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode("ascii")


def _one_line(text: str) -> str:
    return _STEERING.sub(_escape, text)


def _extras(record: logging.LogRecord) -> dict[str, Any]:
    """What the caller gave as `extra`, as plain values that every format can hold."""
    found: dict[str, Any] = {}
    for name, value in vars(record).items():
        if name not in _USUAL and not name.startswith("_"):
            found[name] = value if _is_plain(value) else _one_line(hide_secrets(str(value)))
    return found


def _is_plain(value: object) -> bool:
    if isinstance(value, int):
        return abs(value) < 2**53  # larger ones are not safe in JSON
    return value is None or isinstance(value, float)


def _trace(record: logging.LogRecord) -> str:
    parts = []
    if record.exc_info and record.exc_info[0] is not None:
        parts += traceback.format_exception(*record.exc_info)
    if record.stack_info:
        parts.append(record.stack_info)
    # line by line: the line breaks are the traceback's own
    lines = hide_secrets("".join(parts)).splitlines()
    return "\n".join(_one_line(line) for line in lines)


def _moment(record: logging.LogRecord) -> str:
    moment = datetime.datetime.fromtimestamp(record.created, datetime.UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class TextFormatter(logging.Formatter):
    """A line for people; a traceback follows, indented."""

    def format(self, record: logging.LogRecord) -> str:
        """One record."""
        message = _one_line(hide_secrets(record.getMessage()))
        line = f"{_moment(record)} {record.levelname:<7} {record.name}: {message}"
        extras = _extras(record)
        repeated = extras.pop(REPEATED, 0)
        if extras:
            line += " " + " ".join(f"{name}={value}" for name, value in extras.items())
        if repeated:
            line += f" ({repeated} more like this were not shown)"
        trace = _trace(record)
        return line if not trace else line + "\n    " + trace.replace("\n", "\n    ")


class JsonFormatter(logging.Formatter):
    """A JSON object in a line, for machines."""

    def format(self, record: logging.LogRecord) -> str:
        """One record."""
        fields: dict[str, Any] = {
            "at": _moment(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _one_line(hide_secrets(record.getMessage())),
        }
        for name, value in _extras(record).items():
            fields.setdefault(_one_line(name), value)
        trace = _trace(record)
        if trace:
            fields["trace"] = trace
        return orjson.dumps(fields).decode()


class OncePer(logging.Filter):
    """Lets one record of a cause through in `seconds`; the next one says how many were left out.

    A cause is a place in the source, its message before the arguments are put in, and the kind of
    exception. Records below `level` all pass.
    """

    CAUSES = 1000

    def __init__(self, seconds: float, level: int = logging.NOTSET) -> None:
        super().__init__()
        self._seconds = seconds
        self._level = level
        self._causes: dict[tuple[object, ...], list[float]] = {}  # cause -> [last shown, left out]

    def filter(self, record: logging.LogRecord) -> bool:
        """May it pass? Called once for each record that reaches the handler."""
        if record.levelno < self._level:
            return True
        kind = record.exc_info[0] if record.exc_info else None
        # `msg` may be anything that has a text; only what it is by itself can be compared
        message = record.msg if isinstance(record.msg, str) else type(record.msg)
        cause = (record.name, record.pathname, record.lineno, message, kind)
        known = self._causes.get(cause)
        if known is not None and 0 <= record.created - known[0] < self._seconds:
            known[1] += 1
            return False
        if known is None and len(self._causes) >= self.CAUSES:
            self._causes.clear()
        self._causes[cause] = [record.created, 0]
        if known is not None and known[1]:
            setattr(record, REPEATED, int(known[1]))
        return True


def once_per(seconds: float, level: int = logging.NOTSET) -> OncePer:
    """A filter for a logger or a handler: one cause writes one line in `seconds`."""
    return OncePer(seconds, level)


class _Malformed(logging.Filter):
    """Leaves out what the HTTP library has to say about requests that are not HTTP: a stranger can
    send any number of them, each would be a traceback, and nothing here is wrong."""

    def filter(self, record: logging.LogRecord) -> bool:
        kind = record.exc_info[0] if record.exc_info else None
        return kind is None or kind.__module__ != "aiohttp.http_exceptions"


class _Initialized(logging.Filter):
    """Leaves out what python-engineio says whenever a server is made: it is news to nobody."""

    def filter(self, record: logging.LogRecord) -> bool:
        return record.msg != "Server initialized for %s."


_MALFORMED: Final = _Malformed()
_FORMATTERS: Final[Mapping[str, type[logging.Formatter]]] = {
    "text": TextFormatter,
    "json": JsonFormatter,
}


class _Stamp(logging.Filter):
    """Says of each record which worker wrote it: they all write to the same place."""

    def __init__(self, worker: int) -> None:
        super().__init__()
        self._worker = worker

    def filter(self, record: logging.LogRecord) -> bool:
        record.worker = self._worker
        return True


def setup(
    config: Log, stream: TextIO | None = None, *, worker: int | None = None
) -> logging.Handler:
    """Let the process log as configured, to `stream` (standard error). For the command line only.

    `worker`: its number, where it is one of several. Doing it again replaces what it did before;
    handlers of others stay.
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(_FORMATTERS[config.format]())
    handler.addFilter(_Initialized())
    handler.addFilter(once_per(5.0, logging.WARNING))
    if worker is not None:
        handler.addFilter(_Stamp(worker))
    setattr(handler, _MARK, True)
    root = logging.getLogger()
    for old in [old for old in root.handlers if hasattr(old, _MARK)]:
        root.removeHandler(old)
    root.addHandler(handler)
    level = config.level.upper()
    root.setLevel(level)
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))
    for name in _SELF_WILLED:
        logging.getLogger(name).setLevel(logging.NOTSET)
    logging.getLogger("aiohttp.server").addFilter(_MALFORMED)
    return handler
