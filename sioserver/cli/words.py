"""How commands and their arguments are declared: what all commands have in common.

Knows `argparse`, and nothing of what a command does.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from datetime import datetime
from typing import Final
from urllib.parse import urlsplit

MISTAKE: Final = 2
"""The exit code for what the user has to change, as argparse has it."""
REFUSED: Final = 1
"""The exit code when what was asked for is not so, or was not done."""

Commands = argparse._SubParsersAction  # argparse has no public name for it


def subcommands(parser: argparse.ArgumentParser) -> Commands[argparse.ArgumentParser]:
    """Where commands below the parser's own words are added; without one, help is printed."""

    def help_(args: argparse.Namespace) -> int:
        parser.print_help()
        return 0

    parser.set_defaults(command=help_)
    return parser.add_subparsers(title="commands", metavar="COMMAND")


def command(
    commands: Commands[argparse.ArgumentParser],
    name: str,
    words: str,
    call: Callable[[argparse.Namespace], int],
) -> argparse.ArgumentParser:
    """Add a command; `words` say what it does, `call` does it and returns the exit code."""
    parser = commands.add_parser(
        name, help=words, description=f"{words[0].upper()}{words[1:]}.", allow_abbrev=False
    )
    parser.set_defaults(command=call)
    return parser


def takes_configuration(parser: argparse.ArgumentParser) -> None:
    """Add the options that say what the configuration is, see `configuration.load_for`."""
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


def seconds(text: str) -> float:
    """A span of time."""
    found = float(text)
    if not 0.1 <= found <= 86400:
        raise argparse.ArgumentTypeError("expected 0.1 to 86400 seconds")
    return found


def web_address(text: str) -> str:
    """An address that a browser could open."""
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.username:
        raise argparse.ArgumentTypeError("expected http://host[:port] or https://host[:port]")
    return text


def function_name(text: str) -> str:
    """Where a function is found."""
    if not re.fullmatch(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*", text):
        raise argparse.ArgumentTypeError("expected MODULE:FUNCTION, such as chat.server:setup")
    return text


def moment(text: str) -> float:
    """Seconds since 1970, or a date (ISO 8601; without a zone it is this machine's)."""
    try:
        return float(text)
    except ValueError:
        return datetime.fromisoformat(text).astimezone().timestamp()
