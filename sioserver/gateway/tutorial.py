"""The tutorial's dialect: JSON objects with `event`, `name`, `roomid`, `uid`, `message`, `num` and
`total`, as a widely copied chat-room tutorial has them.

Pure: texts to values and back, or a `Refusal`. Which frame may come when is not known here.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final

import msgspec
import orjson

from sioserver.errors import Refusal
from sioserver.gateway.anteroom import SAID
from sioserver.model import Counts, Event, User
from sioserver.wire.strict import MAX_DEPTH, StrictJSON, depth

EVENTS: Final = ("auth", "login", "message", "heartbeat")
"""What a client may send."""

NOAUTH: Final = '{"event":"noauth","message":"please auth again, your token is expired!"}'
HEARTBEAT: Final = '{"event":"heartbeat","message":"ping"}'


class Said(msgspec.Struct, frozen=True):
    """A frame of a client. `event` is one of `EVENTS`."""

    event: str
    name: str | None = None
    room: str | None = None
    uid: str | None = None
    message: Any = None


def read(text: str) -> Said | None:
    """What a frame says; None: it is no JSON object. Raises `Refusal("bad_request" |
    "unknown_event")` for an object that says nothing."""
    fields = _object(text)
    if fields is None:
        return None
    event = fields.get("event")
    if event is None:
        event = "message" if "message" in fields else "login" if "name" in fields else None
        if event is None:
            raise Refusal("bad_request", "a frame has an event, or a name, or a message")
    if event not in EVENTS:
        known = ", ".join(EVENTS)
        raise Refusal("unknown_event", f"there is no event {str(event)[:64]!r}; there are {known}")
    if event == "message" and "message" not in fields:
        raise Refusal("bad_request", "message: there is no message in it")
    message = fields.get("message")
    if event == "auth" and not (isinstance(message, str) and message):
        raise Refusal("bad_request", "auth: the message is the token")
    return Said(
        event,
        name=_text(fields, "name"),
        room=_text(fields, "roomid"),
        uid=_text(fields, "uid"),
        message=message,
    )


def _object(text: str) -> dict[str, Any] | None:
    if not text.lstrip(" \t\r\n").startswith("{"):
        return None
    if text.count("[") + text.count("{") > MAX_DEPTH and depth(text) > MAX_DEPTH:
        raise Refusal("bad_request", "the frame is nested too deeply")
    try:
        found = StrictJSON.loads(text)
    except ValueError:
        if _is_json_elsewhere(text):
            raise Refusal("bad_request", "a number in the frame is out of range") from None
        return None
    return found if isinstance(found, dict) else None


def _is_json_elsewhere(text: str) -> bool:
    """Can others read what we do not? In JavaScript 1e999 is a number: passed on as a text that is
    no JSON, such a frame would be taken for one of ours, by whatever name it says."""
    try:
        json.loads(text, parse_float=str, parse_int=str, parse_constant=str)
    except ValueError:
        return False
    return True


def _text(fields: Mapping[str, Any], field: str) -> str | None:
    """A text, or a whole number as one: many pages number their rooms and users."""
    value = fields.get(field)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if value is not None and not isinstance(value, str):
        raise Refusal("bad_request", f"{field} is a text or a whole number")
    return value or None


# ---------------------------------------------------------------------------- what goes out


def login(user: User, room: str, counts: Counts) -> str:
    """Somebody has come."""
    return _login(user.id, user.name, room, counts)


def error(refusal: Refusal) -> str:
    """A frame was refused. The tutorial has no word for it; pages that do not know it show it, or
    nothing."""
    return _dump({"event": "error", "message": refusal.message, "code": refusal.code})


def tell(event: Event, room: str, counts: Counts, but: Collection[str] = ()) -> Iterator[str]:
    """The frames that tell of an event; none for what the dialect has no word for. `but`: users
    of whose coming nothing is said."""
    fields = event.payload
    match event.name:
        case "message":
            if not fields.get("deleted"):
                frame = {"event": "message", "name": fields["name"], "message": fields["body"]}
                yield _dump({**frame, "num": counts.online, "total": counts.total})
        case "presence":
            for person in fields["joined"]:
                if person["user"] not in but:
                    yield _login(person["user"], person["name"], room, counts)
            for person in fields["left"]:
                yield _dump({"event": "logout", "name": person["name"], "num": fields["online"]})
        case "gap":
            lost = f"the messages {fields['from']} to {fields['to']} could not be recovered"
            yield _dump({"event": "gap", "message": lost})
        case said if said == SAID:
            yield fields["text"]


def _login(user: str, name: str, room: str, counts: Counts) -> str:
    return _dump(
        {
            "event": "login",
            "name": name,
            "roomid": room,
            "uid": user,
            "num": counts.online,
            "total": counts.total,
        }
    )


def binary(value: object) -> dict[str, str]:
    """Binary, in JSON: {"base64": text}."""
    if isinstance(value, bytes):
        return {"base64": base64.b64encode(value).decode()}
    raise TypeError(f"{type(value).__name__} is not JSON")


def _dump(value: Any) -> str:
    return orjson.dumps(value, default=binary, option=orjson.OPT_NON_STR_KEYS).decode()
