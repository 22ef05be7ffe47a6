"""What strangers and careless programs may send to the HTTP API, and what has to come of it: one
table, by area.

An outcome is the status, and the code of the refusal where there is one. `{key}` in a header is the
operator's key. Bodies are sent as they are, behind a Content-Length of their own unless the headers
say otherwise. What tokens and keys are worth is a matter of tests/api.
"""

from __future__ import annotations

import gzip
import json
from typing import Any, Final, NamedTuple

RULES: Final = "/api/revocations"

JSON: Final = ("Content-Type: application/json",)
KEY: Final = "Authorization: Bearer {key}"

MAX_BODY: Final = 16_384


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
    *(
        Ask(f"{path}"[:40], "", "404 bad_request", "DELETE", RULES + path, (KEY,))
        for path in (
            "/users/nobody",
            "/users/%00",
            "/users/%ff",
            "/users/%ED%A0%80",
            "/users/%E2%80%AEevil",
            "/users/__proto__",
            "/users/..%2f..%2fall",
            "/users/%7B%7D*",
            "/users/" + "a" * 5000,
            "/users/a/b/c",
            "/tokens/%0a%0dx",
            "/tokens/%",
            "/tokens/%2",
            "/groups/ann",
            "/users/",
            "/users",
            "/all",
            "/all/x",
            "/ALL",
            "/%61ll",
            "//all",
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

AREAS: dict[str, list[Ask]] = {
    "parse": PARSE,
    "deep": DEEP,
    "numbers": NUMBERS,
    "text": TEXT,
    "bodies": BODIES,
    "sites": SITES,
    "who": WHO,
    "names": NAMES,
}
