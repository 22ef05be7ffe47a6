"""Moderation on the wire: what moderators ask for, and what they and the others are told.

Values in, values out, like the rest of the package; who may ask, and what it does, is decided
elsewhere.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from sioserver.errors import Refusal
from sioserver.model import MAX_OFFSET, Act, RoomSettings, Sanction, SanctionKind
from sioserver.wire.arguments import one_object, options, whole

MAX_USER: Final = 128
"""Characters of a user's id."""
MAX_REASON: Final = 200
"""Characters of a reason."""
MAX_TOPIC: Final = 512
"""Characters of a room's topic."""
MAX_SECONDS: Final = 315_360_000
"""Ten years: the longest sanction that ends by itself."""
MAX_SLOW_MODE: Final = 86_400
"""Seconds: a day."""
MAX_LISTED: Final = 1000
"""The longest page of sanctions, or of what was done."""

_LISTED: Final = 100
_HALF: Final = re.compile("[\ud800-\udfff]")
"""Half a surrogate pair: it cannot be written down."""


class Order(msgspec.Struct, frozen=True):
    """What is to be done with a user."""

    user: str
    seconds: float | None = None
    """For how long; None: for good."""
    reason: str = ""
    address: bool = False
    """Of a ban: also by the addresses that the user is connected from."""


class ListRequest(msgspec.Struct, frozen=True):
    """A page of the sanctions of a kind, behind a user."""

    kind: SanctionKind
    after: str | None
    limit: int


class LogRequest(msgspec.Struct, frozen=True):
    """A page of what was done, before a number."""

    before: int | None
    limit: int


# ---------------------------------------------------------------------------- requests


def parse_kick(args: Sequence[Any]) -> Order:
    """`kick` {user, reason?}."""
    return order(one_object(args, "kick"), "kick")


def parse_mute(args: Sequence[Any]) -> Order:
    """`mute` {user, seconds, reason?}."""
    return order(one_object(args, "mute"), "mute")


def parse_ban(args: Sequence[Any]) -> Order:
    """`ban` {user, seconds?, reason?, address?}; without seconds, or 0, for good."""
    return order(one_object(args, "ban"), "ban")


def order(value: Any, event: SanctionKind) -> Order:
    """What is to be done with a user, by the object that an event or an HTTP request has. Raises
    `Refusal("bad_request")`."""
    names = {"user", "reason"}
    if event != "kick":
        names.add("seconds")
    if event == "ban":
        names.add("address")
    given = options(value, event, names)
    seconds, reason, address = given.get("seconds"), given.get("reason"), given.get("address")
    if event == "mute" or seconds is not None:
        seconds = whole(seconds, "seconds", 1 if event == "mute" else 0, MAX_SECONDS)
    if not (reason is None or (isinstance(reason, str) and len(reason) <= MAX_REASON)):
        raise Refusal("bad_request", f"reason is a string of at most {MAX_REASON} characters")
    if not (address is None or isinstance(address, bool)):
        raise Refusal("bad_request", "address is true or false")
    return Order(user_of(given, event), seconds or None, reason or "", bool(address))


def parse_lift(args: Sequence[Any], event: str) -> str:
    """`unmute` {user}, `unban` {user}."""
    return user_of(options(one_object(args, event), event, {"user"}), event)


def user_of(given: Mapping[str, Any], event: str) -> str:
    """Whom it is about."""
    user = given.get("user")
    if not (isinstance(user, str) and 0 < len(user) <= MAX_USER and not _HALF.search(user)):
        raise Refusal("bad_request", f"{event} takes {{user}}, the id of somebody")
    return user


def parse_bans(args: Sequence[Any]) -> ListRequest:
    """`bans` [{kind?, after?, limit?}]; kind: "ban" (the default) or "mute"."""
    given = options(one_object(args, "bans"), "bans", {"kind", "after", "limit"})
    kind, after = given.get("kind", "ban"), given.get("after")
    if kind not in ("ban", "mute"):
        raise Refusal("bad_request", 'kind is "ban" or "mute"')
    if not (after is None or isinstance(after, str)):
        raise Refusal("bad_request", "after is what the page before called next")
    return ListRequest(kind, after, whole(given.get("limit", _LISTED), "limit", 1, MAX_LISTED))


def parse_log(args: Sequence[Any]) -> LogRequest:
    """`moderation_log` [{before?, limit?}]."""
    given = options(one_object(args, "moderation_log"), "moderation_log", {"before", "limit"})
    before = given.get("before")
    return LogRequest(
        None if before is None else whole(before, "before", 0, MAX_OFFSET),
        whole(given.get("limit", _LISTED), "limit", 1, MAX_LISTED),
    )


def parse_settings(args: Sequence[Any]) -> dict[str, Any]:
    """`settings` {topic?, slow_mode?, read_only?}; null: back to what the configuration says.
    Nothing: what is set?"""
    given = dict(
        options(one_object(args, "settings"), "settings", {*RoomSettings.__struct_fields__})
    )
    topic, slow, closed = (given.get(name) for name in ("topic", "slow_mode", "read_only"))
    if not (topic is None or (isinstance(topic, str) and len(topic) <= MAX_TOPIC)):
        raise Refusal("bad_request", f"topic is a string of at most {MAX_TOPIC} characters")
    is_number = isinstance(slow, int | float) and not isinstance(slow, bool)
    if not (slow is None or (is_number and 0 <= slow <= MAX_SLOW_MODE)):
        raise Refusal("bad_request", f"slow_mode is seconds from 0 to {MAX_SLOW_MODE}")
    if not (closed is None or isinstance(closed, bool)):
        raise Refusal("bad_request", "read_only is true or false")
    return given


# ---------------------------------------------------------------------------- answers


def settings_payload(settings: RoomSettings) -> dict[str, Any]:
    """A room's settings as everybody in it is told."""
    return {
        "topic": settings.topic or "",
        "slow_mode": settings.slow_mode or 0.0,
        "read_only": bool(settings.read_only),
    }


def sanction_payload(sanction: Sanction) -> dict[str, Any]:
    """A sanction as moderators are told. The addresses are told to nobody."""
    return {
        "user": sanction.user,
        "until": _milliseconds(sanction.until),
        "by": sanction.by,
        "reason": sanction.reason,
        "at": _milliseconds(sanction.at),
        "address": sanction.by_address,
    }


def bans_answer(sanctions: Sequence[Sanction], more: bool) -> dict[str, Any]:
    """The ack of `bans`; `next` is `after` of the next page, if there is one."""
    answer: dict[str, Any] = {"ok": True, "items": [sanction_payload(one) for one in sanctions]}
    if more:
        answer["next"] = sanctions[-1].user
    return answer


def act_details(act: Act) -> dict[str, Any]:
    """Something that was done, but for when, as moderators and webhooks are told."""
    payload: dict[str, Any] = {"what": act.what, "by": act.by}
    if act.what == "settings":
        return {**payload, "settings": act.settings}
    payload["user"] = act.user
    if act.what in ("mute", "ban"):
        payload["until"] = _milliseconds(act.until)
    return {**payload, "reason": act.reason} if act.reason else payload


def log_answer(acts: Sequence[Act], more: bool) -> dict[str, Any]:
    """The ack of `moderation_log`; `more`: there is more before the last of these."""
    items = [
        {"number": act.number, "at": _milliseconds(act.at), **act_details(act)} for act in acts
    ]
    return {"ok": True, "items": items, "more": more}


def _milliseconds(time: float) -> int | None:
    """Since 1970; None: never."""
    return None if math.isinf(time) else round(time * 1000)
