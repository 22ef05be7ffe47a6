"""The table of events: which name leads where, with which arguments, to which answer.

What clients see of it over the wire is in test_namespace.py.
"""

from __future__ import annotations

from typing import Any

import pytest

from sioserver import wire
from sioserver.auth import Identity
from sioserver.errors import Refusal
from sioserver.limits import NoAllowance, NoBucket
from sioserver.metrics import EVENTS
from sioserver.model import Counts, Message, Page, Position, Published, User
from sioserver.transport.clients import RoomClient, RoomConnection
from sioserver.transport.requests import Requests

ALICE = User("alice", "Alice")


class Service:
    """A `RoomService` that writes down what it is asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []
        self.refreshed = Identity(ALICE, expires_at=7.0)
        self.closed_to_tokens = ""
        self.page = Page([Message("m1", 5, "alice", "Alice", "hi", 1234)], 5, Position("e", 5))

    def max_body(self, room: str) -> int:
        return 100

    async def send(self, client: RoomClient, request: wire.SendRequest) -> Published:
        self.asked.append(("send", request.body, request.id))
        return Published("m1", Position("e", 5), 1234, False)

    async def history(self, client: RoomClient, request: wire.HistoryRequest) -> Page:
        self.asked.append(("history", request.before, request.after, request.limit))
        return self.page

    async def members(self, client: RoomClient, *, everybody: bool) -> Any:
        self.asked.append(("members", everybody))
        return [ALICE], Counts(1, 2), [ALICE] if everybody else None

    async def read(self, client: RoomClient, offset: int) -> int:
        self.asked.append(("read", offset))
        return 3

    def typing(self, client: RoomClient, on: bool) -> None:
        self.asked.append(("typing", on))

    async def refresh(self, client: RoomClient, token: str) -> Identity:
        self.asked.append(("refresh", token))
        if client.room == self.closed_to_tokens:
            raise Refusal("forbidden")
        return self.refreshed

    def adopt(self, client: RoomClient, identity: Identity) -> None:
        client.identity = identity

    async def identify(self, hello: wire.Hello, made_up: str) -> Identity:
        self.asked.append(("identify", hello.token))
        return self.refreshed

    async def leave_for_good(self, client: RoomClient) -> None:
        self.asked.append(("leave for good",))

    def relays(self, room: str, name: str) -> bool:
        return name == "move"

    def relay(self, client: RoomClient, name: str, args: Any) -> None:
        self.asked.append(("relay", name, list(args)))

    async def rooms_of(self, identity: Identity) -> dict[str, dict[str, int]]:
        self.asked.append(("rooms_of", identity.user.id))
        return {"a": {"unread": 1, "last": 2}}


class Desk:
    """Requests and what became of them."""

    def __init__(self) -> None:
        self.service = Service()
        self.refreshed: list[RoomClient] = []
        service: Any = self.service
        self.now = 100.0
        self.requests = Requests(
            service,
            lambda: self.now,
            history_page=50,
            page_binaries=2,
            page_bytes=100,
            refreshed=self.refreshed.append,
        )

    def client(self, room: str = "den", expires_at: float | None = None) -> RoomClient:
        nobody: Any = None
        identity = Identity(ALICE, expires_at=expires_at)
        connection = RoomConnection(NoAllowance(), None)
        return RoomClient(identity, room, nobody, nobody, connection, "/" + room, NoBucket())

    async def ask(self, name: Any, *args: Any, room: str = "den") -> dict[str, Any]:
        return await self.requests.answer(self.client(room), name, list(args))


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.mark.parametrize(
    ("request_", "asked", "answer"),
    [
        (
            ["message", "hi", {"id": "m1"}],
            ("send", "hi", "m1"),
            {"ok": True, "id": "m1", "offset": 5, "at": 1234},
        ),
        (
            ["message", None],
            ("send", None, None),
            {"ok": True, "id": "m1", "offset": 5, "at": 1234},
        ),
        (
            ["history", {"before": 9, "limit": 99}],
            ("history", 9, None, 50),
            {
                "ok": True,
                "items": [
                    {
                        "id": "m1",
                        "offset": 5,
                        "user": "alice",
                        "name": "Alice",
                        "body": "hi",
                        "at": 1234,
                    }
                ],
                "more": False,
                "position": "e.5",
            },
        ),
        (
            ["members"],
            ("members", False),
            {"ok": True, "online": [{"user": "alice", "name": "Alice"}], "total": 2},
        ),
        (
            ["members", {"all": True}],
            ("members", True),
            {
                "ok": True,
                "online": [{"user": "alice", "name": "Alice"}],
                "total": 2,
                "members": [{"user": "alice", "name": "Alice"}],
            },
        ),
        (["read", 2], ("read", 2), {"ok": True, "unread": 3}),
        (["typing", True], ("typing", True), {"ok": True}),
        (["auth", {"token": "t"}], ("refresh", "t"), {"ok": True, "expires_at": 7.0}),
        (["leave"], ("leave for good",), {"ok": True}),
        (["move", 1, "e4"], ("relay", "move", [1, "e4"]), {"ok": True}),
    ],
)
async def test_the_table(
    desk: Desk, request_: list[Any], asked: tuple[Any, ...], answer: dict[str, Any]
) -> None:
    assert await desk.ask(*request_) == answer
    assert desk.service.asked == [asked]


def test_the_table_has_every_event_of_the_protocol(desk: Desk) -> None:
    assert set(desk.requests._in_room) == set(wire.CLIENT_EVENTS)
    assert set(EVENTS) >= set(wire.CLIENT_EVENTS)


@pytest.mark.parametrize("name", ["Message", "", "rooms", "x" * 100_000, 5, 1.5, True, None])
async def test_what_is_no_event(desk: Desk, name: Any) -> None:
    with pytest.raises(Refusal) as refused:
        await desk.ask(name, 1)
    assert refused.value.code == "unknown_event"
    assert len(refused.value.message) < 120
    assert desk.service.asked == []


@pytest.mark.parametrize(
    "request_", [["message"], ["read", -1], ["typing"], ["auth"], ["history", 1], ["leave", {}]]
)
async def test_bad_arguments_get_no_further(desk: Desk, request_: list[Any]) -> None:
    with pytest.raises(Refusal) as refused:
        await desk.ask(*request_)
    assert refused.value.code == "bad_request"
    assert desk.service.asked == []


async def test_what_is_relayed_has_a_size_too(desk: Desk) -> None:
    with pytest.raises(Refusal) as refused:
        await desk.ask("move", "x" * 60, "y" * 60)
    assert refused.value.code == "too_large"


@pytest.mark.parametrize(
    ("bodies", "newest", "oldest"),
    [
        ([b"1", b"2", b"3"], [2, 3], [1, 2]),
        (["x" * 60, "y" * 60], [2], [1]),
        (["x" * 200], [1], [1]),
    ],
)
async def test_a_page_of_history_is_no_more_than_an_answer_can_carry(
    desk: Desk, bodies: list[Any], newest: list[int], oldest: list[int]
) -> None:
    messages = [Message("m", n, "alice", "Alice", body, 0) for n, body in enumerate(bodies, 1)]
    desk.service.page = Page(messages, 1, Position("e", len(bodies)))
    for options, kept in (({}, newest), ({"before": 9}, newest), ({"after": 0}, oldest)):
        answer = await desk.ask("history", options)
        assert [item["offset"] for item in answer["items"]] == kept
        assert answer["more"] == (len(kept) < len(bodies))


async def test_what_looks_like_an_attachment_gets_no_further(desk: Desk) -> None:
    for request in (["message", {"_placeholder": True, "num": 9}], ["move", [{"_placeholder": 1}]]):
        with pytest.raises(Refusal) as refused:
            await desk.ask(*request)
        assert refused.value.code == "bad_request"
    assert desk.service.asked == []


async def test_a_fresh_token_is_passed_on(desk: Desk) -> None:
    client = desk.client()
    await desk.requests.answer(client, "auth", [{"token": "t"}])
    assert desk.refreshed == [client]


async def test_the_session_room(desk: Desk) -> None:
    answer = await desk.ask("rooms", room="@me")
    assert answer == {"ok": True, "rooms": [{"room": "a", "unread": 1, "last": 2}]}
    for name in ("message", "history", "members", "read", "typing", "leave", "move", 5):
        with pytest.raises(Refusal) as refused:
            await desk.ask(name, room="@me")
        assert refused.value.code == "unknown_event"


async def test_a_fresh_token_in_the_session_room(desk: Desk) -> None:
    client = desk.client("@me", expires_at=200.0)
    client.connection.clients[client.namespace] = client
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
    client = desk.client("@me", expires_at=200.0)
    with pytest.raises(Refusal) as refused:
        await desk.requests.answer(client, "auth", [{"token": "t"}])
    assert refused.value.code == "not_member"
    assert client.identity is not desk.service.refreshed


async def test_a_fresh_token_in_the_session_room_is_for_the_rooms_too(desk: Desk) -> None:
    session = desk.client("@me", expires_at=200.0)
    room, guest, closed = (desk.client(name) for name in ("den", "yard", "vault"))
    for client in (session, room, guest, closed):
        client.connection = session.connection
        session.connection.clients["/" + client.room] = client
    for client in (room, closed):
        client.identity = Identity(ALICE, expires_at=200.0, authenticated=True)
    desk.service.closed_to_tokens = "vault"
    await desk.requests.answer(session, "auth", [{"token": "t"}])
    assert desk.refreshed == [session, room]  # a guest has no token, and the vault refuses it


async def test_an_expired_token_in_the_session_room(desk: Desk) -> None:
    client = desk.client("@me", expires_at=100.0)
    with pytest.raises(Refusal) as refused:
        await desk.requests.answer(client, "rooms", [])
    assert refused.value.code == "token_expired"
    assert desk.service.asked == []
