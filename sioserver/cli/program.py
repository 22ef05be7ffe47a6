"""The command `sioserver`: its words, the exit codes, and `serve`.

Knows which commands there are; what each of them does is in a module of its own.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Callable, Sequence

from sioserver._version import __version__
from sioserver.cli import configuration, doctor, moderation, operator, token
from sioserver.cli.configuration import checked, complain, load_for
from sioserver.cli.words import MISTAKE, command, function_name, subcommands, takes_configuration
from sioserver.config.load import ConfigError


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a terminal that is not UTF-8
    args = _parser().parse_args(argv)
    call: Callable[[argparse.Namespace], int] = args.command
    try:
        code = call(args)
        sys.stdout.flush()
    except ConfigError as error:
        return complain(error.faults)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # `sioserver config example | head`; Python flushes again at its end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return code


def _serve(args: argparse.Namespace) -> int:
    config = checked(args)[0]
    from sioserver import logs, startup

    try:
        startup.check_parser(os.environ)
    except startup.CannotStart as error:
        startup.complain(error)
        return MISTAKE
    logs.setup(config.log)
    startup.allow_many_files()
    if config.server.workers > 1:
        from sioserver.workers import supervise

        return supervise(config, lambda: load_for(args).config, args.app or "")
    from sioserver.serve import run

    return run(config, extension=args.app or "")


def _version(args: argparse.Namespace) -> int:
    print(f"sioserver {__version__}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="sioserver",
        description="Rooms over Socket.IO: a ready-to-run, durable realtime server.",
        allow_abbrev=False,
    )
    commands = subcommands(parser)

    serve = command(commands, "serve", "run the server", _serve)
    takes_configuration(serve)
    serve.add_argument("--host", metavar="H", help="address to listen on (server.host)")
    serve.add_argument("--port", metavar="P", help="port to listen on (server.port)")
    serve.add_argument("--workers", metavar="N", help="processes that serve (server.workers)")
    serve.add_argument(
        "--store",
        metavar="PATH",
        help='the store\'s file, or ":memory:" for a throw-away one (store.path)',
    )

    serve.add_argument(
        "--app",
        metavar="MODULE:FUNCTION",
        type=function_name,
        help="called as FUNCTION(app, hooks, config) in each process, to add hooks and pages to it",
    )

    for part in (configuration, doctor, token, operator, moderation):
        part.add(commands)
    command(commands, "version", "print the version", _version)
    return parser
