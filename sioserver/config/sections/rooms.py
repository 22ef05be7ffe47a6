"""What holds in rooms: the rules by name, presence, proof of delivery.

How much one client or user may cost is said by the limits, but for what a rule changes of them.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, field

from sioserver.config.sections.settings import (
    AtLeastOne,
    Count,
    Positive,
    RateOrZero,
    Seconds,
    Section,
    about,
)


class RoomRule(Section, frozen=True):
    """The rules of the rooms whose name matches a pattern. The first match wins."""

    match: Annotated[str, about("Shell pattern of room names; `*` also matches `/`.")] = "*"
    history_length: Annotated[Count, about("Messages kept; 0 keeps none.")] = 10_000
    history_age: Annotated[
        Seconds, about("Age after which messages are dropped; 0 keeps them for ever.")
    ] = 30 * 86400.0
    presence: Annotated[bool, about("Tell who comes and goes and who is online.")] = True
    public: Annotated[
        bool,
        about("List these rooms in the directory, for those who may join them."),
    ] = False
    anonymous: Annotated[bool, about("Let anonymous users in, where auth allows them.")] = True
    join: Annotated[list[str], about("Patterns of the user ids that may join.")] = field(
        default_factory=lambda: ["*"]
    )
    post: Annotated[list[str], about("Patterns of the user ids that may post.")] = field(
        default_factory=lambda: ["*"]
    )
    history: Annotated[
        list[str], about("Patterns of the user ids that may read what was before they came.")
    ] = field(default_factory=lambda: ["*"])
    moderate: Annotated[
        list[str],
        about(
            "Patterns of the user ids that may moderate with a token that has no `perms`; one that "
            "has says it itself."
        ),
    ] = []
    relay: Annotated[
        list[str], about("Names of events that are passed on to the others unchanged.")
    ] = []
    relay_latest: Annotated[
        list[str],
        about(
            "The same of events of which only a sender's newest counts, such as where a cursor is: "
            "whoever cannot be told each is told the newest."
        ),
    ] = []
    relay_rate: Annotated[
        RateOrZero,
        about(
            "Events of both lists a user may send per second here; 0: as many as "
            "limits.event_rate lets through. More of `relay` are refused; of `relay_latest` the "
            "newest waits for its turn."
        ),
    ] = 0.0
    topic: Annotated[
        Annotated[str, Meta(max_length=512)],
        about("What the room is about, until a moderator sets another topic."),
    ] = ""
    read_only: Annotated[
        bool, about("Only who may moderate may post, until a moderator changes it.")
    ] = False
    max_body: Annotated[Count, about("Largest message body here; 0 means limits.max_body.")] = 0
    message_rate: Annotated[
        RateOrZero, about("Messages a user may post per second here; 0 means limits.message_rate.")
    ] = 0.0
    slow_mode: Annotated[
        Seconds,
        about(
            "Slow mode: seconds between two messages of a user here, on whichever node; 0 is off. "
            "Who may moderate need not wait, and can change it."
        ),
    ] = 0.0


class Rooms(Section, frozen=True):
    """Settings of all rooms, and the rules by pattern.

    In the file both are written as `[[rooms]]`: entries with `match` are rules, an entry without
    holds the settings of all rooms.
    """

    root: Annotated[
        str, about("The room behind the root namespace, for a page with only io().")
    ] = "lobby"
    recovery_limit: Annotated[
        Count,
        about("Most messages sent to a client that comes back; older ones become a gap."),
    ] = 1000
    history_page: Annotated[
        Annotated[int, Meta(ge=1, le=10_000)], about("Most messages in one answer to `history`.")
    ] = 200
    members_page: Annotated[AtLeastOne, about("Most people in one answer to `members`.")] = 500
    public_rooms: Annotated[
        AtLeastOne,
        about(
            "Rooms in the directory (`public = true`); of more, those are left out where nobody "
            "was for the longest time."
        ),
    ] = 10_000
    search_scan: Annotated[
        AtLeastOne,
        about(
            "Messages that one `search` looks at: with Redis all that there are, newest first; "
            "with the embedded engine those that its index finds. Then the answer says how far it "
            "came."
        ),
    ] = 5000
    receipts_max_members: Annotated[
        Count, about("Read positions are told to the others in rooms of at most this many members.")
    ] = 50
    rules: Annotated[list[RoomRule], about("The `[[rooms]]` entries with a `match`.")] = []


class Presence(Section, frozen=True):
    """Who is here."""

    grace: Annotated[Seconds, about("A user who comes back within this time was never away.")] = 5.0
    batch: Annotated[Positive, about("Comings and goings are told together this often.")] = 0.25
    away_after: Annotated[
        Seconds,
        about("Who asks for nothing for so long, on any device, is away; 0: only who says so."),
    ] = 300.0
    typing_lasts: Annotated[
        Positive,
        about("Who types has stopped when this is over since they, or their client, said so last."),
    ] = 6.0
    lease: Annotated[
        Annotated[float, Meta(ge=1, le=3600)],
        about("The clients of a node that died are gone within this time (Redis engine)."),
    ] = 15.0


class Delivery(Section, frozen=True):
    """How the server learns what has arrived."""

    confirm: Annotated[
        Positive,
        about(
            "At most this often a client is pinged only to prove what it has received; less often "
            "with more than 1000 connections."
        ),
    ] = 1.0
