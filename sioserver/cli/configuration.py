"""The configuration, for all commands, and `sioserver config` that looks at it.

Files are read here; what is in them is for `sioserver.config` to judge.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from typing import Final

from sioserver.cli.words import MISTAKE, Commands, command, subcommands, takes_configuration
from sioserver.config import Config
from sioserver.config.load import FLAGS, ConfigError, Fault, Loaded, load
from sioserver.config.render import example, show
from sioserver.wire import CLIENT_EVENTS, NEVER_RELAYED

LARGEST_FILE: Final = 1_000_000


def add(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add the commands."""
    config = commands.add_parser("config", help="look at the configuration", allow_abbrev=False)
    looks = subcommands(config)
    takes_configuration(command(looks, "check", "report every fault of the configuration", _check))
    takes_configuration(
        command(looks, "show", "print what is in force and where it came from", _show)
    )
    command(looks, "example", "print a file with every setting and its default", _example)


def _check(args: argparse.Namespace) -> int:
    for warning in checked(args)[1]:
        print(f"warning: {warning}", file=sys.stderr)
    print(f"{_config_path(args) or 'no file, so the defaults'}: ok")
    return 0


def _show(args: argparse.Namespace) -> int:
    print(show(*load_for(args)), end="")
    return 0


def _example(args: argparse.Namespace) -> int:
    print(example(), end="")
    return 0


def load_for(args: argparse.Namespace) -> Loaded:
    """The configuration that a command's options, the environment and the file make. Raises
    ConfigError."""
    path = _config_path(args)
    options = {option: getattr(args, option[2:], None) for option in FLAGS}
    return load(
        "" if path is None else read(path),
        os.environ,
        args.set,
        {option: value for option, value in options.items() if value is not None},
        name=path or "",
        taken_events={*CLIENT_EVENTS, *NEVER_RELAYED},
    )


def checked(args: argparse.Namespace) -> tuple[Config, list[str]]:
    """The configuration, and what is to be said of the files that it names; raises ConfigError when
    they cannot be used."""
    config, sources = load_for(args)
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


def read(path: str) -> str:
    """The text of a file that the user has named. Raises ConfigError."""
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


def complain(faults: Sequence[Fault]) -> int:
    """Print what is wrong with the configuration; returns the exit code."""
    count = "a fault" if len(faults) == 1 else f"{len(faults)} faults"
    print(f"sioserver: {count} in the configuration", file=sys.stderr)
    for fault in faults:
        print(f"  {fault}", file=sys.stderr)
    return MISTAKE
