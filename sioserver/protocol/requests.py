"""What clients send with their events: one struct for each object.

Only types: what a client has sent is read, and refused, by `wire.requests`.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET, Meta, UnsetType

from sioserver.protocol.shapes import (
    Body,
    Emoji,
    MessageId,
    MessageOffset,
    Offset,
    Options,
    ReplyTo,
    State,
    UserId,
)


class MessageOptions(Options, frozen=True):
    """With a message."""

    id: (
        Annotated[MessageId, Meta(description="Makes it harmless to send the message again.")]
        | UnsetType
    ) = UNSET
    reply_to: ReplyTo | UnsetType = UNSET
    mentions: (
        Annotated[
            list[UserId],
            Meta(max_length=50, description="Whose sessions are told, if they are members."),
        ]
        | UnsetType
    ) = UNSET


class EditOptions(Options, frozen=True):
    """Which message, by its id, its offset or both, and what it says from now on."""

    body: Body
    id: MessageId | UnsetType = UNSET
    offset: MessageOffset | UnsetType = UNSET


class DeleteOptions(Options, frozen=True):
    """Which message, by its id, its offset or both."""

    id: MessageId | UnsetType = UNSET
    offset: MessageOffset | UnsetType = UNSET


class ReactOptions(Options, frozen=True):
    """To which message, by its id, its offset or both, and how."""

    emoji: Emoji
    on: Annotated[bool, Meta(description="false: no longer.")] | UnsetType = UNSET
    id: MessageId | UnsetType = UNSET
    offset: MessageOffset | UnsetType = UNSET


class HistoryOptions(Options, frozen=True):
    """Which messages: `after < offset < before`, or the newest."""

    before: Offset | UnsetType = UNSET
    after: Offset | UnsetType = UNSET
    limit: Annotated[int, Meta(ge=1, le=10_000)] | UnsetType = UNSET
    operations: Annotated[bool, Meta(description="Also what was done to messages.")] | UnsetType = (
        UNSET
    )


class StatusOptions(Options, frozen=True):
    """Whether this device is used."""

    state: State


class MembersOptions(Options, frozen=True):
    """Who is asked for."""

    all: Annotated[bool, Meta(description="Also members who are away.")] | UnsetType = UNSET


class MentionsOptions(Options, frozen=True):
    """Which mentions."""

    after: (
        Annotated[Offset, Meta(description="The number of the last that is known.")] | UnsetType
    ) = UNSET


class SearchOptions(Options, frozen=True):
    """What to look for: the newest messages with `offset < before`."""

    query: Annotated[
        str,
        Meta(max_length=200, description='Words and "phrases", at most 8; all have to occur.'),
    ]
    before: Offset | UnsetType = UNSET
    limit: Annotated[int, Meta(ge=1, le=10_000)] | UnsetType = UNSET


class DirectoryOptions(Options, frozen=True):
    """Which public rooms."""

    query: (
        Annotated[
            str,
            Meta(max_length=200, description='Words and "phrases" of the name or the topic.'),
        ]
        | UnsetType
    ) = UNSET
    after: Annotated[str, Meta(description="`next` of the page before.")] | UnsetType = UNSET
    limit: Annotated[int, Meta(ge=1, le=100)] | UnsetType = UNSET


class TokenOptions(Options, frozen=True):
    """A fresh token."""

    token: str


Whom = Annotated[str, Meta(title="Whom", min_length=1, max_length=128, description="A user's id.")]
Reason = Annotated[str, Meta(title="Reason", max_length=200)]
Page = Annotated[int, Meta(title="Page", ge=1, le=1000, description="At most so many.")]


class KickOptions(Options, frozen=True):
    """Whom to put out."""

    user: Whom
    reason: Reason | UnsetType = UNSET


class MuteOptions(Options, frozen=True):
    """Whom to keep quiet, and how long."""

    user: Whom
    seconds: Annotated[int, Meta(ge=1, le=315_360_000)]
    reason: Reason | UnsetType = UNSET


class BanOptions(Options, frozen=True):
    """Whom to keep out."""

    user: Whom
    seconds: (
        Annotated[int, Meta(ge=0, le=315_360_000, description="0, or left out: for good.")]
        | UnsetType
    ) = UNSET
    reason: Reason | UnsetType = UNSET
    address: (
        Annotated[bool, Meta(description="And whoever comes from where they are connected from.")]
        | UnsetType
    ) = UNSET


class UserOptions(Options, frozen=True):
    """Whose ban or mute ends."""

    user: Whom


class BansOptions(Options, frozen=True):
    """Which sanctions."""

    kind: Literal["ban", "mute"] | UnsetType = UNSET
    after: Annotated[str, Meta(description="`next` of the page before.")] | UnsetType = UNSET
    limit: Page | UnsetType = UNSET


class LogOptions(Options, frozen=True):
    """Which lines of the record: with a smaller number, or the newest."""

    before: Offset | UnsetType = UNSET
    limit: Page | UnsetType = UNSET


class SettingsOptions(Options, frozen=True):
    """What a room is set to; null: what the configuration says."""

    topic: Annotated[str, Meta(max_length=512)] | UnsetType | None = UNSET
    slow_mode: Annotated[float, Meta(ge=0, le=86400)] | UnsetType | None = UNSET
    read_only: bool | UnsetType | None = UNSET
