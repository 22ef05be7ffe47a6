"""Every engine, behind one handle, so that the contract is tested once."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from sioserver.config.schema import Store
from sioserver.engine.base import Engine
from sioserver.engine.embedded import EmbeddedEngine
from sioserver.model import Draft, Event, Message, Position, PresenceDiff, User

GRACE = 5.0
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

    def on_message(self, room: str, epoch: str, message: Message) -> None:
        self.messages.append((room, epoch, message))

    def on_presence(self, room: str, diff: PresenceDiff) -> None:
        self.presence.append((room, diff))

    def on_gap(self, room: str, after: Position) -> None:
        self.gaps.append((room, after))

    def on_event(self, room: str, event: Event) -> None:
        self.events.append((room, event))

    def on_left(self, room: str, user_id: str) -> None:
        self.left.append((room, user_id))

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


DURABLE = ["embedded-file"]
KINDS = [*DURABLE, "embedded-memory"]


def build(kind: str, directory: Path, **store: Any) -> Engine:
    path = directory / "data" / "rooms.db" if kind == "embedded-file" else ":memory:"
    options = {
        "durability": "normal",
        "cached_messages": CACHED,
        "cached_rooms": 4,
        "dedup_window": WINDOW,
        **store,
    }
    return EmbeddedEngine(Store(**options), grace=GRACE, path=path)


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
    id: str, user: User = ANN, *, body: Any = "hi", at: int = 1_700_000_000_000, again: bool = True
) -> Draft:
    return Draft(id, user, body, at, again)
