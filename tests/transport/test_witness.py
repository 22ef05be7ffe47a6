"""What has arrived and what is counted, with sessions that the test makes up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from sioserver import app
from sioserver.auth import Identity
from sioserver.errors import DISCONNECTS
from sioserver.limits import NoAllowance, NoBucket
from sioserver.metrics import Metrics
from sioserver.metrics.labels import DROPS, LIMITS, REQUEST_REFUSALS, UNASKED
from sioserver.model import User
from sioserver.transport import binding, edge, http_connections, upgrade
from sioserver.transport.clients import RoomClient, RoomConnection
from sioserver.transport.edge import BAD_ORIGIN, SESSION_UNKNOWN
from sioserver.transport.witness import Witness
from sioserver.websocket import takeover


class Session:
    def __init__(self, *, websocket: bool = True) -> None:
        self.owner = RoomConnection(NoAllowance(), None)
        self.ws = object() if websocket else None
        self.upgraded = websocket
        self.closed = False
        self.pings = 0

    def ping(self) -> None:
        self.pings += 1

    def client(self, namespace: str = "/") -> RoomClient:
        nobody: Any = None
        me: Any = self
        client = RoomClient(
            Identity(User("a", "A")), "lobby", nobody, me, self.owner, namespace, NoBucket()
        )
        client.joined = True
        self.owner.clients[namespace] = client
        return client


class Scene:
    """A witness, and what its neighbours know."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.due: list[tuple[float, Callable[[], None]]] = []
        self.tops: dict[RoomClient, int] = {}
        self.spent: list[Any] = []
        self.delivered_: list[tuple[RoomClient, int]] = []
        self.metrics = Metrics()
        me: Any = self
        self.crowd = 1000
        self.witness = Witness(
            me,
            me,
            self.metrics,
            me,
            lambda: self.now,
            pause=1.0,
            crowd=lambda: self.crowd,
            spend=self.spent.append,
        )

    def after(self, delay: float, callback: Callable[[], None]) -> None:
        self.due.append((delay, callback))

    def run(self) -> None:
        due, self.due = self.due, []
        for _, callback in due:
            callback()

    def written(self, client: RoomClient) -> int:
        return self.tops.get(client, 0)

    def delivered(self, client: RoomClient, offset: int) -> None:
        self.delivered_.append((client, offset))
        client.proven = offset


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_what_was_written_and_is_not_proven(scene: Scene) -> None:
    session: Any = Session()
    first, second, third = (session.client(name) for name in ("/", "/a", "/b"))
    assert scene.witness.written(session) is None
    scene.tops = {first: 5, second: 3, third: 9}
    second.proven = 3
    third.joined = False  # still joining: the hub does not know how far its replay got
    assert scene.witness.written(session) == [(first, 5)]
    scene.witness.proven(session, [(first, 5)])
    assert scene.delivered_ == [(first, 5)]
    assert scene.witness.written(session) is None
    assert scene.due == []


def test_what_came_after_the_ping_asks_for_another(scene: Scene) -> None:
    session: Any = Session()
    client = session.client()
    scene.tops[client] = 5
    sent = scene.witness.written(session)
    assert sent is not None
    scene.tops[client] = 6
    scene.witness.proven(session, sent)
    assert session.pings == 1


def test_pings_are_not_more_frequent_than_configured(scene: Scene) -> None:
    session: Any = Session()
    scene.witness.confirm(session)
    assert (session.pings, scene.due) == (0, [])  # there is nothing to prove
    scene.tops[session.client()] = 5
    scene.witness.confirm(session)
    assert (session.pings, scene.due) == (1, [])  # behind what it is to prove, in the same write
    for _ in range(3):
        scene.witness.confirm(session)
    assert [delay for delay, _ in scene.due] == [1.0]  # one is enough
    scene.run()
    assert session.pings == 2
    scene.now += 0.25
    scene.witness.confirm(session)
    assert [delay for delay, _ in scene.due] == [0.75]
    scene.run()
    scene.now -= 5000.0  # the clock was set back
    scene.witness.confirm(session)
    assert [delay for delay, _ in scene.due] == [1.0]


def test_a_crowd_is_asked_less_often_and_not_all_at_once(scene: Scene) -> None:
    scene.crowd = 10_000  # ten seconds for all of them
    sessions: list[Any] = [Session() for _ in range(200)]
    for session in sessions:
        scene.tops[session.client()] = 5
        scene.witness.confirm(session)
        scene.witness.confirm(session)
    assert not any(session.pings for session in sessions)
    waits = sorted(delay for delay, _ in scene.due)
    assert len(waits) == 200
    assert 0 <= waits[0] < 2
    assert 8 < waits[-1] <= 10
    scene.run()
    assert all(session.pings == 1 for session in sessions)
    scene.now += 4
    scene.witness.confirm(sessions[0])
    ((wait, _),) = scene.due
    assert 6 <= wait <= 10


def test_polling_needs_no_pings(scene: Scene) -> None:
    session: Any = Session(websocket=False)
    scene.witness.confirm(session)
    assert scene.due == []


def test_a_session_that_has_ended_is_not_pinged(scene: Scene) -> None:
    session: Any = Session()
    scene.tops[session.client()] = 5
    scene.witness.confirm(session)
    scene.witness.confirm(session)
    session.closed = True
    scene.run()
    assert session.pings == 1


def test_an_upgrade_asks_for_the_proof_of_the_last_poll(scene: Scene) -> None:
    session: Any = Session(websocket=False)
    scene.witness.on_opened(session)
    scene.tops[session.client()] = 5
    session.ws, session.upgraded = object(), True
    scene.witness.on_upgraded(session)
    scene.run()
    assert session.pings == 1


def test_connections_are_counted_by_their_transport(scene: Scene) -> None:
    counted = scene.metrics.connections
    direct: Any = Session()
    moved: Any = Session(websocket=False)
    never: Any = Session()
    for session in (direct, moved):
        scene.witness.on_opened(session)
    assert (counted["websocket"], counted["polling"]) == (1, 1)
    moved.upgraded = True
    scene.witness.on_upgraded(moved)
    assert (counted["websocket"], counted["polling"]) == (2, 0)
    for session in (direct, moved, never, direct):
        scene.witness.on_closed(session)
    assert not any(counted.values())
    assert scene.metrics.connections_opened == 2


@pytest.mark.parametrize("reason", DROPS)
def test_drops(scene: Scene, reason: str) -> None:
    scene.witness.count("dropped", reason)
    assert scene.metrics.dropped[reason] == 1


@pytest.mark.parametrize("limit", LIMITS)
def test_limits(scene: Scene, limit: str) -> None:
    scene.witness.count("limits", limit)
    assert scene.metrics.limit_hits[limit] == 1


@pytest.mark.parametrize("code", DISCONNECTS)
def test_disconnects(scene: Scene, code: str) -> None:
    scene.witness.count("disconnects", code)
    assert scene.metrics.disconnects[code] == 1
    hit = {name for name, number in scene.metrics.limit_hits.items() if number}
    expected = {"connect_timeout": {"connect_timeout"}, "too_many_errors": {"refused_rate"}}
    assert hit == expected.get(code, set())


@pytest.mark.parametrize("what", UNASKED)
def test_what_is_of_no_use_is_counted_and_paid_for(scene: Scene, what: str) -> None:
    session: Any = Session()
    scene.witness.unasked(session, what)
    assert scene.metrics.unasked[what] == 1
    assert scene.spent == [session]


def test_pings(scene: Scene) -> None:
    scene.witness.count("pings", "sent")
    scene.witness.count("pings", "timeout")
    assert scene.metrics.pings == 1


def test_refused_requests(scene: Scene) -> None:
    scene.witness.count("requests", "Session ID unknown")
    assert not any(scene.metrics.limit_hits.values())
    scene.witness.count("requests", "The body is larger than maxPayload")
    assert scene.metrics.limit_hits["max_payload"] == 1
    assert not any(scene.metrics.invalid_tokens.values())
    scene.witness.count("requests", edge.TOKEN_IN_ADDRESS.message)
    assert scene.metrics.invalid_tokens["misplaced"] == 1


def test_a_ping_that_proves_nothing_asks_again_for_what_came_meanwhile(scene: Scene) -> None:
    """A message written between a ping and its answer could not have a ping of its own."""
    session: Any = Session()
    client = session.client()
    scene.tops = {client: 5}
    scene.witness.proven(session, None)
    assert scene.delivered_ == []
    scene.run()
    assert session.pings == 1


def test_refused_requests_are_counted_by_their_reason(scene: Scene) -> None:
    for refused in (BAD_ORIGIN, SESSION_UNKNOWN, SESSION_UNKNOWN):
        scene.witness.count("requests", refused.message)
    counted = {
        reason: number for reason, number in scene.metrics.request_refusals.items() if number
    }
    assert counted == {BAD_ORIGIN.message: 1, SESSION_UNKNOWN.message: 2}


def test_every_refusal_of_a_request_has_its_counter() -> None:
    refusals = {value.message for value in vars(edge).values() if isinstance(value, edge.Refused)}
    # and those that are no answers of the Engine.IO server's
    refusals |= {takeover.REFUSED, upgrade.REFUSED, http_connections.MALFORMED, app.EXPECTATION}
    assert refusals == set(REQUEST_REFUSALS)


def test_every_mismatch_has_its_counter(scene: Scene) -> None:
    for what in binding.MISMATCHES:
        scene.witness.count("mismatches", what)
    assert scene.metrics.mismatches == {**dict.fromkeys(binding.MISMATCHES, 1), "other": 0}
