"""Who else takes part in what happens in rooms: an application's functions, and webhooks.

What they are told, and when, is not known here.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, field

from sioserver.config.sections.settings import AtLeastOne, Positive, Section, about


class Hooks(Section, frozen=True):
    """Functions of an application that this server is a part of (docs/hooks.md)."""

    timeout: Annotated[
        Positive,
        about(
            "What waits for an async hook that takes longer is refused. One that is not async "
            "holds up everybody on its node for as long as it takes."
        ),
    ] = 5.0


WebhookEvent = Literal[
    "join", "leave", "message", "edit", "delete", "reaction", "moderation"
]  # fmt: skip


class Webhook(Section, frozen=True):
    """An address that is told what happens in rooms (docs/webhooks.md)."""

    url: Annotated[
        str, about("Where the events are sent: https://, or http:// to this machine.")
    ] = ""
    name: Annotated[
        str,
        about(
            "By this the server knows how far it has got: keep it when the address changes. "
            "Letters, digits and _ -; each its own."
        ),
    ] = "default"
    secret: Annotated[
        str, about("What is sent is signed with it (HMAC-SHA256); from 32 bytes on.", secret=True)
    ] = ""
    events: Annotated[list[WebhookEvent], about("Which events.")] = field(
        default_factory=lambda: ["join", "leave", "message"]
    )
    rooms: Annotated[list[str], about("Patterns of the rooms whose events are sent.")] = field(
        default_factory=lambda: ["*"]
    )
    timeout: Annotated[Positive, about("An answer has to be there by then.")] = 10.0
    concurrency: Annotated[
        Annotated[int, Meta(ge=1, le=256)], about("Requests of a node at a time, each of a room.")
    ] = 4
    batch: Annotated[
        Annotated[int, Meta(ge=1, le=1000)], about("Most events of a room in one request.")
    ] = 100
    give_up: Annotated[
        Positive, about("An event that is not taken by then is dropped, and counted.")
    ] = 86400.0


class Webhooks(Section, frozen=True):
    """Who is told over HTTP what happens in rooms.

    In the file both are written as `[[webhooks]]`: entries with `url` are addresses, an entry
    without holds the settings of all.
    """

    queue: Annotated[
        AtLeastOne,
        about(
            "Joins, leaves and acts of moderators of a room that wait for an address; then the "
            "oldest are dropped. Messages wait in the room's log."
        ),
    ] = 10_000
    endpoints: Annotated[list[Webhook], about("The `[[webhooks]]` entries with a `url`.")] = []
