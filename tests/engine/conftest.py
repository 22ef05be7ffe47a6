"""Every engine, behind one handle, so that the contract is tested once."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from secrets import token_hex
from typing import Any

import pytest

from sioserver.config.schema import Config, Presence, RoomRule, Rooms, Store
from sioserver.engine.base import Engine
from sioserver.engine.embedded import EmbeddedEngine
from sioserver.engine.redis import RedisEngine
from sioserver.engine.redis_keys import Keys
from sioserver.model import (
    Draft,
    Event,
    Message,
    Operation,
    Peer,
    Position,
    PresenceDiff,
    Revocation,
    RoomSettings,
    Sanction,
    User,
)
from sioserver.valkey import Valkey
from tests.redis_servers import Cluster, acl_rules, ask, free_port, settings, standalone

GRACE = 5.0
HIDDEN = "hidden"
"""A room that does not tell who is in it."""
PATIENCE = 60.0
"""Seconds after which Redis counts as away, where no test is about that: a machine that stands
still for some seconds, or a loop that nobody runs meanwhile, is no outage."""
CACHED = 8  # few, so that history comes from the store as well
WINDOW = 1000.0


@dataclass
class Keep:
    history_length: int = 1000
    history_age: float = 0.0


@dataclass
class Listener:
    """Writes down what was announced."""

    messages: list[tuple[str, str, Message]] = field(default_factory=list)
    presence: list[tuple[str, PresenceDiff]] = field(default_factory=list)
    gaps: list[tuple[str, Position]] = field(default_factory=list)
    events: list[tuple[str, Event]] = field(default_factory=list)
    left: list[tuple[str, str]] = field(default_factory=list)
    revoked: list[Revocation] = field(default_factory=list)
    sanctions: list[tuple[str, Sanction]] = field(default_factory=list)
    lifted: list[tuple[str, Sanction]] = field(default_factory=list)
    settings: list[tuple[str, RoomSettings]] = field(default_factory=list)

    def on_message(self, room: str, epoch: str, message: Message) -> None:
        self.messages.append((room, epoch, message))

    def on_presence(self, room: str, diff: PresenceDiff) -> None:
        self.presence.append((room, diff))

    def on_gap(self, room: str, after: Position) -> None:
        self.gaps.append((room, after))

    def on_event(self, room: str, event: Event, node: str) -> None:
        self.events.append((room, event))

    def on_left(self, room: str, user_id: str) -> None:
        self.left.append((room, user_id))

    def on_revoked(self, rule: Revocation) -> None:
        self.revoked.append(rule)

    def on_sanction(self, room: str, sanction: Sanction) -> None:
        self.sanctions.append((room, sanction))

    def on_lifted(self, room: str, sanction: Sanction) -> None:
        self.lifted.append((room, sanction))

    def on_settings(self, room: str, settings: RoomSettings) -> None:
        self.settings.append((room, settings))

    def offsets(self, room: str) -> list[int]:
        return [message.offset for name, _, message in self.messages if name == room]


class Harness:
    """An engine that is running, and can be stopped and started again with its data."""

    def __init__(self, build: Callable[[], Engine]) -> None:
        self._build = build
        self.listener = Listener()

    async def start(self) -> None:
        self.engine = self._build()
        await self.engine.start(self.listener)

    async def restart(self) -> Engine:
        await self.engine.stop()
        await self.start()
        return self.engine


SYSTEM = shutil.which("valkey-server") or shutil.which("redis-server")
"""The distribution's own server, where there is one: it may be another version than ours."""

assert SYSTEM or not os.environ.get("CI"), "CI needs redis-server: see `balancers` in the Makefile"

REDIS = ["redis", "redis-acl", "redis-cluster", *(["redis-system"] if SYSTEM else [])]
"""`redis-acl`: with a user that can do what docs/operations.md says, and nothing else."""
DURABLE = ["embedded-file", *REDIS]
KINDS = [*DURABLE, "embedded-memory"]

_servers: dict[str, tuple[Valkey | Cluster, Path]] = {}  # those that run, by kind


@pytest.fixture(scope="session", autouse=True)
def _stop_servers() -> Iterator[None]:
    yield
    denied = ask(_servers["redis-acl"][0], "ACL", "LOG") if "redis-acl" in _servers else []
    while _servers:
        _, (running, directory) = _servers.popitem()
        running.kill()
        shutil.rmtree(directory)
    wanted = sorted({(one[5].decode(), one[7].decode()) for one in denied})
    assert not wanted, f"docs/operations.md forbids what the server needs: {wanted}"


def server(kind: str) -> Valkey | Cluster:
    """The kind's server, which is started once for all tests."""
    if kind not in _servers:
        directory = Path(tempfile.mkdtemp(prefix="sioserver-"))  # short: a socket's path is
        made: Valkey | Cluster
        if kind == "redis-cluster":
            made = cluster = Cluster(directory)
        elif kind == "redis-system":
            made = Valkey(directory, port=free_port(), program=SYSTEM)
        else:
            made = standalone(directory)
        made.start()
        _servers[kind] = made, directory
        if kind == "redis-cluster":
            for node in cluster.nodes:  # or who is slow for two seconds is out
                ask(node, "CONFIG", "SET", "cluster-node-timeout", int(PATIENCE * 1000))
    return _servers[kind][0]


def with_acl(running: Valkey | Cluster, prefix: str) -> str:
    """The server's URL for the user of the documentation, whose prefix is this one."""
    assert isinstance(running, Valkey)
    name, rules = acl_rules("chat", prefix)
    ask(running, "ACL", "SETUSER", f"{name}-{prefix}", *rules)
    return running.tcp_url.replace("://", f"://{name}-{prefix}:PASSWORD@")


def config(where: Any, prefix: str, *, lease: float = 15.0, **redis: Any) -> Config:
    """What a node of the Redis engine is configured with; `where` is a server or its kind."""
    if where == "redis-acl":
        where = with_acl(server(where), prefix)
    elif isinstance(where, str) and where in REDIS:
        where = server(where)
    options = {"dedup_window": WINDOW, "prefix": prefix, **redis}
    return Config(
        redis=settings(where, **options),
        presence=Presence(grace=GRACE, lease=lease),
        store=Store(cached_messages=CACHED),
        rooms=Rooms(rules=[RoomRule(match=HIDDEN, presence=False)]),
    )


def build(kind: str, directory: Path, **store: Any) -> Engine:
    if kind in REDIS:
        prefix = sha256(str(directory).encode()).hexdigest()[:12]
        return RedisEngine(config(kind, prefix, timeout=PATIENCE), Peer(token_hex(4)))
    path = directory / "data" / "rooms.db" if kind == "embedded-file" else ":memory:"
    options = {
        "durability": "normal",
        "cached_messages": CACHED,
        "cached_rooms": 4,
        "dedup_window": WINDOW,
        **store,
    }
    return EmbeddedEngine(
        Store(**options), grace=GRACE, path=path, tells=lambda room: room != HIDDEN
    )


@pytest.fixture
def keys(request: pytest.FixtureRequest) -> Keys:
    """Of nobody else."""
    return Keys(f"{request.node.name[:40]}-{token_hex(8)}")


async def until(condition: Callable[[], Any], what: str, within: float = 20.0) -> None:
    """Wait for something that other tasks and servers bring about."""
    end = asyncio.get_running_loop().time() + within
    while not condition():
        assert asyncio.get_running_loop().time() < end, f"it never came to this: {what}"
        await asyncio.sleep(0.005)


@pytest.fixture(params=KINDS)
async def harness(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Harness]:
    harness = Harness(lambda: build(request.param, tmp_path))
    await harness.start()
    yield harness
    await harness.engine.stop()


@pytest.fixture
def engine(harness: Harness) -> Engine:
    return harness.engine


@pytest.fixture
def listener(harness: Harness) -> Listener:
    return harness.listener


@pytest.fixture
async def embedded(tmp_path: Path) -> AsyncIterator[EmbeddedEngine]:
    """With little memory."""
    store = Store(cached_messages=4, cached_rooms=2, durability="normal")
    engine = EmbeddedEngine(store, grace=GRACE, path=tmp_path / "rooms.db")
    await engine.start(Listener())
    yield engine
    await engine.stop()


@pytest.fixture(params=DURABLE)
async def durable(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Harness]:
    harness = Harness(lambda: build(request.param, tmp_path))
    await harness.start()
    yield harness
    await harness.engine.stop()


ANN = User("ann", "Ann")
BEN = User("ben", "Ben")
GUEST = User("guest-1", "Guest", guest=True)


def draft(
    id: str,
    user: User = ANN,
    *,
    body: Any = "hi",
    at: int = 1_700_000_000_000,
    again: bool = True,
    pause: float = 0.0,
    reply_to: int | str | None = None,
    mentions: tuple[str, ...] = (),
) -> Draft:
    return Draft(id, user, body, at, again, pause, reply_to, mentions)


def edit(
    body: Any,
    offset: int | None = None,
    *,
    id: str | None = None,
    by: User = ANN,
    at: int = 1_700_000_001_000,
    author_only: bool = True,
) -> Operation:
    return Operation("edit", by, at, offset, id, author_only, body)


def delete(
    offset: int | None = None,
    *,
    id: str | None = None,
    by: User = ANN,
    at: int = 1_700_000_002_000,
    author_only: bool = True,
) -> Operation:
    return Operation("delete", by, at, offset, id, author_only)


def react(
    emoji: str,
    offset: int | None = None,
    *,
    id: str | None = None,
    by: User = ANN,
    at: int = 1_700_000_003_000,
    on: bool = True,
    most: int = 1000,
) -> Operation:
    return Operation("reaction", by, at, offset, id, False, None, emoji, on, most)
