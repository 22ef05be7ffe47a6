"""What comes with requests to the HTTP API and their answers, where it is not what comes over a
connection too (`protocol`). Only for the description: nothing here checks what is sent.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET, Meta, UnsetType

from sioserver.protocol.requests import MessageOptions
from sioserver.protocol.shapes import (
    Body,
    Count,
    Message,
    Name,
    Options,
    Permission,
    Room,
    Shape,
    UserId,
)

Moment = Annotated[float, Meta(title="Moment", description="Seconds since 1970-01-01T00:00:00Z.")]
Jti = Annotated[str, Meta(title="Jti", description="The token's id, or (to revoke it) the token.")]


class Somebody(Options, frozen=True):
    """A user, whether there is one of that id or not."""

    user: UserId
    name: Name | UnsetType = UNSET


class NewMessage(MessageOptions, frozen=True, kw_only=True, rename={"as_": "as"}):
    """A message to be posted."""

    body: Body
    as_: (
        Annotated[UserId | Somebody, Meta(description="For operators: in whose name it is posted.")]
        | UnsetType
    ) = UNSET


class EditedMessage(Options, frozen=True):
    """What a message says from now on."""

    body: Body


class OneMessage(Shape, frozen=True):
    """A message, as it is now."""

    ok: Literal[True]
    message: Message


class RoomView(Shape, frozen=True):
    """A room from outside."""

    ok: Literal[True]
    room: Room
    online: Count
    total: Annotated[Count, Meta(description="Members.")]
    permissions: list[Permission]


class Revoke(Options, frozen=True):
    """Which tokens are refused from now on: one of a user, a token, a time."""

    user: UserId | UnsetType = UNSET
    token: Jti | UnsetType = UNSET
    before: Annotated[Moment, Meta(description="When they were issued.")] | UnsetType = UNSET
    until: Annotated[Moment, Meta(description="When the rule is forgotten.")] | UnsetType = UNSET


class Rule(Shape, frozen=True):
    """A rule by which tokens are refused."""

    until: Moment
    before: Moment | UnsetType = UNSET
    user: UserId | UnsetType = UNSET
    token: Jti | UnsetType = UNSET


class Revoked(Shape, frozen=True):
    """The rule holds."""

    ok: Literal[True]
    revocation: Rule


class Revocations(Shape, frozen=True):
    """A page of the rules in force."""

    ok: Literal[True]
    items: list[Rule]
    next: Annotated[str, Meta(description="`after` of the next page.")] | UnsetType = UNSET
