"""The registry says what the server takes and tells: readers and builders beside it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from math import inf
from typing import Any

import pytest
import socketio
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from sioserver import wire
from sioserver.errors import DISCONNECTS, REFUSALS, Disconnect, Refusal
from sioserver.model import (
    Act,
    Counts,
    Event,
    Mention,
    Message,
    Page,
    Position,
    PresenceDiff,
    Published,
    RoomSettings,
    Sanction,
    State,
    User,
)
from sioserver.protocol import CLIENT_EVENTS, SERVER_EVENTS, Place, shapes
from sioserver.testing import ServerProcess
from tests.wire.kit import JSON

from .conform import answered, asked, conforms, told

TEXTS = st.text(max_size=8)
OFFSETS = st.integers(0, 2**53 - 1)
USERS = st.builds(User, TEXTS, TEXTS)
COUNTS = st.builds(Counts, st.integers(0), st.integers(0))
POSITIONS = st.builds(Position, st.text("09azAZ", min_size=1, max_size=32), OFFSETS)
IDS = st.text("!az~", min_size=1, max_size=128)
MESSAGES = st.builds(
    Message, IDS, OFFSETS, TEXTS, TEXTS, JSON, st.integers(0), st.integers(0),
    reply_to=st.none() | st.integers(1, 9) | IDS,
    mentions=st.lists(TEXTS, max_size=2).map(tuple),
    edited=st.integers(0),
    deleted=st.integers(0),
    reactions=st.dictionaries(st.text(min_size=1, max_size=4), st.just(("ann", "ben"))),
)  # fmt: skip


def is_told(event: Event, place: Place = Place.ROOM) -> None:
    args = [*event.before, event.payload]
    if event.position is not None:
        args.append(str(event.position))
    told(place, event.name, args)


@given(MESSAGES, POSITIONS, USERS, COUNTS, OFFSETS, st.booleans())
def test_what_is_built_has_the_shape_that_the_registry_says(
    message: Message, position: Position, user: User, counts: Counts, offset: int, yes: bool
) -> None:
    for event in (
        wire.message_event(message, position.epoch),
        wire.message_event(replace(message, kind="edit"), position.epoch),
        wire.message_event(replace(message, kind="delete"), position.epoch),
        wire.message_event(replace(message, kind="reaction", emoji="x"), position.epoch),
        wire.gap_event(0, offset, position),
        wire.typing_event(user, yes),
        wire.read_event(user, offset),
        wire.notice_event("code", "words", event=message.body),
        wire.presence_event(PresenceDiff(counts, [user], [user, user])),
        wire.presence_event(PresenceDiff(counts, [], [], [user], [user])),
        wire.welcome_event(
            "room",
            user,
            counts,
            3,
            2,
            position,
            position,
            recovered=yes,
            permissions=["join", "moderate"],
            settings=RoomSettings("tea", 1.5, yes),
            peer=user if yes else None,
            state="away" if yes else "online",
        ),
        wire.room_event(RoomSettings()),
        wire.notice_event("muted", "words", retry_after=1.5),
    ):
        is_told(event)


@pytest.mark.parametrize("code", sorted(DISCONNECTS))
def test_a_farewell_is_a_notice(code: str) -> None:
    is_told(wire.farewell(Disconnect(code)))


@pytest.mark.parametrize("code", sorted(REFUSALS))
@pytest.mark.parametrize("after", [None, 1.2345])
def test_a_refusal_has_its_shape(code: str, after: float | None) -> None:
    answered(Place.ROOM, "message", wire.refusal_answer(Refusal(code, retry_after=after)))


def test_what_moderators_are_told_has_its_shape() -> None:
    ban = Sanction("ban", "ben", inf, 1.5, "ada", "spam", by_address=True)
    answered(Place.ROOM, "ban", {"ok": True, **wire.sanction_payload(ban)})
    mute = Sanction("mute", "ben", 2.5, 1.5, "ada")
    answered(Place.ROOM, "mute", {"ok": True, **wire.sanction_payload(mute)})
    answered(Place.ROOM, "bans", wire.bans_answer([ban, mute], True))
    answered(Place.ROOM, "bans", wire.bans_answer([], False))
    settings = {"ok": True, **wire.settings_payload(RoomSettings("tea", 1.0, True))}
    answered(Place.ROOM, "settings", settings)
    acts = [
        Act("ban", "ada", 1.5, "ben", inf, "spam", number=3),
        Act("unban", "ada", 1.5, "ben", number=2),
        Act("settings", "ada", 1.5, settings={"topic": None}, number=1),
    ]
    answered(Place.ROOM, "moderation_log", wire.log_answer(acts, True))


@given(st.lists(MESSAGES, max_size=3), POSITIONS, IDS, USERS, COUNTS)
def test_an_answer_has_its_shape(
    messages: list[Message], position: Position, id: str, user: User, counts: Counts
) -> None:
    answered(Place.ROOM, "message", wire.published_answer(Published(id, position, 1, False)))
    page = Page(messages, 1, position, 3, 2, 5)
    for operations in (False, True):
        request = wire.HistoryRequest(None, None, 3, operations)
        answered(Place.ROOM, "history", wire.history_answer(page, request, "ann"))
    done = Published(id, position, 1, False, target=3)
    for event in ("edit", "delete", "react"):
        answered(Place.ROOM, event, wire.operated_answer(done))
    answered(Place.ROOM, "members", wire.members_answer([user], counts, None, {}, {}))
    here: dict[str, State] = {user.id: "away"}
    both = [user, user]
    answered(Place.ROOM, "members", wire.members_answer([user], counts, both, here, {}))
    answered(Place.ROOM, "members", wire.members_answer([], counts, both, {}, {user.id: 1}))
    rooms = [
        wire.standing("a", 1, 2, mentions=1),
        wire.standing("b", 1, 2, live=False, peer=User("ben", "Ben")),
    ]
    answered(Place.SESSION, "rooms", {"ok": True, "rooms": rooms})
    mention = Mention(3, "a", id, 1, user.id, user.name, 1)
    answered(Place.SESSION, "mentions", wire.mentions_answer([mention]))
    for event in (
        wire.session_event(user, rooms),
        wire.unread_event(rooms[0]),
        wire.mention_event(mention),
        wire.room_joined_event(rooms[1]),
        wire.room_left_event("a"),
    ):
        is_told(event, Place.SESSION)


# ---- what clients send --------------------------------------------------------------------------

READERS: dict[str, Callable[[list[Any]], Any]] = {
    "message": lambda args: wire.parse_send(args, 10**6),
    "edit": lambda args: wire.parse_edit(args, 10**6),
    "delete": wire.parse_delete,
    "react": wire.parse_react,
    "history": lambda args: wire.parse_history(args, 100),
    "search": lambda args: wire.parse_search(args, 100),
    "members": wire.parse_members,
    "read": wire.parse_read,
    "typing": wire.parse_typing,
    "status": wire.parse_status,
    "auth": wire.parse_auth,
    "leave": lambda args: wire.parse_nothing(args, "leave"),
    "kick": wire.parse_kick,
    "mute": wire.parse_mute,
    "unmute": lambda args: wire.parse_lift(args, "unmute"),
    "ban": wire.parse_ban,
    "unban": lambda args: wire.parse_lift(args, "unban"),
    "bans": wire.parse_bans,
    "settings": wire.parse_settings,
    "moderation_log": wire.parse_log,
}
NAMES = st.sampled_from(
    [
        *("id", "before", "after", "limit", "all", "token", "state", "query"),
        *("user", "seconds", "reason", "address", "kind", "topic", "slow_mode", "read_only"),
    ]
)
STATES = st.sampled_from(["online", "away"])
VALUES = STATES | OFFSETS | st.booleans() | TEXTS | IDS | st.just(10_000)
ARGUMENTS = st.lists(VALUES | st.dictionaries(NAMES, VALUES, max_size=2), max_size=2)


@pytest.mark.parametrize("event", sorted(READERS))
@given(args=ARGUMENTS)
def test_what_the_registry_allows_is_taken_and_nothing_else(event: str, args: list[Any]) -> None:
    """Null is as good as left out, which types do not say; and a body is anything. Neither do they
    say that a message is named by its id or its offset, which emoji can be seen, nor what a
    word is."""
    try:
        READERS[event](args)
    except Refusal:
        assert event in ("edit", "delete", "react", "search") or not asked(Place.ROOM, event, args)
    else:
        assert asked(Place.ROOM, event, args)


def test_each_event_of_a_room_has_a_reader_here() -> None:
    assert {event for place, event in CLIENT_EVENTS if place is Place.ROOM} == READERS.keys()


# ---- and a real server --------------------------------------------------------------------------


class Witness:
    """A stock client that looks at everything it is told."""

    def __init__(self, server: ServerProcess, place: Place, namespace: str, user: str) -> None:
        self._server, self._place, self._namespace, self._user = server, place, namespace, user
        self.seen: list[str] = []
        self.odd: list[AssertionError] = []
        self.sio = socketio.AsyncClient(handle_sigint=False)
        self.sio.on("*", self._look, namespace=namespace)

    async def __aenter__(self) -> Witness:
        await self.sio.connect(
            self._server.url, auth={"user": self._user}, namespaces=[self._namespace]
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.sio.shutdown()

    def _look(self, event: str, *args: Any) -> None:
        self.seen.append(event)
        try:
            told(self._place, event, list(args))
        except AssertionError as error:
            self.odd.append(error)

    async def ask(self, event: str, *args: Any) -> Any:
        assert asked(self._place, event, list(args))
        answer = await self.sio.call(event, args, namespace=self._namespace)
        answered(self._place, event, answer)
        return answer

    async def until_seen(self, *events: str) -> None:
        async with asyncio.timeout(30):
            while not {*events} <= {*self.seen}:
                await asyncio.sleep(0.01)
        assert not self.odd


async def test_a_real_server_says_what_the_registry_says() -> None:
    async with (
        ServerProcess() as server,
        Witness(server, Place.ROOM, "/lobby", "ada") as ada,
        Witness(server, Place.ROOM, "/lobby", "bob") as bob,
        Witness(server, Place.SESSION, "/@me", "ada") as session,
    ):
        await bob.ask("typing", True)
        await bob.ask("message", {"any": [1, None]}, {"id": "b-1"})
        await ada.until_seen("welcome", "message", "typing", "presence")
        await ada.ask("message", "hi", {"reply_to": "b-1", "mentions": ["bob"]})
        await ada.ask("react", {"id": "b-1", "emoji": "👍"})
        await bob.ask("edit", {"id": "b-1", "offset": 1, "body": "new"})
        await ada.ask("history", {"operations": True})
        await bob.ask("delete", {"offset": 1})
        await ada.until_seen("edit", "delete", "reaction")
        await ada.ask("history", {"limit": 10})
        await ada.ask("history")
        await ada.ask("members", {"all": True})
        await ada.ask("read", 1)
        await bob.ask("status", {"state": "away"})
        await session.ask("status", {"state": "online"})
        refusal = await ada.ask("auth", {"token": "x.y.z"})
        assert refusal["error"]["code"] == "unauthorized"
        await bob.until_seen("read")
        await session.ask("rooms")
        await ada.ask("leave")
        await ada.until_seen("notice")
        await session.until_seen("welcome", "unread", "room_left")
        assert not bob.odd


def test_what_does_not_conform_is_found() -> None:
    good = {"user": "a", "name": "A", "on": True}
    told(Place.ROOM, "typing", [good])
    for bad in ({**good, "on": 1}, {**good, "more": 1}, {"user": "a", "name": "A"}, None):
        with pytest.raises(AssertionError):
            told(Place.ROOM, "typing", [bad])
    with pytest.raises(AssertionError):
        told(Place.ROOM, "typing", [good, "e.1"])
    with pytest.raises(AssertionError):
        told(Place.ROOM, "gap", [{"from": 1, "to": 2}])
    with pytest.raises(AssertionError):
        conforms({"ok": False}, shapes.Done)


def test_every_row_is_told_apart_by_place_and_name() -> None:
    assert all(isinstance(place, Place) for place, _ in [*CLIENT_EVENTS, *SERVER_EVENTS])
    assert all(row.least <= len(row.arguments) for row in CLIENT_EVENTS.values())
