"""Requests that are about the client itself: fresh tokens, in a room and for all rooms."""

from __future__ import annotations

import pytest

from sioserver.auth import Identity
from sioserver.errors import Refusal
from sioserver.matching import Query
from sioserver.model import User

from .kit import ALICE, Desk


@pytest.fixture
def desk() -> Desk:
    return Desk()


async def test_a_fresh_token_is_passed_on(desk: Desk) -> None:
    client = desk.client()
    await desk.requests.answer(client, "auth", [{"token": "t"}])
    assert desk.refreshed == [client]


async def test_the_directory(desk: Desk) -> None:
    answer = await desk.ask("directory", {"query": "Tea", "after": "3 a"}, room="@me:alice")
    assert desk.service.asked == [("directory", "alice", Query(("tea",)), (3, "a"), 50)]
    assert answer == {
        "ok": True,
        "rooms": [{"room": "den", "topic": "tea", "online": 1, "total": 2}],
        "next": "1 den",
    }


async def test_a_fresh_token_in_the_session_room(desk: Desk) -> None:
    client = desk.client("@me:alice", expires_at=200.0)
    client.connection.append(client)
    answer = await desk.requests.answer(client, "auth", [{"token": "t"}])
    assert answer == {"ok": True, "expires_at": 7.0}
    assert client.identity is desk.service.refreshed
    assert desk.refreshed == [client]
    desk.service.refreshed = Identity(User("bob", "Bob"))
    desk.now = 0.0
    with pytest.raises(Refusal) as refused:
        await desk.requests.answer(client, "auth", [{"token": "t"}])
    assert refused.value.code == "forbidden"
    assert client.identity.user == ALICE
    assert desk.refreshed == [client]


async def test_a_fresh_token_saves_nobody_who_was_ended_meanwhile(desk: Desk) -> None:
    client = desk.client("@me:alice", expires_at=200.0)
    with pytest.raises(Refusal) as refused:
        await desk.requests.answer(client, "auth", [{"token": "t"}])
    assert refused.value.code == "not_member"
    assert client.identity is not desk.service.refreshed


async def test_a_fresh_token_in_the_session_room_is_for_the_rooms_too(desk: Desk) -> None:
    session = desk.client("@me:alice", expires_at=200.0)
    room, guest, closed = (desk.client(name) for name in ("den", "yard", "vault"))
    for client in (session, room, guest, closed):
        client.connection = session.connection
        session.connection.append(client)
    for client in (room, closed):
        client.identity = Identity(ALICE, expires_at=200.0, authenticated=True)
    desk.service.closed_to_tokens = "vault"
    await desk.requests.answer(session, "auth", [{"token": "t"}])
    assert desk.refreshed == [session, room]  # a guest has no token, and the vault refuses it
