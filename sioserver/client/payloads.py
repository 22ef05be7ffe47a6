"""What the server says (docs/protocol.md), as values of the model and of the two failures.

Pure: it must not know how the words came, nor what is done about them. A newer server may use
codes that this client has never heard of.
"""

from __future__ import annotations

from typing import Any

from sioserver.errors import DISCONNECTS, REFUSALS, Disconnect, Refusal
from sioserver.model import Message


def message(payload: dict[str, Any]) -> Message:
    return Message(**{name: payload[name] for name in Message.__struct_fields__})


def refusal(body: dict[str, Any]) -> Refusal:
    """The refusal of a request, in an answer."""
    code, retry_after = body["code"], body.get("retry_after")
    known = code if code in REFUSALS else "internal"
    found = Refusal(known, body.get("message"), retry_after=retry_after)
    found.code, found.temporary = code, bool(body.get("temporary"))
    return found


def rejection(answer: Any) -> Refusal | ConnectionError:
    """The refusal of a connection: by the server, or by something between it and us."""
    body = answer.get("data") if isinstance(answer, dict) else None
    if isinstance(body, dict) and "code" in body:
        return refusal(body)
    return ConnectionError(str(answer))


def farewell(notice: dict[str, Any]) -> Disconnect:
    """Why the server ended the connection for good, from its last notice (or an empty one)."""
    return ending(notice.get("code"), notice.get("message"))


def ending(code: Any, message: str | None) -> Disconnect:
    """The end of a connection that was up; a code that is no end of its own is a kick."""
    return Disconnect(code if code in DISCONNECTS else "kicked", message)
