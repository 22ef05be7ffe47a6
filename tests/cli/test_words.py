"""What arguments are taken for."""

from __future__ import annotations

import argparse
from datetime import datetime

import pytest

from sioserver.cli.words import (
    command,
    function_name,
    moment,
    seconds,
    subcommands,
    takes_configuration,
)
from sioserver.cli.words import web_address as address


@pytest.mark.parametrize("text", ["0.1", "5", "86400"])
def test_a_span(text: str) -> None:
    assert seconds(text) == float(text)


@pytest.mark.parametrize("text", ["0", "-1", "86401", "nan", "inf"])
def test_what_is_no_span(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="86400"):
        seconds(text)


def test_a_moment() -> None:
    assert moment("60.5") == 60.5
    assert moment("1970-01-01T00:01:00+00:00") == 60.0
    assert moment("2026-01-01") == datetime(2026, 1, 1).timestamp()  # noqa: DTZ001 - as it is meant
    with pytest.raises(ValueError):
        moment("soon")


@pytest.mark.parametrize("text", ["http://a", "https://a.example:9/chat"])
def test_an_address(text: str) -> None:
    assert address(text) == text


@pytest.mark.parametrize("text", ["a", "ftp://a", "https://", "https://a/?b", "https://me:pw@a/"])
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="expected http"):
        address(text)


@pytest.mark.parametrize("text", ["chat:setup", "my.chat.server:set_up", "größe:ß"])
def test_a_function(text: str) -> None:
    assert function_name(text) == text


@pytest.mark.parametrize(
    "text", ["", "chat", "chat:", ":setup", "chat.py:", "./chat:a", "a:b:c", "a.:b"]
)
def test_what_is_no_function(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="expected MODULE:FUNCTION"):
        function_name(text)


def test_commands_below_a_parser(capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser(prog="p")
    takes_configuration(command(subcommands(parser), "look", "look at it", lambda args: 7))
    args = parser.parse_args(["look", "--config", "f", "--set", "a=1", "--set", "b=2"])
    assert (args.command(args), args.config, args.set) == (7, "f", ["a=1", "b=2"])
    bare = parser.parse_args([])
    assert bare.command(bare) == 0
    assert "look at it" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        parser.parse_args(["look", "--conf", "f"])  # half a word may mean another one tomorrow
