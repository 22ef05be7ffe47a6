"""Where it is kept what nodes share, and how they reach each other: a file, Redis, a cluster.

Which of the engines is taken is decided by whoever reads this.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from sioserver.config.sections.settings import AtLeastOne, Positive, Section, about


class Store(Section, frozen=True):
    """The embedded engine's file."""

    path: Annotated[
        str,
        about(
            'The file, or ":memory:" for a throw-away store. Empty: sioserver.db in the '
            "user's data directory."
        ),
    ] = ""
    durability: Annotated[
        Literal["full", "normal"],
        about(
            "full: an acknowledged message survives a power cut (one fsync a batch). "
            "normal: it survives the death of the process."
        ),
    ] = "full"
    dedup_window: Annotated[
        Positive, about("A message sent again with its id within this time is not posted twice.")
    ] = 86400.0
    cached_messages: Annotated[
        AtLeastOne, about("Newest messages of a room that are kept in memory.")
    ] = 256
    cached_rooms: Annotated[AtLeastOne, about("Rooms without clients that stay in memory.")] = 1000
    queue: Annotated[
        AtLeastOne,
        about("Messages that may wait for the disk; then posting is refused for a moment."),
    ] = 10_000


class Redis(Section, frozen=True):
    """The Redis engine: for many workers, on many hosts."""

    url: Annotated[
        str,
        about(
            "A Redis (6.2 or newer, a cluster: 7) or Valkey, alone or any node of a cluster: "
            "redis://, rediss:// (TLS) or unix:// with user:password@ and /database as usual. "
            "Empty: the embedded engine.",
            secret=True,
        ),
    ] = ""
    sentinels: Annotated[
        list[str],
        about(
            "Addresses (host:port) of Sentinels that know the master; `url` then only says user, "
            "password, database and whether TLS is used."
        ),
    ] = []
    service: Annotated[str, about("The master's name among the Sentinels.")] = "mymaster"
    prefix: Annotated[
        str, about("All keys and channels begin with this: one Redis can serve many clusters.")
    ] = "sioserver"
    timeout: Annotated[
        Annotated[float, Meta(ge=0.1, le=3600)],
        about("What Redis has not confirmed within this time is refused, for the moment."),
    ] = 3.0
    dedup_window: Annotated[
        Positive,
        about(
            "A message sent again with its id within this time is not posted twice. Each id costs "
            "some 150 bytes of Redis' memory until then."
        ),
    ] = 3600.0
    queue: Annotated[
        AtLeastOne,
        about("Commands that may wait for Redis; then requests are refused for a moment."),
    ] = 50_000
    bus_secret: Annotated[
        str,
        about(
            "At least 32 bytes, the same on all nodes: what they tell each other on "
            "python-socketio's channel is signed with it, and what is not is ignored. Empty: "
            "whoever can publish there is believed.",
            secret=True,
        ),
    ] = ""
    old_bus_secrets: Annotated[
        list[str],
        about("What was signed with one of these is believed too, to change it.", secret=True),
    ] = []


class Cluster(Section, frozen=True):
    """How workers on different hosts reach each other (not needed on one host)."""

    address: Annotated[
        str,
        about(
            "host:port at which the other hosts reach this one; the first worker listens there, "
            "the next ones on the ports after it, and one more while workers are replaced. Not for "
            "the public."
        ),
    ] = ""
    secret: Annotated[
        str,
        about("At least 32 bytes, the same on all hosts: who knows it is believed.", secret=True),
    ] = ""
