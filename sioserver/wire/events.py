"""What the server tells by itself: values in, `Event`s out.

It decides neither who is told nor when, and not how an event is written into a packet.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from sioserver.errors import Disconnect
from sioserver.model import (
    Counts,
    Event,
    Mention,
    Message,
    Position,
    PresenceDiff,
    RoomSettings,
    State,
    User,
)
from sioserver.wire.answers import mention_payload, message_payload, person
from sioserver.wire.moderation import settings_payload
from sioserver.wire.operations import operation_payload

PRESENCE_LISTED: Final = 100
"""People who are named in one presence event, of those who came and of those who left: thousands
who come at once would each be told to thousands."""

PRESENCE: Final = "presence"
"""The state that the presence events of a room tell."""


ROOM: Final = "room"
"""The event with a room's settings, and the state that it tells."""


def state_of(event: Event) -> str | None:
    """What the event tells the newest of: who is online, the room's settings, whether somebody
    types, how far somebody has read, where somebody's cursor is. Only the last event of a state
    counts. None: it tells something that happened."""
    if event.latest:
        return f"{event.name}\0{event.payload['user']}"  # a name may have spaces
    if event.name == "presence":
        return PRESENCE
    if event.name == ROOM:
        return ROOM
    if event.name in ("typing", "read"):
        return f"{event.name} {event.payload['user']}"
    return None


def message_event(message: Message, epoch: str, reader: str | None = None) -> Event:
    """An entry of the log, a message or an operation on one, for everybody in the room; or for one
    user, whose id is `reader`."""
    position = Position(epoch, message.offset)
    if message.kind != "message":
        return Event(message.kind, operation_payload(message), position)
    return Event("message", message_payload(message, reader), position)


def gap_event(first: int, last: int, after: Position) -> Event:
    """The messages `first` to `last` were not recovered; delivery goes on behind `after`.

    Where they are still in the log (too many were missed), pages of `history` have them. From 0 to
    n: the log began anew, and what was in the old one is unknown.
    """
    return Event("gap", {"from": first, "to": last}, after)


def presence_event(diff: PresenceDiff) -> Event:
    """Who came and who left, and who is away now or back: everybody is counted, the first
    `PRESENCE_LISTED` of each are named. `away` and `back` are there when somebody is in them."""
    payload: dict[str, Any] = {
        "online": diff.counts.online,
        "total": diff.counts.total,
        "joined": [person(user) for user in diff.joined[:PRESENCE_LISTED]],
        "left": [person(user) for user in diff.left[:PRESENCE_LISTED]],
    }
    for name, users in (("away", diff.away), ("back", diff.back)):
        if users:
            payload[name] = [person(user) for user in users[:PRESENCE_LISTED]]
    return Event("presence", payload)


def typing_event(user: User, on: bool) -> Event:
    """Somebody began or stopped typing."""
    return Event("typing", {**person(user), "on": on})


def read_event(user: User, offset: int) -> Event:
    """Somebody has read up to `offset`."""
    return Event("read", {**person(user), "offset": offset})


def room_event(settings: RoomSettings) -> Event:
    """The room has other settings now: these."""
    return Event(ROOM, settings_payload(settings))


def relayed_event(name: str, args: Sequence[Any], sender: User, *, latest: bool = False) -> Event:
    """An event of a client for the others, the sender appended (as an object: a string in the last
    place would be taken for a position). `latest`: only the sender's newest counts."""
    return Event(name, person(sender), before=tuple(args), latest=latest)


def notice_event(code: str, message: str, **more: Any) -> Event:
    """Something that the client should know about its own connection."""
    return Event("notice", {"code": code, "message": message, **more})


def session_event(user: User, rooms: Iterable[Mapping[str, Any]]) -> Event:
    """The welcome in the session room: who it is, and the user's rooms (see `standing`)."""
    return Event("welcome", {**person(user), "rooms": list(rooms)})


def standing(
    room: str,
    unread: int,
    last: int,
    *,
    live: bool = True,
    peer: User | None = None,
    mentions: int = 0,
) -> dict[str, Any]:
    """A room of a user, as their sessions are told it. `live`: they are told what changes; `peer`:
    the other user, in a room of two; `mentions`: of the user, in what is unread."""
    payload: dict[str, Any] = {"room": room, "unread": unread, "last": last}
    if mentions:
        payload["mentions"] = mentions
    if peer is not None:
        payload["peer"] = person(peer)
    if not live:
        payload["live"] = False
    return payload


def unread_event(payload: dict[str, Any]) -> Event:
    """A `standing` has changed."""
    return Event("unread", payload)


def room_joined_event(payload: dict[str, Any]) -> Event:
    """The user has become a member of a room, whose `standing` this is."""
    return Event("room_joined", payload)


def room_left_event(room: str) -> Event:
    """The user is no member of the room any more."""
    return Event("room_left", {"room": room})


def mention_event(mention: Mention) -> Event:
    """A message names the user."""
    return Event("mention", mention_payload(mention))


def farewell(ending: Disconnect) -> Event:
    """The notice that comes before the server ends a connection."""
    return notice_event(
        ending.code, ending.reason, number=ending.number, reconnect=ending.reconnect
    )


def welcome_event(
    room: str,
    user: User,
    counts: Counts,
    unread: int,
    read: int,
    top: Position,
    begins: Position,
    *,
    recovered: bool,
    permissions: Sequence[str],
    settings: RoomSettings,
    peer: User | None = None,
    state: State = "online",
) -> Event:
    """The first event after every connect.

    `top` is the log's newest position. The event itself leaves the client at `begins`, the place
    from which delivery goes on: what was missed follows as ordinary messages, and a client that is
    cut off in the middle of them must not believe that it had them all. `peer`: the other one, in a
    room of two.
    """
    payload: dict[str, Any] = {
        "room": room,
        **person(user),
        "online": counts.online,
        "total": counts.total,
        "position": str(top),
        "recovered": recovered,
        "unread": unread,
        "read": read,
        "permissions": list(permissions),
        "state": state,
        **settings_payload(settings),
    }
    if peer is not None:
        payload["peer"] = person(peer)
    return Event("welcome", payload, begins)
