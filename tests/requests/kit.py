"""A desk where requests are answered, by a service that writes down what it is asked."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from msgspec.structs import astuple

from sioserver import wire
from sioserver.auth import Identity
from sioserver.connections.clients import ConnectedClient
from sioserver.directory import Entry, Found
from sioserver.engine.base_search import Found as Hits
from sioserver.errors import Refusal
from sioserver.limits import NoBucket
from sioserver.model import (
    Act,
    Counts,
    Mention,
    Message,
    Page,
    Position,
    Published,
    RoomSettings,
    Sanction,
    User,
)
from sioserver.requests import Pages, Requests

ALICE = User("alice", "Alice")


class Seat(ConnectedClient):
    """A client whose connection is a set."""

    def __init__(self, identity: Identity, room: str) -> None:
        nobody: Any = None
        super().__init__(identity, room, nobody, NoBucket())
        self.connection: list[Seat] = []

    @property
    def here(self) -> bool:
        return self in self.connection

    @property
    def beside(self) -> Collection[ConnectedClient]:
        return self.connection


BAN = Sanction("ban", "ben", 2.5, 1.5, "alice", "spam", by_address=True, addresses=("10.0.0.1",))


class ModerationService:
    """A `Moderation` that writes down what it is asked."""

    def __init__(self, asked: list[tuple[Any, ...]]) -> None:
        self.asked = asked

    async def kick(self, client: ConnectedClient, order: wire.Order) -> Sanction:
        return await self._decide("kick", order)

    async def mute(self, client: ConnectedClient, order: wire.Order) -> Sanction:
        return await self._decide("mute", order)

    async def ban(self, client: ConnectedClient, order: wire.Order) -> Sanction:
        return await self._decide("ban", order)

    async def _decide(self, what: str, order: wire.Order) -> Sanction:
        self.asked.append((what, *astuple(order)))
        return BAN

    async def lift(self, client: ConnectedClient, what: str, user_id: str) -> None:
        self.asked.append((what, user_id))

    async def bans(
        self, client: ConnectedClient, request: wire.ListRequest
    ) -> tuple[list[Sanction], bool]:
        self.asked.append(("bans", *astuple(request)))
        return [BAN], True

    async def configure(self, client: ConnectedClient, changes: dict[str, Any]) -> RoomSettings:
        self.asked.append(("settings", changes))
        return RoomSettings("tea", 2.0, True)

    async def log(
        self, client: ConnectedClient, request: wire.LogRequest
    ) -> tuple[list[Act], bool]:
        self.asked.append(("log", *astuple(request)))
        return [Act("ban", "alice", 1.5, "ben", float("inf"), "spam", number=7)], False


class Service:
    """A `RoomService` that writes down what it is asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []
        self.moderation = ModerationService(self.asked)
        # its parts, in one
        self.activity = self.identities = self.people = self
        self.uses: list[tuple[ConnectedClient, float]] = []
        self.refreshed = Identity(ALICE, expires_at=7.0)
        self.closed_to_tokens = ""
        said = Message("m1", 5, "alice", "Alice", "hi", 1234)
        self.page = Page([said], 5, Position("e", 5), 5, 5, 6)

    def used(self, client: ConnectedClient, now: float) -> None:
        self.uses.append((client, now))

    def max_body(self, room: str) -> int:
        return 100

    async def send(self, client: ConnectedClient, request: wire.SendRequest) -> Published:
        self.asked.append(("send", request.body, request.id))
        return Published("m1", Position("e", 5), 1234, False)

    @property
    def operations(self) -> Service:
        return self

    async def edit(self, client: ConnectedClient, request: wire.EditRequest) -> Published:
        self.asked.append(("edit", request.target, request.body))
        return Published("m1", Position("e", 6), 1235, False, target=5)

    async def delete(self, client: ConnectedClient, target: wire.Target) -> Published:
        self.asked.append(("delete", target))
        return Published("m1", Position("e", 7), 1236, False, target=5)

    async def react(self, client: ConnectedClient, request: wire.ReactRequest) -> Published:
        self.asked.append(("react", request.target, request.emoji, request.on))
        return Published("m1", Position("e", 8), 1237, False, target=5)

    async def history(self, client: ConnectedClient, request: wire.HistoryRequest) -> Page:
        self.asked.append(("history", request.before, request.after, request.limit))
        return self.page

    @property
    def search(self) -> Searches:
        return Searches(self)

    async def members(self, client: ConnectedClient, *, everybody: bool) -> Any:
        self.asked.append(("members", everybody))
        bob = User("bob", "Bob")
        return (
            [ALICE],
            Counts(1, 2),
            [ALICE, bob] if everybody else None,
            {"alice": "away"},
            {"bob": 7},
        )

    def status(self, client: ConnectedClient, state: str) -> None:
        self.asked.append(("status", state))

    async def read(self, client: ConnectedClient, offset: int) -> int:
        self.asked.append(("read", offset))
        return 3

    def typing(self, client: ConnectedClient, on: bool) -> None:
        self.asked.append(("typing", on))

    async def refresh(self, client: ConnectedClient, token: str) -> Identity:
        self.asked.append(("refresh", token))
        if client.room == self.closed_to_tokens:
            raise Refusal("forbidden")
        return self.refreshed

    def adopt(self, client: ConnectedClient, identity: Identity) -> None:
        client.identity = identity

    async def identify(self, hello: wire.Hello, made_up: str) -> Identity:
        self.asked.append(("identify", hello.token))
        return self.refreshed

    async def leave_for_good(self, client: ConnectedClient) -> None:
        self.asked.append(("leave for good",))

    def relays(self, room: str, name: str) -> bool:
        return name == "move"

    def relay(self, client: ConnectedClient, name: str, args: Any) -> None:
        self.asked.append(("relay", name, list(args)))

    @property
    def directory(self) -> Service:
        return self

    async def find(self, identity: Identity, query: Any, after: Any, limit: int) -> Found:
        self.asked.append(("directory", identity.user.id, query, after, limit))
        return Found([(Entry("den", "tea", 1, True, ""), Counts(1, 2))], (1, "den"))

    @property
    def sessions(self) -> Service:
        return self

    @property
    def mentions(self) -> Service:
        return self

    async def of(self, user_id: str, after: int) -> list[Mention]:
        self.asked.append(("mentions", user_id, after))
        return [Mention(after + 1, "a", "m1", 5, "bob", "Bob", 1234)]

    async def rooms(self, client: ConnectedClient) -> list[dict[str, Any]]:
        self.asked.append(("rooms", client.user.id))
        return [{"room": "a", "unread": 1, "last": 2}]


class Searches:
    """A `Search` that writes down what it is asked."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def find(self, client: ConnectedClient, request: wire.SearchRequest) -> Hits:
        self._service.asked.append(("search", request.query.terms, request.before, request.limit))
        return Hits(self._service.page.messages, 3, 3, False)


class Desk:
    """Requests and what became of them."""

    def __init__(self) -> None:
        self.service = Service()
        self.refreshed: list[ConnectedClient] = []
        service: Any = self.service
        self.now = 100.0
        self.requests = Requests(
            service,
            lambda: self.now,
            Pages(messages=50, binaries=2, bytes=100),
            self.refreshed.append,
        )

    def client(self, room: str = "den", expires_at: float | None = None) -> Seat:
        return Seat(Identity(ALICE, expires_at=expires_at), room)

    async def ask(self, name: Any, *args: Any, room: str = "den") -> dict[str, Any]:
        return await self.requests.answer(self.client(room), name, list(args))
