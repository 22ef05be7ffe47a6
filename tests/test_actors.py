"""Who asks for something in a room."""

from __future__ import annotations

from sioserver.actors import Actor, Visitor
from sioserver.auth import Identity

from .fakes import ANN, FakeOutbox, client


def test_a_client_and_a_visitor_are_asked_the_same() -> None:
    visitor = Visitor("lobby", Identity(ANN))
    actors: list[Actor] = [visitor, client(FakeOutbox(), "c1", ANN, "lobby")]
    assert [(one.room, one.user, one.identity.user, one.id) for one in actors] == [
        ("lobby", ANN, ANN, ""),
        ("lobby", ANN, ANN, "c1"),
    ]
