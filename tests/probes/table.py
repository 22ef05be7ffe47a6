"""What a hostile client may send, and what has to come of it: one table, by area.

An outcome is what `Verdict` says in words: "closed" (the connection), "refused <code>" (and the
connection lives), "joined", "ok", "ignored". Packets are Engine.IO's, and only doors of Socket.IO
understand them; requests are those of docs/protocol.md, and every door does.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

ROOM = "den"
"""Where the attackers are."""

PLACE = '{"_placeholder":true,"num":%s}'


class Packets(NamedTuple):
    """Packets of a client that is in `ROOM`, or (`outside`) in no room at all."""

    name: str
    packets: list[str | bytes]
    outcome: str = "closed"
    outside: bool = False


class Join(NamedTuple):
    """A room that somebody wants to join."""

    name: str
    room: str
    outcome: str
    auth: Any = None
    plain: str = ""
    """The outcome over a plain WebSocket, where that is another."""


class Request(NamedTuple):
    """An event of a client that is in `ROOM`."""

    name: str
    event: Any
    args: list[Any]
    outcome: str


Probe = Packets | Join | Request


def nested(levels: int, inner: Any = 1) -> Any:
    """A list in a list in a list ..."""
    for _ in range(levels):
        inner = [inner]
    return inner


def _deep(levels: int) -> str:
    return "[" * levels + "]" * levels


BAD = "refused bad_request"
NOT_FOUND = "refused not_found"

PARSE: list[Probe] = [
    *(
        Packets(f"text {text[:20]!r}", [text])
        for text in (
            "",
            "4",
            "4x",
            "47",
            "49/den,[]",
            "42",
            "42/den",
            "42/den,",
            "42/den,1",
            "42/den,[",
            "42/den,[]",
            "42/den,{}",
            '42/den,"message"',
            "42/den,[null]",
            "42/den,[{}]",
            "42/den,[[]]",
            "42/den,[true]",
            '42/den,["message"',
            '42/den,["message"]]',
            '42/den,["message"] ',
            "42/den,['message']",
            '42/den,["message",]',
            '42/den,["message",undefined]',
            '42/den,-1["message"]',
            '42/den,1.5["message"]',
            '42["message"]',
            '42/other,["message"]',
            "40/den,",
            "40/den,[]",
            '40/other,"a"',
            '41/den,["x"]',
            "44/den,{}",
            '44/den,"error"',
            "43/den,1{}",
            '43/other,1["x"]',
            "5",
            "2",
            "2probe",
            "3probe",
            "0",
            '0{"sid":"x"}',
            "7",
            "x",
            "\0",
            "b4",
        )
        if text not in ("42/den,1", '42/den,["message"] ')
    ),
    Packets("white space is JSON", ['42/den,["nothing"] '], "refused unknown_event"),
    Packets("a packet before any CONNECT", ['42["message","x"]'], outside=True),
    Packets("an ack before any CONNECT", ["431[]"], outside=True),
    Packets("a CONNECT with half an object", ['40/den,{"token"'], outside=True),
    Packets("a CONNECT with a list", ["40/den,[1]"], outside=True),
    Request("a number as an event", 7, [], "refused unknown_event"),
    Request("an event that there is not", "no such thing", [], "refused unknown_event"),
    Request("a message without a body", "message", [], "refused bad_request"),
    Request("a message with too much", "message", ["a", {}, "b"], "refused bad_request"),
    Request("an option that there is not", "message", ["a", {"to": "x"}], "refused bad_request"),
    Request("options that are none", "message", ["a", 1], "refused bad_request"),
    Request("an offset that is none", "read", ["1"], "refused bad_request"),
    Request("a negative offset", "read", [-1], "refused bad_request"),
    Request("half an offset", "read", [0.5], "refused bad_request"),
    Request("a page of nothing", "history", [{"limit": 0}], "refused bad_request"),
    Request("an endless page", "history", [{"limit": 10**9}], "refused bad_request"),
    Request("a page before a text", "history", [{"before": "9"}], "refused bad_request"),
    Request("a search for nothing", "search", [{"query": " "}], "refused bad_request"),
    Request("a search without a query", "search", [], "refused bad_request"),
    Request("a search for a number", "search", [{"query": 7}], "refused bad_request"),
    Request("a long search", "search", [{"query": "x" * 201}], "refused bad_request"),
    Request(
        "a search for many words", "search", [{"query": "a b c d e f g h i"}], "refused bad_request"
    ),
    Request("a search that grows", "search", [{"query": chr(0xFDFA) * 200}], "refused bad_request"),
    Request(
        "a search before a text", "search", [{"query": "x", "before": ""}], "refused bad_request"
    ),
    *(
        Request(f"a search with {query!r}", "search", [{"query": query}], "ok")
        for query in ("a\0b OR", "* OR 1=1; --", 'x" OR "y', "text:hello NEAR(a b)", "-^{}()")
    ),
    Request("typing into the void", "typing", [None], "refused bad_request"),
    Request("a kick of nobody", "kick", [{}], "refused bad_request"),
    Request("a kick of many", "kick", [{"user": ["a", "b"]}], "refused bad_request"),
    Request("a mute for ever", "mute", [{"user": "a", "seconds": 10**12}], "refused bad_request"),
    Request("a ban until then", "ban", [{"user": "a", "until": 5}], "refused bad_request"),
    Request("a ban of half a letter", "ban", [{"user": "\ud800"}], "refused bad_request"),
    Request("a ban without the permission", "ban", [{"user": "a"}], "refused forbidden"),
    Request("a long reason", "kick", [{"user": "a", "reason": "x" * 201}], "refused bad_request"),
    Request("an unban without the permission", "unban", [{"user": "a"}], "refused forbidden"),
    Request("somebody's bans", "bans", [], "refused forbidden"),
    Request("an endless list of bans", "bans", [{"limit": 10**9}], "refused bad_request"),
    Request("a setting of the server", "settings", [{"max_body": 1}], "refused bad_request"),
    Request("a topic without the permission", "settings", [{"topic": "x"}], "refused forbidden"),
    Request("an endless topic", "settings", [{"topic": "x" * 513}], "refused bad_request"),
    Request("somebody's record", "moderation_log", [{}], "refused forbidden"),
    *(
        Request(f"{event} {args!r:.40}", event, args, "refused bad_request")
        for event in ("edit", "delete", "react")
        for args in (
            [],
            [None],
            [1],
            ["m1"],
            [[]],
            [{}],
            [{"id": "m1"}, {}],
            [{"id": "m1", "body": "x", "emoji": "x", "to": 1}],
            [{"id": "", "body": "x", "emoji": "x"}],
            [{"id": ["m1"], "body": "x", "emoji": "x"}],
            [{"offset": "1", "body": "x", "emoji": "x"}],
            [{"offset": -1, "body": "x", "emoji": "x"}],
            [{"offset": 2**53, "body": "x", "emoji": "x"}],
            [{"offset": 0.5, "body": "x", "emoji": "x"}],
            [{"offset": {"$gt": 0}, "body": "x", "emoji": "x"}],
        )
    ),
    *(
        Request(f"{event} what is not there", event, [{"offset": 2**53 - 1, **more}], NOT_FOUND)
        for event, more in (("edit", {"body": "x"}), ("delete", {}), ("react", {"emoji": "x"}))
    ),
    Request("delete by an id that nobody had", "delete", [{"id": "no-such"}], NOT_FOUND),
    *(
        Request(f"react with {emoji!r:.20}", "react", [{"offset": 1, "emoji": emoji}], BAD)
        for emoji in (None, 1, "", "a b", "x" * 33, "\u200b", "\ud800", "__proto__", "_placeholder")
    ),
    Request("replies to a list", "message", ["a", {"reply_to": [1]}], BAD),
    Request("replies to nothing", "message", ["a", {"reply_to": ""}], BAD),
    Request("leave and something", "leave", ["now"], "refused bad_request"),
]

RESERVED: list[Probe] = [
    Packets(f"the event {name}", [f'42/den,["{name}",{{"token":"evil"}}]'])
    for name in (
        "connect",
        "connect_error",
        "disconnect",
        "disconnecting",
        "newListener",
        "removeListener",
        "__disconnect_final",
        "__proto__",
    )
] + [
    Request(f"the event {name}", name, [{}], "refused unknown_event")
    for name in ("welcome", "gap", "presence", "room", "notice", "constructor", "toString", "*", "")
]

DEEP: list[Probe] = [
    Request("sixty levels", "message", [nested(60)], "ok"),
    *(
        Packets(f"{levels} levels {where}", [head + _deep(levels) + tail])
        for levels in (65, 900, 50_000, 100_000)
        for where, head, tail in (
            ("in an event", '42/den,["message",', "]"),
            ("right after the type", "42/den,", ""),
            ("in an ack", "43/den,1[", "]"),
        )
    ),
    *(
        Packets(f"{levels} levels in CONNECT", [f'40/den,{{"user":{_deep(levels)}}}'], outside=True)
        for levels in (65, 50_000)
    ),
    Packets("objects", ['42/den,["message",' + '{"a":' * 900 + "1" + "}" * 900 + "]"]),
    Packets("half of them", ['42/den,["message",' + "[" * 100_000]),
    Packets("beside a surrogate", ['42/den,["\\ud800",' + _deep(900) + "]"]),
]

NUMBERS: list[Probe] = [
    *(
        Packets(f"{number[:12]} ({len(number)})", [f'42/den,["message",{number}]'])
        for number in (
            "NaN",
            "Infinity",
            "-Infinity",
            "1e999",
            "-1e400",
            "0x10",
            "01",
            "+1",
            ".5",
            "1.",
            "9" * 400,
            "9" * 5000,
        )
    ),
    Packets("NaN beside a surrogate", ['42/den,["message",NaN,"\\ud800"]']),
    Request("2^53", "message", [2**53], "ok"),
    Request("2^53 + 1", "message", [2**53 + 1], "refused bad_request"),
    Request("-2^53 - 1, deep", "message", [{"a": [-(2**53) - 1]}], "refused bad_request"),
    Request("2^63", "message", [2**63], "refused bad_request"),
    Request("2^64, a double by then", "message", [2**64], "ok"),
    Request("a hundred digits, too", "message", [10**100], "ok"),
    Request("the largest double", "message", [1.7976931348623157e308], "ok"),
    Request("the smallest", "message", [5e-324], "ok"),
    Request("an offset beyond 2^53", "read", [2**53], "refused bad_request"),
    Request("an offset that is huge", "history", [{"after": 1e300}], "refused bad_request"),
]

TEXT: list[Probe] = [
    Request("a surrogate in a body", "message", ["\ud800"], "refused bad_request"),
    Request("in a member", "message", [{"a": "\udfff"}], "refused bad_request"),
    Request("in a name of a member", "message", [{"\ud800": 1}], "refused bad_request"),
    Request("in the event", "\ud800", [], "refused unknown_event"),
    Request("in an id", "message", ["a", {"id": "\ud800"}], "refused bad_request"),
    Request("in an option", "history", [{"\ud800": 1}], "refused bad_request"),
    Request("in a token", "auth", [{"token": "\ud800"}], "refused unauthorized"),
    Request("in a status", "status", [{"state": "\ud800"}], "refused bad_request"),
    Request("a status that is a list", "status", [{"state": ["away"]}], "refused bad_request"),
    Request("a status that is offline", "status", [{"state": "offline"}], "refused bad_request"),
    Request("a status with more", "status", [{"state": "away", "a": 1}], "refused bad_request"),
    Request("a status", "status", [{"state": "away"}], "ok"),
    Request("in a relayed event", "cursor", [{"x": "\ud800"}], "refused bad_request"),
    Request("NUL in an id", "message", ["a", {"id": "a\0b"}], "refused bad_request"),
    Request("a very long id", "message", ["a", {"id": "a" * 129}], "refused bad_request"),
    Request("a long name of a member", "message", [{"a" * 1025: 1}], "refused bad_request"),
    Request("a placeholder", "message", [{"_placeholder": 1}], "refused bad_request"),
    Request("a large body", "message", ["a" * 70_000], "refused too_large"),
    Request("a large edit", "edit", [{"id": "m", "body": "a" * 70_000}], "refused too_large"),
    Request("an edit with a placeholder", "edit", [{"id": "m", "body": {"_placeholder": 1}}], BAD),
    Request("a surrogate in an edit", "edit", [{"id": "m", "body": "\ud800"}], BAD),
    Request("a long event", "e" * 10_000, [], "refused unknown_event"),
    Packets("a surrogate in an ack", ['43/den,1["\\ud800"]'], "ignored"),
    *(
        Join(f"user {user[:8]!r}", "other", "refused bad_request", {"user": user})
        for user in (
            "\ud800",
            "a\0b",
            "a\u202eb",
            "a\u200bb",
            "a\nb",
            " a",
            "e\u0301",
            "a" * 129,
            "a" + "\u0301" * 9,
            "guest:1",
            "__proto__",
        )
    ),
    Join("a name with everything", "other", "joined", {"user": "x", "name": "\ud800\0\u202e" * 99}),
    Join("a user that is a list", "other", "refused bad_request", {"user": ["a"]}),
    Join("a token that is a number", "other", "refused bad_request", {"token": 1}),
    Join("a position that is none", "other", "refused bad_request", {"position": "\ud800.1"}),
    # Socket.IO's own, for its recovery; there is no such field over a plain WebSocket
    Join(
        "a stale pid",
        "other",
        "joined",
        {"pid": "\ud800" * 9, "offset": "\0"},
        plain="refused bad_request",
    ),
]

NAMES: list[Probe] = [
    *(
        Join(f"{room[:12]!r}", room, "refused bad_room")
        for room in (
            "*",
            "{x}",
            "a\nb",
            "a b",
            "a\0b",
            "a\u202eb",
            "a\u200bb",
            "%0a",
            "a\\b",
            "<b>",
            "e\u0301",
            "\ue000",
            "a" + "\u0323" * 5,
            "a" * 129,
            "部" * 86,
            "__proto__",
            "@",
        )
    ),
    *(
        Join(f"{room}", room, "joined")
        for room in ("a:b", "../x", "constructor", "history:x", "prototype", "а", "部屋")
    ),
    Join("somebody's session", "@me/x", "refused forbidden"),
    Join("somebody's session, by its name inside", "@me:victim-polling", "refused forbidden"),
    Join("two people's room, by its name inside", "@dm:3:ann:victim-polling", "refused forbidden"),
    *(
        Join(f"a room with {user!r}", f"@dm/{user}", "refused bad_room", {"user": "mallory"})
        for user in ("", "%", "%zz", "%ff", "%00", "%E2%80%AE", "a%20", "guest%3A1", "__proto__")
    ),
    Join("a room with 129 characters", "@dm/" + "a" * 129, "refused bad_room", {"user": "mallory"}),
    Join("a room with somebody who is nobody", "@dm/a%2F..%2Fb", "joined", {"user": "mallory"}),
    Join("two people's room", "@dm/victim-polling", "refused forbidden"),
    Join("the nodes' own", "@nodes", "refused forbidden"),
    Join("100 kB", "a" * 100_000, "closed", plain="refused bad_room"),
    Packets("the same name twice", ["40/x,", "40/x,"], outside=True),
]

BINARY: list[Probe] = [
    *(
        Packets(f"{count} attachments", [f'45{count}-/den,["message"]'])
        for count in ("0", "11", "10000000000", "-1", "1.5", "x", "")
    ),
    Packets("attachments of an event without", ['421-/den,["message"]']),
    *(
        Packets(f"place {place}", [f'451-/den,["message",{PLACE % place}]', b"x"])
        for place in ("-1", "1", "7", '"0"', "null", "0.5", "true", "[]")
    ),
    Packets("a place that is used twice", [f'451-/den,["message",{PLACE % 0},{PLACE % 0}]', b"x"]),
    Packets("a text in its place", [f'451-/den,["message",{PLACE % 0}]', '42/den,["message","x"]']),
    Packets("an attachment of nothing", [b"x"]),
    Packets("one too many", [f'451-/den,["message",{PLACE % 0}]', b"x", b"y"]),
    Packets("of a room that was not joined", [f'451-/other,["message",{PLACE % 0}]', b"x"]),
    Packets("together too large", ['4510-/den,["message"]', *[b"x" * 60_000] * 6]),
    Packets("without a place", ['451-/den,["typing",true]', b"x"], "ignored"),
    Packets("as an event's name", [f"451-/den,[{PLACE % 0}]", b"x"]),
    Packets("a fine one", [f'451-/den,1["message",{PLACE % 0}]', b"x"], "ok"),
]

ACK: list[Probe] = [
    *(
        Packets(f"id of {len(id)} digits", [f'42/den,{id}["typing",true]'])
        for id in ("9" * 16, "9" * 17, "9" * 99, "9" * 5000)
    ),
    Packets("2^53", [f'42/den,{2**53}["typing",true]']),
    Packets("2^53 - 1", [f'42/den,{2**53 - 1}["typing",true]'], "ok"),
    Packets("the same id twice", ['42/den,1["typing",true]', '42/den,1["typing",true]'], "ok"),
    Packets("of an unknown id", ['43/den,77["x"]', "43/den,77[]"], "ignored"),
    Packets("without an id", ['43/den,["x"]'], "ignored"),
    Packets("of an id that is too large", [f"43/den,{2**53}[]"]),
    Packets("an object", ["43/den,1{}"]),
    Packets("with an attachment", [f"461-/den,1[{PLACE % 0}]", b"x"], "ignored"),
]

AUTHZ: list[Probe] = [
    Join("a room for others", "private", "refused forbidden", {"user": "mallory"}),
    Request("posting where one may only read", "message", ["x"], "ok"),
    Packets("a room that was not joined", ['42/private,["message","x"]']),
    Packets(
        "a room that refused",
        ['40/private,{"user":"mallory"}', '42/private,7["history"]'],
        "refused forbidden",
    ),
    Packets(
        "a room that was left",
        ["40/other,", "41/other,", '42/other,7["history"]', '42/other,["message","x"]'],
        "joined",
    ),
    Join(
        "somebody's pid",
        "other",
        "joined",
        {"pid": "a.b", "offset": "x.1"},
        plain="refused bad_request",
    ),
]

OFFLINE: list[Probe] = [
    Request("to somebody made up", "message", ["x", {"to": "nobody"}], "refused bad_request"),
    Request("reading for somebody", "read", [1, "nobody"], "refused bad_request"),
    Join("the room of a made-up pair", "@dm/nobody", "refused forbidden"),
]

AREAS: dict[str, list[Probe]] = {
    "parse": PARSE,
    "reserved": RESERVED,
    "deep": DEEP,
    "numbers": NUMBERS,
    "text": TEXT,
    "names": NAMES,
    "binary": BINARY,
    "ack": ACK,
    "authz": AUTHZ,
    "offline": OFFLINE,
}


def event_packet(event: Any, args: list[Any], ack: int) -> str:
    """An event into `ROOM`, as a packet."""
    return f"42/{ROOM},{ack}{json.dumps([event, *args])}"
