"""What is told to clients over Socket.IO, with sessions that the test plays.

That it arrives, and what becomes of slow readers, is in test_namespace.py.
"""

from __future__ import annotations

from typing import Any

import pytest

from sioserver.auth import Identity
from sioserver.errors import Disconnect
from sioserver.limits import NoAllowance, NoBucket
from sioserver.metrics import Metrics
from sioserver.model import Event, Position, User
from sioserver.transport.clients import RoomClient, RoomConnection
from sioserver.transport.outbox import RoomOutbox

SAID = Event("message", {"body": "hi"}, position=Position("e", 1))
TYPING = Event("typing", {"on": True})


class FakeSession:
    """One that has space or not."""

    def __init__(self, *, full: bool = False, closing: bool = False) -> None:
        self.full, self.closing, self.handling = full, closing, False
        self.sid = "s"
        self.written: list[Any] = []
        self.later: list[tuple[Any, ...]] = []
        self.ended: tuple[str, str] | None = None
        self.queued = 0

    def offer(self, out: Any) -> bool:
        if self.full or self.closing:
            return False
        self.written.append(out)
        return True

    def enqueue(self, *what: Any) -> None:
        self.later.append(what[1:])

    def end(self, *why: str) -> None:
        self.ended = (why[0], why[1])


class Scene:
    def __init__(self) -> None:
        self.encoded: list[tuple[str, str]] = []
        self.confirmed: list[Any] = []
        self.spawned: list[str] = []
        self.metrics = Metrics()
        nobody: Any = None
        self.outbox = RoomOutbox(
            nobody,
            self.metrics,
            nobody,
            self._spawn,
            encode=self._encode,
            written=self.confirmed.append,
            end=self.end,
            queue=1000,
            slow_after=1.0,
        )

    def _spawn(self, name: str, coroutine: Any) -> None:
        self.spawned.append(name)
        coroutine.close()

    def _encode(self, namespace: str, event: Event) -> Any:
        self.encoded.append((namespace, event.name))
        return f"{namespace} {event.name}"

    async def end(self, client: RoomClient, ending: Disconnect) -> None:
        """Never run here."""

    def client(self, session: FakeSession, namespace: str = "/den") -> RoomClient:
        where: Any = session
        connection = RoomConnection(NoAllowance(), None)
        who = Identity(User("ann", "Ann"))
        return RoomClient(who, "den", self.outbox, where, connection, namespace, NoBucket())


def test_an_event_is_encoded_once_for_each_namespace() -> None:
    scene = Scene()
    sessions = [FakeSession() for _ in range(4)]
    names = ["/", "/lobby", "/", "/lobby"]
    clients = [scene.client(*one) for one in zip(sessions, names, strict=True)]
    assert scene.outbox.broadcast(clients, SAID) == []
    assert scene.encoded == [("/", "message"), ("/lobby", "message")]
    assert [session.written for session in sessions] == [[f"{name} message"] for name in names]


def test_who_has_no_space_is_named_but_not_who_is_going() -> None:
    scene = Scene()
    full = scene.client(FakeSession(full=True))
    going = scene.client(FakeSession(closing=True))
    fine = scene.client(FakeSession())
    assert scene.outbox.broadcast([full, going, fine], SAID) == [full]


def test_a_proof_is_asked_for_what_lasts_and_once_at_a_time() -> None:
    scene = Scene()
    session, asked = FakeSession(), FakeSession()
    clients = [scene.client(session), scene.client(asked)]
    clients[1].connection.confirming = True
    scene.outbox.broadcast(clients, TYPING)
    assert scene.confirmed == []
    scene.outbox.broadcast(clients, SAID)
    assert scene.confirmed == [session]


@pytest.mark.parametrize(
    ("code", "handling", "at_once"),
    [
        ("banned", True, True),
        ("banned", False, False),
        ("token_revoked", True, True),
        ("left", True, False),
    ],
)
def test_who_is_ended_is_ended_behind_what_it_sent_unless_it_is_put_out(
    code: str, handling: bool, at_once: bool
) -> None:
    scene, session = Scene(), FakeSession()
    client = scene.client(session)
    client.sid, session.handling = "sid", handling
    ending = Disconnect(code)
    scene.outbox.close(client, ending)
    assert scene.spawned == (["end"] if at_once else [])
    assert session.later == ([] if at_once else [(scene.end, client, ending)])


def test_who_fell_behind_is_counted_and_given_the_log() -> None:
    scene = Scene()
    client = scene.client(FakeSession())
    scene.outbox.fell_behind(client)
    assert scene.metrics.limit_hits["client_queue"] == 1
    assert scene.spawned == ["catch-up s"]


def test_who_takes_nothing_is_closed() -> None:
    scene, session = Scene(), FakeSession()
    stalled: Any = session
    scene.outbox._stalled(stalled)
    assert session.ended == ("slow consumer", "slow")
    assert scene.metrics.limit_hits["slow_after"] == 1
