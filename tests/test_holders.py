"""Who is here on which token, and what becomes of them when it is revoked."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace

import pytest

from sioserver import holders as module
from sioserver.auth import Identity
from sioserver.errors import Disconnect
from sioserver.holders import Holders, credentials
from sioserver.hub import Client
from sioserver.model import Credentials, Revocation, User

from .fakes import FakeOutbox


class Scene:
    def __init__(self) -> None:
        self.holders = Holders()
        self.outbox = FakeOutbox()

    def client(
        self, user: str = "ann", token_id: str | None = None, issued_at: float | None = 10.0
    ) -> Client:
        identity = Identity(
            User(user, user), token_id=token_id, issued_at=issued_at, authenticated=True
        )
        client = Client(f"c{id(identity)}", identity, "lobby", self.outbox)
        self.holders.add(client)
        return client

    @property
    def ended(self) -> list[Client]:
        assert {code for _, code in self.outbox.closed} <= {"token_revoked"}
        return [client for client, _ in self.outbox.closed]


@pytest.fixture
def scene() -> Scene:
    return Scene()


class Clock:
    """A loop whose time goes on with each client that is ended, and stands still otherwise."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.tick = 0.0

    def time(self) -> float:
        return len(self.scene.outbox.closed) * self.tick

    def call_soon(self, call: Callable[[], None]) -> None:
        asyncio.get_running_loop().call_soon(call)


@pytest.fixture(autouse=True)
def clock(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock(scene)
    loop = SimpleNamespace(get_running_loop=lambda: clock)
    monkeypatch.setattr(module, "asyncio", loop)
    return clock


def before(time: float, kind: str = "user", id: str = "ann") -> Revocation:
    return Revocation(kind, id, 1000.0, time)  # type: ignore[arg-type]


async def test_a_user(scene: Scene) -> None:
    old, ageless = scene.client(), scene.client(issued_at=None)
    scene.client(issued_at=11.0)
    scene.client("ben")
    scene.holders.revoked(before(11.0))
    assert set(scene.ended) == {old, ageless}
    scene.holders.revoked(before(11.0))
    assert len(scene.ended) == 2, "nobody twice"


async def test_a_token(scene: Scene) -> None:
    first, second = scene.client(token_id="t"), scene.client(token_id="t")
    scene.client(token_id="u")
    scene.client("t")
    scene.holders.revoked(Revocation("token", "t", 1000.0))
    assert set(scene.ended) == {first, second}


async def test_everybody(scene: Scene) -> None:
    clients = {scene.client(f"user {number}") for number in range(10)}
    scene.client(issued_at=12.0)
    scene.holders.revoked(before(12.0, "all", ""))
    assert set(scene.ended) == clients


async def test_a_client_that_cannot_be_ended_is_nobody_else_s_luck(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    clients = {scene.client() for _ in range(3)}
    close, failed = scene.outbox.close, []

    def fail_once(client: Client, ending: Disconnect) -> None:
        if not failed:
            failed.append(client)
            raise RuntimeError("no")
        close(client, ending)

    scene.outbox.close = fail_once  # type: ignore[method-assign]
    scene.holders.revoked(before(11.0))
    assert {*scene.ended, *failed} == clients
    assert "a client could not be ended" in caplog.text
    later = scene.client()
    scene.holders.revoked(before(11.0))
    assert later in scene.ended


async def test_who_has_gone_or_changed_is_left_alone(scene: Scene) -> None:
    gone, changed = scene.client(token_id="t"), scene.client(token_id="t")
    scene.holders.remove(gone)
    scene.holders.remove(gone)
    scene.holders.remove(changed)
    changed.identity = Identity(changed.user, issued_at=20.0, token_id="u", authenticated=True)
    scene.holders.add(changed)
    scene.holders.revoked(before(11.0))
    scene.holders.revoked(Revocation("token", "t", 1000.0))
    assert scene.ended == []
    scene.holders.revoked(Revocation("token", "u", 1000.0))
    assert scene.ended == [changed]
    assert len(scene.holders) == 0
    assert scene.holders._tokens == {}


async def test_without_a_token_nobody_is_concerned(scene: Scene) -> None:
    client = Client("c", Identity(User("ann", "Ann")), "lobby", scene.outbox)
    scene.holders.add(client)
    scene.holders.revoked(before(1000.0))
    scene.holders.revoked(before(1000.0, "all", ""))
    scene.holders.remove(client)
    assert scene.ended == []
    assert len(scene.holders) == 0


def test_what_the_rules_look_at() -> None:
    ann = User("ann", "Ann")
    assert credentials(Identity(ann, authenticated=True)) == Credentials("ann", None, 0.0)
    identity = Identity(ann, issued_at=5.0, token_id="t", authenticated=True)
    assert credentials(identity) == Credentials("ann", "t", 5.0)


async def test_a_crowd_is_ended_in_slices(scene: Scene, clock: Clock) -> None:
    """Each end takes a millisecond here, and a slice of the loop five."""
    clock.tick = 0.001
    clients = {scene.client(f"user {number % 20}") for number in range(100)}
    last = scene.client("ben")
    scene.holders.revoked(before(11.0, "all", ""))
    first = len(scene.ended)
    assert 3 <= first <= 7
    assert set(scene.ended) < clients | {last}
    scene.holders.remove(last)
    comes = scene.client("cat", issued_at=10.0)
    scene.holders.revoked(before(11.0, "user", "cat"))
    turns = 0
    while len(scene.ended) < 101:
        at = len(scene.ended)
        await asyncio.sleep(0)
        turns += 1
        assert len(scene.ended) - at <= 7
        assert turns < 1000
    assert set(scene.ended) == {*clients, comes}
    assert scene.ended[-1] is comes, "one rule after the other"
