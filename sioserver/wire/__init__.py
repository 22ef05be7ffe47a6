"""The application protocol: which events there are, what they mean, what answers look like.

Pure functions from builtins (strings, numbers, lists, dicts, bytes) to values and back. The
package knows neither Socket.IO nor HTTP: the edges hand it decoded arguments and send what it
builds. docs/protocol.md describes the same for people.
"""

from sioserver.wire.answers import (
    cut_page,
    history_answer,
    members_answer,
    message_payload,
    person,
    published_answer,
    refusal_answer,
    refusal_body,
    rooms_list,
)
from sioserver.wire.bodies import body_size
from sioserver.wire.events import (
    farewell,
    gap_event,
    message_event,
    notice_event,
    presence_event,
    read_event,
    relayed_event,
    typing_event,
    welcome_event,
)
from sioserver.wire.names import (
    CLIENT_EVENTS,
    MAX_ROOM_NAME,
    NEVER_RELAYED,
    SERVER_EVENTS,
    SESSION_ROOM,
    check_room,
)
from sioserver.wire.requests import (
    MAX_ID,
    MAX_PAGE,
    Hello,
    HistoryRequest,
    SendRequest,
    parse_auth,
    parse_hello,
    parse_history,
    parse_members,
    parse_nothing,
    parse_read,
    parse_relayed,
    parse_send,
    parse_typing,
)

__all__ = [
    "CLIENT_EVENTS",
    "MAX_ID",
    "MAX_PAGE",
    "MAX_ROOM_NAME",
    "NEVER_RELAYED",
    "SERVER_EVENTS",
    "SESSION_ROOM",
    "Hello",
    "HistoryRequest",
    "SendRequest",
    "body_size",
    "check_room",
    "cut_page",
    "farewell",
    "gap_event",
    "history_answer",
    "members_answer",
    "message_event",
    "message_payload",
    "notice_event",
    "parse_auth",
    "parse_hello",
    "parse_history",
    "parse_members",
    "parse_nothing",
    "parse_read",
    "parse_relayed",
    "parse_send",
    "parse_typing",
    "person",
    "presence_event",
    "published_answer",
    "read_event",
    "refusal_answer",
    "refusal_body",
    "relayed_event",
    "rooms_list",
    "typing_event",
    "welcome_event",
]
