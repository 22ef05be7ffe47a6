"""`sioserver apikey` and `sioserver revoke`: what an operator asks of a server that runs.

Knows what is sent and how an answer reads; how it is sent is for `sioserver.remote`.
"""

from __future__ import annotations

import argparse
import os
import secrets
import sys
from datetime import UTC, datetime
from typing import Any, Final

from sioserver.cli.words import MISTAKE, REFUSED, Commands, command, moment, subcommands
from sioserver.config.api_keys import ADMIN, PERMS, parse_api_key

API_KEY: Final = "SIOSERVER_API_KEY"


def add(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add the commands."""
    looks = subcommands(
        commands.add_parser("apikey", help="keys of the HTTP API", allow_abbrev=False)
    )
    make = command(looks, "make", "print a new key, and its entry for api.keys", _make_key)
    make.add_argument("name", metavar="NAME", help="whose key it is, for the log")
    make.add_argument(
        "--for",
        dest="perms",
        default=ADMIN,
        metavar="WHAT",
        help="admin (default), rooms or metrics",
    )

    revoke = command(commands, "revoke", "revoke tokens, at a running server", _revoke)
    revoke.add_argument("--user", metavar="ID", help="those of a user")
    revoke.add_argument(
        "--token", metavar="TOKEN", help="one, by its jti or as it is; - reads it from stdin"
    )
    revoke.add_argument(
        "--before", type=moment, metavar="TIME", help="those issued before (of a user: now)"
    )
    revoke.add_argument(
        "--until", type=moment, metavar="TIME", help="forget it then (when all have expired)"
    )
    revoke.add_argument(
        "--url",
        default="http://127.0.0.1:8000",
        metavar="URL",
        help=f"of the server (http://127.0.0.1:8000); ${API_KEY} is the key",
    )


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
            + ", ".join(PERMS),
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
        return REFUSED
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
