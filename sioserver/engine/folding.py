"""What an operation makes of its message: values in, values out.

Both engines keep messages as they are now, in memory as in the store; this is what "as they are
now" means. It does not know whether the operation is allowed.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec.structs import replace

from sioserver.model import NO_REACTIONS, Message


def folded(message: Message, entry: Message) -> Message:
    """The message after the operation. To do it again, or to do what was done since to a message
    that has it all already, changes nothing in the end."""
    if message.deleted:
        return message
    if entry.kind == "edit":
        return replace(message, body=entry.body, edited=entry.at)
    if entry.kind == "delete":
        return deleted(message, entry.at)
    reactions = reacted(message.reactions, entry.emoji, entry.user, on=entry.on)
    return replace(message, reactions=reactions)


def deleted(message: Message, at: int) -> Message:
    """What is left of a message that was deleted: that it was there, and what it answered."""
    return replace(
        message, body=None, mentions=(), edited=0, reactions=NO_REACTIONS, deleted=at
    )  # fmt: skip


def reacted(
    reactions: Mapping[str, tuple[str, ...]], emoji: str, user_id: str, *, on: bool
) -> Mapping[str, tuple[str, ...]]:
    """The reactions with this one, or without it. New ones come last; the same object where nothing
    changes."""
    users = reactions.get(emoji, ())
    if (user_id in users) is on:
        return reactions
    others = dict(reactions)
    if on:
        others[emoji] = (*users, user_id)
    elif len(users) > 1:
        others[emoji] = tuple(user for user in users if user != user_id)
    else:
        del others[emoji]
    return others
