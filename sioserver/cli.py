"""The words of an operator, turned into calls: files are read and texts are printed only here.

What a setting means is for `sioserver.config`, what the server does for `sioserver.app`, which is
imported no earlier than it is needed: the other commands stay fast and work without it.
"""

from __future__ import annotations

import argparse
import io
import os
import secrets
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlsplit

from sioserver._version import __version__
from sioserver.config import Config
from sioserver.config.api_keys import ADMIN, PERMS, parse_api_key
from sioserver.config.load import FLAGS, ConfigError, Fault, Loaded, load
from sioserver.config.render import example, show
from sioserver.wire import CLIENT_EVENTS, NEVER_RELAYED

MISTAKE: Final = 2
"""The exit code for what the user has to change, as argparse has it."""
REFUSED: Final = 1
"""The exit code for a token that is not good."""
LARGEST_FILE: Final = 1_000_000
API_KEY: Final = "SIOSERVER_API_KEY"


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a terminal that is not UTF-8
    args = _parser().parse_args(argv)
    command: Callable[[argparse.Namespace], int] = args.command
    try:
        code = command(args)
        sys.stdout.flush()
    except ConfigError as error:
        return _complain(error.faults)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # `sioserver config example | head`; Python flushes again at its end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return code


# ---------------------------------------------------------------------------- the commands


def _serve(args: argparse.Namespace) -> int:
    config = _checked(args)[0]
    from sioserver import logs
    from sioserver.startup import CannotStart, allow_many_files, check_parser, complain

    try:
        check_parser(os.environ)
    except CannotStart as error:
        complain(error)
        return MISTAKE
    logs.setup(config.log)
    allow_many_files()
    if config.server.workers > 1:
        from sioserver.workers import supervise

        return supervise(config, lambda: _load(args).config)
    from sioserver.app import run

    return run(config)


def _check(args: argparse.Namespace) -> int:
    for warning in _checked(args)[1]:
        print(f"warning: {warning}", file=sys.stderr)
    print(f"{_config_path(args) or 'no file, so the defaults'}: ok")
    return 0


def _show(args: argparse.Namespace) -> int:
    print(show(*_load(args)), end="")
    return 0


def _doctor(args: argparse.Namespace) -> int:
    config = _load(args).config
    import asyncio
    import logging

    from sioserver.doctor import findings
    from sioserver.doctor.examination import Request, examine

    request = Request(
        url=args.url or "",
        nginx=[(path, _read(path)) for path in args.nginx],
        haproxy=[(path, _read(path)) for path in args.haproxy],
        proxy_timeout=args.proxy_timeout,
        pid=args.pid,
        timeout=args.timeout,
    )
    logging.disable()  # what the parts would log about faults is in the findings
    try:
        found = asyncio.run(examine(config, request))
    finally:
        logging.disable(logging.NOTSET)
    print(findings.as_json(found) if args.json else findings.as_text(found), end="")
    return findings.exit_code(found, strict=args.strict)


def _token_make(args: argparse.Namespace) -> int:
    auth = _load(args).config.auth
    from sioserver import tokens

    try:
        token = tokens.make(
            auth,
            time.time(),
            sub=args.sub,
            name=args.name,
            rooms=[room.strip() for room in args.rooms.split(",")] if args.rooms else None,
            perms=args.perms,
            ttl=args.ttl,
        )
    except tokens.NoToken as error:
        print(f"sioserver: {error}", file=sys.stderr)
        return MISTAKE
    print(token)
    return 0


def _token_check(args: argparse.Namespace) -> int:
    config = _load(args).config
    from sioserver import tokens

    token = sys.stdin.read(LARGEST_FILE) if args.token == "-" else args.token  # noqa: S105
    try:
        found = tokens.check(config, token, time.time(), args.room or config.rooms.root)
    except tokens.NoToken as error:
        print(f"sioserver: {error}", file=sys.stderr)
        return REFUSED
    print(found, end="")
    return 0


def _example(args: argparse.Namespace) -> int:
    print(example(), end="")
    return 0


def _make_key(args: argparse.Namespace) -> int:
    from sioserver.auth import api_keys

    key, entry = api_keys.make(
        args.name, args.perms.split("+"), secrets.token_bytes(api_keys.BYTES)
    )
    try:
        parse_api_key(str(entry))
    except ValueError:
        print(
            "sioserver: the name of a key has 1 to 64 letters, digits and . _ -, and it is for "
            + " or ".join(PERMS),
            file=sys.stderr,
        )
        return MISTAKE
    print(f"the key, which is shown only now: {key}")
    print(f'its entry in [api] keys: "{entry}"')
    return 0


def _revoke(args: argparse.Namespace) -> int:
    key = os.environ.get(API_KEY, "")
    given = {name: getattr(args, name) for name in ("user", "token", "before", "until")}
    wanted = {name: value for name, value in given.items() if value is not None}
    if wanted.get("token") == "-":
        wanted["token"] = sys.stdin.readline().strip()
    fault = "" if key else f"put the API key into ${API_KEY}"
    if not wanted.keys() & {"user", "token", "before"}:
        fault = "say which tokens: --user, --token or --before"
    if fault:
        print(f"sioserver: {fault}", file=sys.stderr)
        return MISTAKE
    from sioserver import remote

    try:
        answer = remote.ask(args.url, key, "POST", "/api/revocations", wanted)
    except remote.RemoteError as error:
        print(f"sioserver: {error}", file=sys.stderr)
        return 1
    print(f"revoked: {_in_words(answer['revocation'])}")
    return 0


def _in_words(rule: dict[str, Any]) -> str:
    until = f"until {_date(rule['until'])}"
    if "token" in rule:
        return f"the token {rule['token']}, {until}"
    whose = f"of {rule['user']}" if "user" in rule else "of everybody"
    return f"tokens {whose} that were issued before {_date(rule['before'])}, {until}"


def _date(time: float) -> str:
    return datetime.fromtimestamp(time, UTC).isoformat(timespec="seconds")


def _moment(text: str) -> float:
    """Seconds since 1970, or a date (ISO 8601; without a zone it is this machine's)."""
    try:
        return float(text)
    except ValueError:
        return datetime.fromisoformat(text).astimezone().timestamp()


def _version(args: argparse.Namespace) -> int:
    print(f"sioserver {__version__}")
    return 0


# ---------------------------------------------------------------------------- the configuration


def _load(args: argparse.Namespace) -> Loaded:
    path = _config_path(args)
    options = {option: getattr(args, option[2:], None) for option in FLAGS}
    return load(
        "" if path is None else _read(path),
        os.environ,
        args.set,
        {option: value for option, value in options.items() if value is not None},
        name=path or "",
        taken_events={*CLIENT_EVENTS, *NEVER_RELAYED},
    )


def _checked(args: argparse.Namespace) -> tuple[Config, list[str]]:
    """The configuration, and what is to be said of the files that it names; raises ConfigError when
    they cannot be used."""
    config, sources = _load(args)
    found: list[tuple[str, str]] = []
    warnings: list[str] = []
    if config.auth.takes_tokens:
        from sioserver.keys.files import UnusableKey, read_keys

        try:
            read_keys(config.auth)
        except UnusableKey as error:
            found.append((error.key, error.text))
    if config.tls.cert:
        from sioserver import tls

        try:
            warnings = tls.read(config.tls).warnings(time.time())
        except tls.Unusable as error:
            found.append((error.key if error.key in sources else "tls.cert", error.text))
    if found:
        raise ConfigError([Fault(sources[key], key, text) for key, text in found])
    return config, warnings


def _config_path(args: argparse.Namespace) -> str | None:
    if args.config is None:
        return os.environ.get("SIOSERVER_CONFIG") or None
    return str(args.config)


def _read(path: str) -> str:
    try:
        with open(path, "rb") as file:
            content = file.read(LARGEST_FILE + 1)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigError([Fault(path, "", f"cannot be read: {reason}")]) from None
    if len(content) > LARGEST_FILE:
        raise ConfigError([Fault(path, "", f"has more than {LARGEST_FILE} bytes")])
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigError([Fault(f"{path}:{line}", "", "is not UTF-8 text")]) from None


def _complain(faults: Sequence[Fault]) -> int:
    count = "a fault" if len(faults) == 1 else f"{len(faults)} faults"
    print(f"sioserver: {count} in the configuration", file=sys.stderr)
    for fault in faults:
        print(f"  {fault}", file=sys.stderr)
    return MISTAKE


# ---------------------------------------------------------------------------- the words


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="sioserver",
        description="Rooms over Socket.IO: a ready-to-run, durable realtime server.",
        allow_abbrev=False,
    )
    commands = _commands(parser)

    serve = _command(commands, "serve", "run the server", _serve)
    _configuration(serve)
    serve.add_argument("--host", metavar="H", help="address to listen on (server.host)")
    serve.add_argument("--port", metavar="P", help="port to listen on (server.port)")
    serve.add_argument("--workers", metavar="N", help="processes that serve (server.workers)")
    serve.add_argument(
        "--store",
        metavar="PATH",
        help='the store\'s file, or ":memory:" for a throw-away one (store.path)',
    )

    config = commands.add_parser("config", help="look at the configuration", allow_abbrev=False)
    looks = _commands(config)
    _configuration(_command(looks, "check", "report every fault of the configuration", _check))
    _configuration(_command(looks, "show", "print what is in force and where it came from", _show))
    _command(looks, "example", "print a file with every setting and its default", _example)

    _examination(_command(commands, "doctor", "look for what may go wrong, and say so", _doctor))

    token = commands.add_parser("token", help="tokens of users", allow_abbrev=False)
    _tokens(_commands(token))
    looks = _commands(
        commands.add_parser("apikey", help="keys of the HTTP API", allow_abbrev=False)
    )
    make = _command(looks, "make", "print a new key, and its entry for api.keys", _make_key)
    make.add_argument("name", metavar="NAME", help="whose key it is, for the log")
    make.add_argument(
        "--for", dest="perms", default=ADMIN, metavar="WHAT", help="admin (default) or metrics"
    )

    revoke = _command(commands, "revoke", "revoke tokens, at a running server", _revoke)
    revoke.add_argument("--user", metavar="ID", help="those of a user")
    revoke.add_argument(
        "--token", metavar="TOKEN", help="one, by its jti or as it is; - reads it from stdin"
    )
    revoke.add_argument(
        "--before", type=_moment, metavar="TIME", help="those issued before (of a user: now)"
    )
    revoke.add_argument(
        "--until", type=_moment, metavar="TIME", help="forget it then (when all have expired)"
    )
    revoke.add_argument(
        "--url",
        default="http://127.0.0.1:8000",
        metavar="URL",
        help=f"of the server (http://127.0.0.1:8000); ${API_KEY} is the key",
    )

    _command(commands, "version", "print the version", _version)
    return parser


Commands = argparse._SubParsersAction  # argparse has no public name for it


def _commands(parser: argparse.ArgumentParser) -> Commands[argparse.ArgumentParser]:
    def help_(args: argparse.Namespace) -> int:
        parser.print_help()
        return 0

    parser.set_defaults(command=help_)
    return parser.add_subparsers(title="commands", metavar="COMMAND")


def _command(
    commands: Commands[argparse.ArgumentParser],
    name: str,
    words: str,
    call: Callable[[argparse.Namespace], int],
) -> argparse.ArgumentParser:
    parser = commands.add_parser(
        name, help=words, description=f"{words[0].upper()}{words[1:]}.", allow_abbrev=False
    )
    parser.set_defaults(command=call)
    return parser


def _examination(doctor: argparse.ArgumentParser) -> None:
    _configuration(doctor)
    doctor.add_argument(
        "--url",
        metavar="URL",
        type=_web_address,
        help="where clients connect, such as https://chat.example; without it, where the "
        "configuration listens",
    )
    for name in ("nginx", "haproxy"):
        doctor.add_argument(
            f"--{name}",
            metavar="FILE",
            action="append",
            default=[],
            help="the proxy's configuration, as often as there are files",
        )
    doctor.add_argument(
        "--proxy-timeout",
        metavar="SECONDS",
        type=_seconds,
        default=0.0,
        help="after how long another proxy closes a connection on which nothing happens",
    )
    doctor.add_argument(
        "--pid",
        metavar="PID",
        type=int,
        default=0,
        help="the server's process, whose limit of open files counts",
    )
    doctor.add_argument(
        "--timeout",
        metavar="SECONDS",
        type=_seconds,
        default=5.0,
        help="what others may take to answer (5)",
    )
    doctor.add_argument("--json", action="store_true", help="print the findings as JSON")
    doctor.add_argument("--strict", action="store_true", help="exit with 1 also for warnings")


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0.1 <= seconds <= 86400:
        raise argparse.ArgumentTypeError("expected 0.1 to 86400 seconds")
    return seconds


def _web_address(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.username:
        raise argparse.ArgumentTypeError("expected http://host[:port] or https://host[:port]")
    return text


def _tokens(commands: Commands[argparse.ArgumentParser]) -> None:
    make = _command(commands, "make", "print a token signed with auth.secret", _token_make)
    make.add_argument("--sub", metavar="USER", required=True, help="the user's id")
    make.add_argument("--name", metavar="NAME", help="the display name")
    make.add_argument(
        "--rooms",
        metavar="PATTERNS",
        help="rooms that it is for, with commas, such as lobby,team/*",
    )
    make.add_argument(
        "--perms",
        metavar="WORDS",
        help="what it permits (join,read,history,post,moderate,admin), or JSON: "
        'patterns of rooms -> words, such as {"team/*": ["join", "read"]}',
    )
    make.add_argument(
        "--ttl", metavar="TIME", default="1h", help="how long, such as 90, 30m, 12h or 7d (1h)"
    )
    check = _command(commands, "check", "say what a token is good for, or why not", _token_check)
    check.add_argument("token", metavar="TOKEN", help="the token; - reads it from standard input")
    check.add_argument("--room", metavar="ROOM", help="tell what it permits there (rooms.root)")
    for command in (make, check):
        _configuration(command)


def _configuration(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--config",
        metavar="FILE",
        help="TOML file; without it $SIOSERVER_CONFIG, and without that the defaults",
    )
    parser.add_argument(
        "--set",
        metavar="SECTION.KEY=VALUE",
        action="append",
        default=[],
        help="a setting, as often as you like; wins over the environment and the file",
    )
