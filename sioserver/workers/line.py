"""What supervisor and worker tell each other, over a socket that is the worker's standard input.

First the supervisor sends a `Start`; it holds secrets, so it is in nobody's command line and in
nobody's environment. Then news go one way, orders the other, and the end of either process is the
end of the line. Pure: bytes and values, no socket.
"""

from __future__ import annotations

from typing import Final

import msgspec

from sioserver.config import Config

HEAD: Final = 4
"""Bytes of the length that stands before a `Start`."""

GRACE: Final = 15.0
"""Seconds beyond drain.seconds after which a worker that does not end is killed."""

STOP: Final = b"stop\n"
"""The order to end: all workers are about to."""


class Start(msgspec.Struct, frozen=True):
    """What a worker is to be."""

    config: Config
    number: int
    """Of the slot, from 1; a replacement has that of the worker it replaces."""
    place: int
    """Number among the workers that live, from 0: it picks the port of cluster.address."""
    directory: str
    """Where the sockets of all workers lie."""
    listeners: list[int]
    """Descriptors of the sockets to accept from."""
    extension: str = ""
    """MODULE:FUNCTION that adds to the application; empty: nothing does."""


class Serving(msgspec.Struct, frozen=True, tag="serving"):
    """The worker serves, as the node of this id."""

    node: str


class Failed(msgspec.Struct, frozen=True, tag="failed"):
    """The worker cannot start."""

    reason: str


News = Serving | Failed


def encode_start(start: Start) -> bytes:
    """Length and content."""
    content = msgspec.msgpack.encode(start)
    return len(content).to_bytes(HEAD, "big") + content


def decode_start(content: bytes) -> Start:
    """Read the content; raises ValueError."""
    return msgspec.msgpack.decode(content, type=Start)


def encode_news(news: News) -> bytes:
    """A line."""
    return msgspec.json.encode(news) + b"\n"


def decode_news(line: bytes) -> News:
    """Read a line; raises ValueError."""
    news: News = msgspec.json.decode(line, type=News)
    return news
