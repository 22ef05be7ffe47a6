"""`sioserver ban`, `unban` and `bans`: who is kept out of a server that runs, or quiet.

Knows what is sent and how an answer reads; how it is sent is for `sioserver.remote`.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urlencode

from sioserver.cli.operator import API_KEY
from sioserver.cli.words import MISTAKE, REFUSED, Commands, command


def add(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add the commands."""
    ban = command(commands, "ban", "keep a user out, at a running server", _ban)
    ban.add_argument("user", metavar="USER", help="the user's id")
    ban.add_argument(
        "--seconds", type=int, metavar="N", help="for how long (a ban: for good); of a mute needed"
    )
    ban.add_argument("--reason", metavar="TEXT", help="which the user is told")
    ban.add_argument(
        "--address",
        action="store_true",
        help="also whoever comes from where the user is connected from",
    )
    unban = command(commands, "unban", "end a ban before its time", _unban)
    unban.add_argument("user", metavar="USER", help="the user's id")
    bans = command(commands, "bans", "who is kept out", _bans)
    for word in (ban, unban, bans):
        word.add_argument("--room", metavar="ROOM", help="of one room only (of all)")
        word.add_argument("--mute", action="store_true", help="mutes instead of bans")
        word.add_argument(
            "--url",
            default="http://127.0.0.1:8000",
            metavar="URL",
            help=f"of the server (http://127.0.0.1:8000); ${API_KEY} is the key",
        )


def _ban(args: argparse.Namespace) -> int:
    wanted = {"user": args.user, "seconds": args.seconds, "reason": args.reason}
    body: dict[str, Any] = {name: value for name, value in wanted.items() if value is not None}
    if args.address:
        body["address"] = True
    answer = _ask(args, "POST", _path(args), body)
    if isinstance(answer, int):
        return answer
    print(f"{'muted' if args.mute else 'banned'}: {_in_words(answer)}")
    return 0


def _unban(args: argparse.Namespace) -> int:
    answer = _ask(args, "DELETE", _path(args, f"/{quote(args.user, safe='')}"))
    if isinstance(answer, int):
        return answer
    print(f"{args.user} may {'post' if args.mute else 'come'} again")
    return 0


def _bans(args: argparse.Namespace) -> int:
    page: dict[str, str] = {}
    while True:
        answer = _ask(args, "GET", _path(args, **page))
        if isinstance(answer, int):
            return answer
        for line in _lines(answer):
            print(line)
        if "next" not in answer:
            return 0
        page = {"after": answer["next"]}


def _path(args: argparse.Namespace, end: str = "", **query: str) -> str:
    where = "" if args.room is None else f"/rooms/{quote(args.room, safe='')}"
    path = f"/api{where}/{'mutes' if args.mute else 'bans'}{end}"
    return f"{path}?{urlencode(query)}" if query else path


def _ask(
    args: argparse.Namespace, method: str, path: str, body: dict[str, Any] | None = None
) -> dict[str, Any] | int:
    """The answer, or an exit code."""
    key = os.environ.get(API_KEY, "")
    if not key:
        print(f"sioserver: put the API key into ${API_KEY}", file=sys.stderr)
        return MISTAKE
    from sioserver import remote

    try:
        return remote.ask(args.url, key, method, path, body)
    except remote.RemoteError as error:
        print(f"sioserver: {error}", file=sys.stderr)
        return REFUSED


def _lines(answer: dict[str, Any]) -> Iterator[str]:
    for item in answer["items"]:
        yield f"{_in_words(item)} (by {item['by']}, {_date(item['at'])})"


def _in_words(item: dict[str, Any]) -> str:
    until = "for good" if item["until"] is None else f"until {_date(item['until'])}"
    where = ", and where they came from" if item["address"] else ""
    reason = f": {item['reason']}" if item["reason"] else ""
    return f"{item['user']}{where}, {until}{reason}"


def _date(milliseconds: float) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="seconds")
