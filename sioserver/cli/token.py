"""`sioserver token`: tokens made and looked at by hand.

What is in one is for `sioserver.tokens`, which is imported only then.
"""

from __future__ import annotations

import argparse
import sys
import time

from sioserver.cli.configuration import LARGEST_FILE, load_for
from sioserver.cli.words import (
    MISTAKE,
    REFUSED,
    Commands,
    command,
    subcommands,
    takes_configuration,
)


def add(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add the commands."""
    looks = subcommands(commands.add_parser("token", help="tokens of users", allow_abbrev=False))
    make = command(looks, "make", "print a token signed with auth.secret", _token_make)
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
    check = command(looks, "check", "say what a token is good for, or why not", _token_check)
    check.add_argument("token", metavar="TOKEN", help="the token; - reads it from standard input")
    check.add_argument("--room", metavar="ROOM", help="tell what it permits there (rooms.root)")
    for parser in (make, check):
        takes_configuration(parser)


def _token_make(args: argparse.Namespace) -> int:
    auth = load_for(args).config.auth
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
    config = load_for(args).config
    from sioserver import tokens

    token = sys.stdin.read(LARGEST_FILE) if args.token == "-" else args.token  # noqa: S105
    try:
        found = tokens.check(config, token, time.time(), args.room or config.rooms.root)
    except tokens.NoToken as error:
        print(f"sioserver: {error}", file=sys.stderr)
        return REFUSED
    print(found, end="")
    return 0
