"""Pings that prove something; with rooms and a wheel that the test plays.

That positions move by them over each transport is in tests/transport/test_witness.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sioserver.connections.proofs import PROOFS, Proofs

PAUSE = 1.0


class Client:
    joined = True

    def __init__(self) -> None:
        self.written = self.proven = 0


class Session:
    """A session that is its own owner, with one client."""

    def __init__(self) -> None:
        self.owner: Any = self
        self.ws: Any = "there"
        self.closed = self.confirming = False
        self.pinged = 0.0
        self.pings = 0
        self.client = Client()
        self.clients: dict[str, Client] = {"": self.client}

    def ping(self) -> None:
        self.pings += 1


class Scene:
    def __init__(self, crowd: int = 1) -> None:
        self.now = 100.0
        self.due: list[tuple[float, Callable[[], None]]] = []
        me: Any = self
        self.proofs = Proofs(me, me, me, lambda: self.now, pause=PAUSE, crowd=lambda: crowd)

    def after(self, delay: float, callback: Callable[[], None]) -> None:
        self.due.append((self.now + delay, callback))

    def written(self, client: Client) -> int:
        return client.written

    def delivered(self, client: Client, offset: int) -> None:
        client.proven = offset


def test_the_first_is_asked_at_once_and_the_next_after_a_pause() -> None:
    scene, session = Scene(), Session()
    session.client.written = 1
    scene.proofs.confirm(session)
    assert (session.pings, session.pinged) == (1, 100.0)
    scene.now += 0.25
    scene.proofs.confirm(session)
    scene.proofs.confirm(session)
    [(due, run)] = scene.due
    assert due == 101.0
    scene.now = due
    run()
    assert session.pings == 2


def test_who_leaves_a_room_is_asked_without_a_pause() -> None:
    scene, session = Scene(), Session()
    session.client.written = 1
    scene.proofs.confirm(session)
    scene.proofs.confirm_now(session)
    assert session.pings == 2
    session.client.proven = 1
    scene.proofs.confirm_now(session)
    session.client.written, session.ws = 2, None
    scene.proofs.confirm_now(session)
    assert session.pings == 2


def test_nothing_is_asked_of_who_has_proven_all_or_is_gone() -> None:
    scene, session = Scene(), Session()
    scene.proofs.confirm(session)  # nothing was written
    session.client.written = 1
    session.closed = True
    scene.proofs.confirm(session)
    session.closed, session.client.joined = False, False
    scene.proofs.confirm(session)
    session.client.joined, session.ws = True, None
    scene.proofs.confirm(session)
    assert session.pings == 0


def test_an_answer_moves_the_position_and_asks_for_what_came_since() -> None:
    scene, session = Scene(), Session()
    session.client.written = 3
    sent = scene.proofs.written(session)
    session.client.written = 5
    scene.proofs.proven(session, sent)
    assert session.client.proven == 3
    assert session.pings == 1
    scene.proofs.proven(session, scene.proofs.written(session))
    assert session.client.proven == 5
    assert scene.proofs.written(session) is None


def test_a_crowd_is_asked_later_and_not_all_at_once() -> None:
    scene = Scene(crowd=10 * PROOFS)
    for _ in range(50):
        session = Session()
        session.client.written = 1
        scene.proofs.confirm(session)
    delays = {due - scene.now for due, _ in scene.due}
    assert len(delays) > 10
    assert max(delays) <= 10.0
