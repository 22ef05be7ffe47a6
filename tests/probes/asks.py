"""What strangers and careless programs may send to the HTTP API, and what has to come of it: one
table, by area.

An outcome is the status, and the code of the refusal where there is one. `{key}` in a header is the
operator's key, `{token}` that of a user, `mallory`. Bodies are sent as they are, behind a
Content-Length of their own unless the headers say otherwise. What tokens and keys are worth is a
matter of tests/api.
"""

from __future__ import annotations

import gzip
import json
from typing import Any, Final, NamedTuple

RULES: Final = "/api/revocations"

JSON: Final = ("Content-Type: application/json",)
KEY: Final = "Authorization: Bearer {key}"

MAX_BODY: Final = 16_384

MESSAGES: Final = "/api/rooms/den/messages"
MAX_PAYLOAD: Final = 300_000
USER: Final = "Authorization: Bearer {token}"
"""A user's token, of `mallory`."""


class Ask(NamedTuple):
    """A request to the HTTP API."""

    name: str
    body: bytes | str
    outcome: str
    method: str = "POST"
    path: str = RULES
    headers: tuple[str, ...] = (*JSON, KEY)


def _deep(levels: int) -> str:
    return "[" * levels + "]" * levels


def _user(id: Any) -> str:
    return json.dumps({"user": id})


REFUSED: Final = "400 bad_request"

PARSE: list[Ask] = [
    *(
        Ask(f"text {text[:16]!r}", text, REFUSED)
        for text in (
            "",
            "{",
            "}",
            "[]",
            "null",
            "true",
            "1",
            '"ann"',
            "{}",
            "{'user':'ann'}",
            '{"user":"ann"}x',
            '{"user":"ann"}{"user":"ann"}',
            '{"user":"ann",}',
            '{"user":ann}',
            '\ufeff{"user":"ann"}',
            '{"user":"ann"',
            '{"user"}',
            '{1:"ann"}',
            '{"user":"ann"}\0',
            "user=ann",
        )
    ),
    *(
        Ask(f"user is {value!r}", _user(value), REFUSED)
        for value in (1, 1.5, True, None, [], {}, ["ann"], {"id": "ann"})
    ),
    *(
        Ask(f"a member {name}", json.dumps({"user": "ann", name: {"admin": True}}), REFUSED)
        for name in ("__proto__", "constructor", "prototype", "toString", "", "User", "perms")
    ),
    Ask("white space is JSON", ' \r\n\t{"user" : "ann"} \n', "200"),
    Ask("the later of two", '{"user":"bob","user":"ann"}', "200"),  # as everywhere
]

DEEP: list[Ask] = [
    *(
        Ask(f"{levels} levels {where}", head + _deep(levels) + tail, REFUSED)
        for levels in (65, 900, 8000)
        for where, head, tail in (
            ("of lists", "", ""),
            ("in a member", '{"user":', "}"),
            ("in a member that there is not", '{"user":"ann","x":', "}"),
        )
    ),
    Ask("objects", '{"user":' * 1800 + "1" + "}" * 1800, REFUSED),
    Ask("half of them", '{"user":' + "[" * 16_000, REFUSED),
    Ask("too many to be read", '{"user":' + _deep(50_000) + "}", "413 too_large"),
]

NUMBERS: list[Ask] = [
    *(
        Ask(f"{member} {number[:12]} ({len(number)})", f'{{"{member}":{number}}}', REFUSED)
        for member in ("before", "until")
        for number in (
            *("NaN", "Infinity", "-Infinity", "1e999", "-1e400", "0x10", "01", "+1", ".5", "1."),
            *("9" * 400, "9" * 5000, str(2**53 + 1), str(2**64), "-1", "0", "null", "true", '"1"'),
            *("1e300", "1.7976931348623157e308"),
        )
    ),
    Ask("an end long gone", '{"user":"ann","until":5e-324}', REFUSED),
]

TEXT: list[Ask] = [
    *(
        Ask(f"{kind} {id[:8]!a}", f'{{"{kind}":{json.dumps(id)}}}', REFUSED)
        for kind in ("user", "token")
        for id in (
            *("", "\0", "a\0b", "a\nb", "\x1b[31m", "\x7f", "\x85", "\u2028", "\ufeff"),
            *("a\u202eb", "a\u2066b", "a\u200bb", "a\u200db", "\ue000", "\ud800", "\udfff\ud800"),
            "a" * 257,
        )
    ),
    *(
        Ask(f"bytes {raw!r}", b'{"user":"' + raw + b'"}', REFUSED)
        for raw in (
            *(b"\xff", b"\xc3", b"\xc3\x28", b"\xed\xa0\x80", b"\xf8\x88\x80\x80\x80", b"\xc0\x80"),
            *(b"\0", b"\n", b"\x1f", b"\\x41", b"\\u12", b"\\ud800x", b"\\udc00"),
        )
    ),
    Ask("UTF-16", '{"user":"ann"}'.encode("utf-16"), REFUSED),
    Ask("no text in the name", b'{"us\xffer":"ann"}', REFUSED),
    Ask("a long name", f'{{"{"a" * 9000}":1}}', REFUSED),
    *(Ask(f"user {id!a}", _user(id), "200") for id in ("é部屋", "e" + "\u0301" * 99, "<b>'\"%00")),
    *(
        Ask(f"user {id!a}", _user(id), "200")
        for id in ("__proto__", "constructor", "*", "{x}", "../all", "a:b", "a" * 256)
    ),
]

BODIES: list[Ask] = [
    Ask("to the byte", _user("a").ljust(MAX_BODY), "200"),
    Ask("a byte more", _user("a").ljust(MAX_BODY + 1), "413 too_large"),
    Ask("a megabyte", _user("a" * 1_000_000), "413 too_large"),
    Ask(
        "a long one that is announced",
        "",
        "413 too_large",
        headers=(*JSON, KEY, "Content-Length: 100000000000"),
    ),
    Ask(
        "a long one in chunks",
        "4000\r\n" + " " * 16_384 + "\r\n1\r\n \r\n0\r\n\r\n",
        "413 too_large",
        headers=(*JSON, KEY, "Transfer-Encoding: chunked"),
    ),
    Ask(
        "a bomb",
        gzip.compress(b" " * 10_000_000),
        "413 too_large",
        headers=(*JSON, KEY, "Content-Encoding: gzip"),
    ),
    Ask("no gzip", "{}", REFUSED, headers=(*JSON, KEY, "Content-Encoding: gzip")),
    *(
        Ask(f"as {kind}", _user("ann"), REFUSED, headers=(f"Content-Type: {kind}", KEY))
        for kind in (
            "text/plain",
            "application/x-www-form-urlencoded",
            "multipart/form-data; boundary=x",
            "application/jsonx",
            "application/json+x",
            "text/json",
            "nonsense",
            "text/plain; application/json",
        )
    ),
    Ask("as nothing", _user("ann"), REFUSED, headers=(KEY,)),
    *(
        Ask(f"{method} of a rule", _user("ann"), "405 bad_request", method=method)
        for method in ("PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "QUERY")
    ),
]

SITES: list[Ask] = [
    # what a page of another site can have sent without being asked for its origin first ...
    Ask(
        "a simple request",
        _user("ann"),
        "403 forbidden",
        headers=("Content-Type: text/plain", "Origin: https://evil.example"),
    ),
    # ... and what it cannot: all that is known of whoever sends it is its word
    *(
        Ask(
            f"{method} for {origin}",
            _user("ann") if method == "POST" else "",
            "403 forbidden",
            method=method,
            headers=(*JSON, KEY, f"Origin: {origin}"),
        )
        for method in ("GET", "POST")
        for origin in (
            *("https://evil.example", "null", "http://127.0.0.1.evil.example", "file://"),
            *("http://listed.example.evil.example", "https://listed.example, https://evil.example"),
            *("http://listed.example:1", "x" * 2000, "http://listed.example\u00e9"),
        )
    ),
    *(
        Ask(
            f"without an origin, {site}",
            "",
            "403 forbidden",
            method="GET",
            headers=(KEY, f"Sec-Fetch-Site: {site}"),
        )
        for site in ("cross-site", "same-site")
    ),
    Ask(
        "a preflight",
        "",
        "405 bad_request",
        method="OPTIONS",
        headers=(
            "Origin: http://listed.example",
            "Access-Control-Request-Method: POST",
            "Access-Control-Request-Headers: authorization",
        ),
    ),
    Ask("a listed page", "", "200", "GET", headers=(KEY, "Origin: http://listed.example")),
    Ask("of no page", "", "200", "GET", headers=(KEY, "Sec-Fetch-Site: none")),
]

WHO: list[Ask] = [
    *(
        Ask(f"with {headers}"[:60], _user("ann"), "401 unauthorized", headers=(*JSON, *headers))
        for headers in (
            (),
            ("Cookie: key={key}; token={key}; Authorization=Bearer {key}",),
            ("Authorization: Basic {key}",),
            ("Authorization: {key}",),
            ("Authorization: Bearer",),
            ("Authorization: Bearer {key}x",),
            ("Authorization: Bearer \u00e9{key}",),
            ("X-API-Key:",),
            ("X-Api-Key: sio_" + "0" * 64,),
            ("X-API-Key: {key}, {key}",),
            ("X-API-Key_: {key}",),
            ("X_API_Key: {key}",),
            ("Proxy-Authorization: Bearer {key}",),
            ("Authorization: Bearer " + "eyJ." * 1000,),
            ("Authorization: Bearer x", KEY),
        )
    ),
    *(
        Ask(f"in the query, {field}", "", "401 unauthorized", "GET", f"{RULES}?{field}={{key}}", ())
        for field in ("key", "api_key", "token", "access_token", "X-API-Key")
    ),
]

NAMES: list[Ask] = [
    # a rule could have these names, and has not
    *(
        Ask(f"{path}"[:40], "", "404 not_found", "DELETE", RULES + path, (KEY,))
        for path in (
            *("/users/nobody", "/users/%00", "/users/%ff", "/users/%ED%A0%80", "/users/__proto__"),
            *("/users/%E2%80%AEevil", "/users/..%2f..%2fall", "/users/%7B%7D*", "/users/a/b/c"),
            *("/users/" + "a" * 5000, "/tokens/%", "/tokens/%2", "/all", "/%61ll"),
        )
    ),
    # nothing is there
    *(
        Ask(f"{path}"[:40], "", "404 bad_request", "DELETE", RULES + path, (KEY,))
        for path in (
            *("/tokens/%0a%0dx", "/groups/ann", "/users/", "/users", "/all/x", "/ALL", "//all"),
        )
    ),
    *(
        Ask(f"?{query}"[:40], "", REFUSED, "GET", f"{RULES}?{query}", (KEY,))
        for query in (
            *("limit=0", "limit=-1", "limit=1001", "limit=", "limit=1e1", "limit=0x1", "limit=1_0"),
            *("limit=%D9%A1", "limit=" + "9" * 5000, "limit=1&after=x", "after=", "limit=NaN"),
        )
    ),
    *(
        Ask(f"?{query}"[:40], "", "200", "GET", f"{RULES}?{query}", (KEY,))
        for query in (
            *("after=x:", "after=user:%00", "after=user:%ff", "after=user:%ED%A0%80", "after=:"),
            *("after=user:%7B*%7D", "limit=01", "__proto__=1", "x=%", "&&&", "limit=1&limit=0"),
        )
    ),
]


def _post(name: str, body: bytes | str, outcome: str = REFUSED) -> Ask:
    return Ask(name, body, outcome, path=MESSAGES, headers=(*JSON, USER))


def _body(value: str) -> str:
    """A message with this body, which is JSON already."""
    return f'{{"body":{value}}}'


def _get(name: str, path: str, outcome: str, *headers: str) -> Ask:
    return Ask(name, "", outcome, "GET", path, headers or (USER,))


MESSAGES_PARSE: list[Ask] = [
    *(
        _post(f"text {text[:16]!r}", text)
        for text in (
            *("", "{", "[]", "null", '"hi"', "1", "{}", '{"text":"hi"}', '{"body":}', "{'body':1}"),
            *('{"body":1}x', '{"body":1}{"body":1}', '\ufeff{"body":1}', '{"body":1,}', "body=1"),
        )
    ),
    *(
        _post(f"{name} is {value!r}"[:50], json.dumps({"body": "x", name: value}))
        for name, values in {
            "id": (1, "", "a" * 129, "a b", "a\0", "\u202e", "\ud800", [], {}, True),
            "as": ("", " a", "a\u202eb", "\ud800", "a\0b", "guest:1", "__proto__", 1, [], {}),
            "to": ("ann",),
            "__proto__": ({"operator": True},),
            "constructor": (1,),
            "operator": (True,),
            "at": (1,),
            "offset": (1,),
            "user": ("ann",),
        }.items()
        for value in values
    ),
    *(
        _post(f"as {value!r}", json.dumps({"body": "x", "as": value}), "403 forbidden")
        for value in ("ann", {"user": "ann"}, {"user": "ann", "name": "\u202e"})
    ),
    _post("as oneself", json.dumps({"body": "x", "as": "mallory"}), "201"),
    _post("no id", '{"body":"x","id":null}', "201"),
    _post("nothing", _body("null"), "201"),
    _post("the later of two", '{"body":"\\ud800","body":"x"}'),
    *(
        Ask(
            f"as {kind}",
            _body("1"),
            REFUSED,
            path=MESSAGES,
            headers=(f"Content-Type: {kind}", USER),
        )
        for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data")
    ),
    Ask("as nothing", _body("1"), REFUSED, path=MESSAGES, headers=(USER,)),
    *(
        Ask(f"{method} of all", _body("1"), "405 bad_request", method, MESSAGES, (*JSON, USER))
        for method in ("PUT", "PATCH", "DELETE", "TRACE")
    ),
]

MESSAGES_DEEP: list[Ask] = [
    _post("sixty levels", _body(_deep(60)), "201"),
    *(_post(f"{levels} levels", _body(_deep(levels))) for levels in (64, 900, 50_000, 100_000)),
    _post("objects", _body('{"a":' * 900 + "1" + "}" * 900)),
    _post("half of them", '{"body":' + "[" * 100_000),
    _post("beside the body", f'{{"body":1,"x":{_deep(90_000)}}}'),
]

MESSAGES_NUMBERS: list[Ask] = [
    *(
        _post(f"{number[:12]} ({len(number)})", _body(number))
        for number in (
            *("NaN", "Infinity", "-Infinity", "1e999", "-1e400", "0x10", "01", "+1", ".5", "1."),
            *("9" * 400, "9" * 5000, str(2**53 + 1), str(-(2**53) - 1), str(2**63)),
        )
    ),
    *(
        _post(f"{number[:12]} ({len(number)}), fine", _body(number), "201")
        for number in (str(2**53), "1.7976931348623157e308", "5e-324", "-0.0", "1E2")
    ),
]

MESSAGES_TEXT: list[Ask] = [
    *(
        _post(f"bytes {raw!r}", b'{"body":"' + raw + b'"}')
        for raw in (b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xc0\x80", b"\0", b"\n", b"\\x41")
    ),
    _post("half a pair", _body('"\\ud800"')),
    _post("in a member", _body('{"a":"\\udfff"}')),
    _post("in a name", _body('{"\\ud800":1}')),
    _post("a placeholder", _body('{"_placeholder":true,"num":0}')),
    _post("a long name", _body(f'{{"{"a" * 1025}":1}}')),
    *(
        _post(f"text {text[:8]!a}", _body(json.dumps(text)), "201")
        for text in ("\0", "\u202e", "<script>", "\u2028", "a" + "\u0301" * 9000, "\U0010ffff")
    ),
    _post("a member __proto__", _body('{"__proto__":{"admin":true}}'), "201"),
]

MESSAGES_BODIES: list[Ask] = [
    _post("to the byte", _body(json.dumps("a" * 65_536)), "201"),
    _post("a byte more", _body(json.dumps("a" * 65_537)), "413 too_large"),
    _post("what is too much to be read", " " * (MAX_PAYLOAD + 1), "413 too_large"),
    Ask(
        "a bomb",
        gzip.compress(b" " * 10_000_000),
        "413 too_large",
        path=MESSAGES,
        headers=(*JSON, USER, "Content-Encoding: gzip"),
    ),
    Ask(
        "no gzip",
        "{}",
        REFUSED,
        path=MESSAGES,
        headers=(*JSON, USER, "Content-Encoding: gzip"),
    ),
    *(
        Ask(
            f"{size} bytes as they are",
            b"\xff" * size,
            outcome,
            path=MESSAGES,
            headers=("Content-Type: application/octet-stream", USER),
        )
        for size, outcome in ((0, "201"), (65_536, "201"), (65_537, "413 too_large"))
    ),
    *(
        Ask(
            f"bytes with ?{query}",
            b"x",
            outcome,
            path=f"{MESSAGES}?{query}",
            headers=("Content-Type: application/octet-stream", USER),
        )
        for query, outcome in (
            ("id=%00", REFUSED),
            ("id=", REFUSED),
            ("id=a&id=b", REFUSED),
            ("body=x", REFUSED),
            ("as=ann", "403 forbidden"),
            ("as=%ff", "403 forbidden"),
            ("id=%ED%A0%80", REFUSED),
        )
    ),
    Ask("JSON with a query", _body("1"), REFUSED, path=f"{MESSAGES}?id=1", headers=(*JSON, USER)),
]

ROOMS: list[Ask] = [
    *(
        _get(f"room {part[:30]}", f"/api/rooms/{part}/messages", outcome)
        for part, outcome in (
            ("*", "400 bad_room"),
            ("%7Bx%7D", "404 bad_request"),
            ("a%0Ab", "400 bad_room"),
            ("a%00b", "400 bad_room"),
            ("a%20b", "400 bad_room"),
            ("a+b", "400 bad_room"),
            ("%ff", "400 bad_room"),
            ("%ED%A0%80", "400 bad_room"),
            ("%E2%80%AEx", "400 bad_room"),
            ("e%CC%81", "400 bad_room"),
            ("%252F", "400 bad_room"),
            ("a" * 129, "400 bad_room"),
            ("%E9%83%A8" * 86, "400 bad_room"),
            ("__proto__", "400 bad_room"),
            ("%40me", "400 bad_room"),
            ("@me", "400 bad_room"),
            ("@nodes", "403 forbidden"),
            ("private", "403 forbidden"),
            ("%70rivate", "403 forbidden"),
            ("", "404 bad_request"),
            ("a/b", "404 bad_request"),
            ("constructor", "200"),
            ("a%2Fb", "200"),
            ("a%2fb", "200"),
            ("..%2Fx", "200"),
            ("%D0%B0", "200"),
        )
    ),
    *(
        _get(f"?{query[:30]}", f"{MESSAGES}?{query}", REFUSED)
        for query in (
            *(
                "limit=0",
                "limit=-1",
                "limit=99999",
                "limit=",
                "limit=1e1",
                "limit=NaN",
                "limit=1.5",
            ),
            *(
                "limit=%D9%A1",
                "limit=" + "9" * 5000,
                "before=x",
                "before=-1",
                "after=",
                "after=1.1",
            ),
            *("after=" + "9" * 17, "limit=1&limit=2", "x=1", "__proto__=1", "as=", "as=%00"),
        )
    ),
    _get("a page behind everything", f"{MESSAGES}?after={2**53 - 1}", "200"),
    _get("a page before everything", f"{MESSAGES}?before=0", "200"),
    _get("all=x", "/api/rooms/den/members?all=x", REFUSED),
    _get("all twice", "/api/rooms/den/members?all=true&all=true", REFUSED),
    _get("the members of a room for others", "/api/rooms/private/members", "403 forbidden"),
    _get("how many are in a room for others", "/api/rooms/private", "403 forbidden"),
    _get("as somebody", "/api/rooms/den?as=ann", "403 forbidden"),
    Ask(
        "posting in a room for others",
        _body('"x"'),
        "403 forbidden",
        path="/api/rooms/private/messages",
        headers=(*JSON, USER),
    ),
    *(
        _get(f"{path} with {headers}"[:60], path, "401 unauthorized", *headers)
        for path in ("/api/rooms/den", "/api/rooms/den/members", MESSAGES)
        for headers in (
            ("X: 1",),
            ("Cookie: token={token}; Authorization=Bearer {token}",),
            ("X-API-Key: sio_" + "0" * 64,),
            ("Authorization: Bearer {token}x",),
        )
    ),
    _get("a token in the query", "/api/rooms/den?token={token}", "401 unauthorized", "X: 1"),
    *(
        _get(f"for {origin}", MESSAGES, "403 forbidden", USER, f"Origin: {origin}")
        for origin in ("https://evil.example", "null", "http://listed.example.evil.example")
    ),
    _get("for a listed page", MESSAGES, "200", USER, "Origin: http://listed.example"),
]


def _moderate(name: str, path: str, body: str, outcome: str = REFUSED, method: str = "POST") -> Ask:
    return Ask(name, body, outcome, method, f"/api/rooms/den/{path}", (*JSON, KEY))


MODERATION: list[Ask] = [
    *(
        _moderate(f"{path}: {body[:40]!a}", path, body)
        for path in ("bans", "mutes", "kicks")
        for body in (
            *("", "[]", "null", '"eve"', "{}", '{"user":1}', '{"user":null}', '{"user":""}'),
            *('{"user":["eve"]}', '{"user":"eve","x":1}', '{"user":"\\ud800"}', _deep(900)),
            *('{"user":"eve","seconds":NaN}', '{"user":"eve","seconds":1e999}'),
            *('{"user":"eve","seconds":-1}', '{"user":"eve","seconds":1e300}', '{"user":"\udcff"}'),
            *(
                '{"user":"eve","reason":1}',
                '{"user":"eve","address":1}',
                '{"__proto__":{"user":"a"}}',
            ),
            f'{{"user":"eve","reason":"{"r" * 201}"}}',
            f'{{"user":"{"u" * 129}"}}',
        )
    ),
    *(
        _moderate(f"settings: {body[:40]!a}", "settings", body, method="PATCH")
        for body in (
            *("", "[]", "null", '{"topic":1}', '{"slow_mode":-1}', '{"slow_mode":NaN}', '{"x":1}'),
            *('{"slow_mode":1e999}', '{"slow_mode":true}', '{"read_only":0}', _deep(900)),
            f'{{"topic":"{"t" * 513}"}}',
        )
    ),
    _moderate("too much", "bans", '{"user":"eve"}'.ljust(MAX_BODY + 1), "413 too_large"),
    *(
        Ask(
            f"{method} {path} by who may not",
            body,
            "403 forbidden",
            method,
            f"/api/rooms/den/{path}",
            who,
        )
        for method, path, body, who in (
            ("POST", "bans", '{"user":"eve"}', (*JSON, USER)),
            ("POST", "kicks", '{"user":"eve"}', (*JSON, USER)),
            ("PATCH", "settings", '{"topic":"mine"}', (*JSON, USER)),
            ("GET", "bans", "", (USER,)),
            ("GET", "moderation_log", "", (USER,)),
            ("DELETE", "mutes/eve", "", (USER,)),
        )
    ),
    Ask(
        "a simple request",
        '{"user":"eve"}',
        REFUSED,
        path="/api/rooms/den/bans",
        headers=("Content-Type: text/plain", KEY),
    ),
    *(
        Ask(f"DELETE {path}"[:40], "", outcome, "DELETE", f"/api/rooms/den/{path}", (KEY,))
        for path, outcome in (
            ("bans/%00", REFUSED),
            ("bans/%ff", REFUSED),
            ("bans/" + "u" * 129, REFUSED),
            ("bans/", "404 bad_request"),
            ("bans", "405 bad_request"),
        )
    ),
]


EVERYWHERE: list[Ask] = [
    *(
        Ask(f"{path}: {body[:30]!a}", body, REFUSED, path=f"/api/{path}")
        for path in ("bans", "mutes")
        for body in (
            *("", "[]", "null", "{}", '{"user":1}', '{"user":""}', '{"user":["eve"]}'),
            *('{"user":"eve","room":"den"}', '{"user":"\\ud800"}', '{"user":"eve","seconds":-1}'),
            *('{"user":"eve","seconds":NaN}', '{"user":"eve","reason":{}}', _deep(900)),
        )
    ),
    Ask("too much", '{"user":"eve"}'.ljust(MAX_BODY + 1), "413 too_large", path="/api/bans"),
    Ask(
        "a simple request",
        '{"user":"eve"}',
        REFUSED,
        path="/api/bans",
        headers=("Content-Type: text/plain", KEY),
    ),
    *(
        Ask(f"{method} {path} by a user", body, "403 forbidden", method, f"/api/{path}", who)
        for method, path, body, who in (
            ("POST", "bans", '{"user":"eve"}', (*JSON, USER)),
            ("POST", "mutes", '{"user":"eve","seconds":5}', (*JSON, USER)),
            ("GET", "bans", "", (USER,)),
            ("GET", "moderation_log", "", (USER,)),
            ("DELETE", "bans/eve", "", (USER,)),
        )
    ),
    *(
        Ask(f"{method} {path}"[:40], "", outcome, method, f"/api/{path}", (KEY,))
        for method, path, outcome in (
            ("DELETE", "bans/%ff", "404 not_found"),
            ("DELETE", "bans/", "404 bad_request"),
            ("DELETE", "bans", "405 bad_request"),
            ("GET", "bans?limit=0", REFUSED),
            ("GET", "bans?room=den", REFUSED),
            ("GET", "moderation_log?before=x", REFUSED),
        )
    ),
]


def _operate(
    name: str, rest: str, outcome: str, body: str = "", method: str = "PATCH", room: str = "den"
) -> Ask:
    return Ask(name, body, outcome, method, f"/api/rooms/{room}/messages/{rest}", (*JSON, USER))


OPERATIONS: list[Ask] = [
    _post("something to begin with", _body('"x"'), "201"),
    *(
        _operate(f"{method} of {offset[:20]}", offset, outcome, '{"body":1}', method)
        for method in ("GET", "PATCH", "DELETE")
        for offset, outcome in (
            *((one, REFUSED) for one in ("0", "-1", "1.5", "x", "1e1", "NaN", "9" * 17, "9" * 999)),
            *((one, REFUSED) for one in ("%D9%A1", "%00", "%ff", "__proto__", "1%2F1", "%201")),
            *((one, "404 not_found") for one in ("99", str(2**53 - 1))),
        )
    ),
    *(
        _operate(f"edit: {text[:16]!a} ({len(text)})", "1", REFUSED, text)
        for text in (
            *("", "{", "[]", "null", "{}", '{"text":1}', '{"body":1,"x":1}', '{"body":NaN}'),
            *('{"body":1e999}', '{"body":"\\ud800"}', '{"body":9007199254740993}'),
            *('{"body":1,"offset":2}', '{"body":1,"user":"ann"}', '{"body":1,"as":"ann"}'),
            *(_body(_deep(65)), _body(_deep(90_000)), _body('{"_placeholder":1}')),
        )
    ),
    _operate("a long edit", "1", "413 too_large", _body(json.dumps("a" * 65_537))),
    _operate("too much", "1", "413 too_large", " " * (MAX_PAYLOAD + 1)),
    _operate("in a room for others", "1", "403 forbidden", '{"body":1}', room="private"),
    *(
        _operate(f"reaction {sign[:20]}", f"1/reactions/{sign}", REFUSED, method="PUT")
        for sign in (
            *("%00", "%0A", "%20", "a%20b", "%E2%80%AE", "%E2%80%8B", "%ff%ff%ff" * 20),
            *("a" * 33, "%ED%A0%80" * 9, "%C2%85", "%EF%BB%BF", "%EE%80%80"),
        )
    ),
    _operate("no reaction", "1/reactions/", "404 bad_request", method="PUT"),
    _operate("two of them", "1/reactions/a/b", "404 bad_request", method="PUT"),
    _operate("a post of one", "1", "405 bad_request", '{"body":1}', "POST"),
    Ask("without a token", '{"body":1}', "401 unauthorized", "PATCH", f"{MESSAGES}/1", JSON),
    Ask(
        "as text",
        '{"body":1}',
        REFUSED,
        "PATCH",
        f"{MESSAGES}/1",
        ("Content-Type: text/plain", USER),
    ),
]

AREAS: dict[str, list[Ask]] = {
    "parse": PARSE,
    "deep": DEEP,
    "numbers": NUMBERS,
    "text": TEXT,
    "bodies": BODIES,
    "sites": SITES,
    "who": WHO,
    "names": NAMES,
    "messages: parse": MESSAGES_PARSE,
    "messages: deep": MESSAGES_DEEP,
    "messages: numbers": MESSAGES_NUMBERS,
    "messages: text": MESSAGES_TEXT,
    "messages: bodies": MESSAGES_BODIES,
    "rooms": ROOMS,
    "moderation": MODERATION,
    "moderation: everywhere": EVERYWHERE,
    "operations": OPERATIONS,
}
