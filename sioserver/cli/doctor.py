"""`sioserver doctor`: the words for an examination, and its findings on the terminal.

What is looked at and judged is for `sioserver.doctor`, which is imported only then.
"""

from __future__ import annotations

import argparse

from sioserver.cli.configuration import load_for, read
from sioserver.cli.words import Commands, command, seconds, takes_configuration, web_address


def add(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add the command."""
    doctor = command(commands, "doctor", "look for what may go wrong, and say so", _doctor)
    takes_configuration(doctor)
    doctor.add_argument(
        "--url",
        metavar="URL",
        type=web_address,
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
        type=seconds,
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
        type=seconds,
        default=5.0,
        help="what others may take to answer (5)",
    )
    doctor.add_argument("--json", action="store_true", help="print the findings as JSON")
    doctor.add_argument("--strict", action="store_true", help="exit with 1 also for warnings")


def _doctor(args: argparse.Namespace) -> int:
    config = load_for(args).config
    import asyncio
    import logging

    from sioserver.doctor import findings
    from sioserver.doctor.examination import Request, examine

    request = Request(
        url=args.url or "",
        nginx=[(path, read(path)) for path in args.nginx],
        haproxy=[(path, read(path)) for path in args.haproxy],
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
