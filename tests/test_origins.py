"""Which pages may connect: one table of tricks, and properties."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sioserver.origins import (
    Origin,
    Origins,
    listed_origin,
    parse,
    parse_pattern,
    same_host,
    same_origin,
)

# ---------------------------------------------------------------------------- texts


@pytest.mark.parametrize(
    ("text", "origin"),
    [
        ("https://a.example", Origin("https", "a.example", "")),
        ("HTTPS://A.Example:443", Origin("https", "a.example", "")),
        ("http://a.example:443", Origin("http", "a.example", "443")),
        ("http://[::1]:80", Origin("http", "[::1]", "")),
        ("chrome-extension://abc", Origin("chrome-extension", "abc", "")),
        ("null", None),
        ("", None),
        ("https://", None),
        ("https://a.example/", None),
        ("https://a.example.", None),  # another origin than the one without the dot
        ("https://a.example https://b.example", None),
        ("https://a.example,https://b.example", None),
        ("https://user@a.example", None),
        ("https://a.example?b", None),
        ("https://a.example#b", None),
        ("https://a.example\\@b.example", None),
        ("https://a.example\n", None),
        (" https://a.example", None),
        ("https://a.example:", None),
        ("https://a.example:port", None),
        ("https://b\u00fccher.example", None),
        ("https://\u212a.example", None),  # the Kelvin sign, a "k" in lower case
        ("http\u017f://a.example", None),  # the long s, an "S" in upper case
    ],
)
def test_parse(text: str, origin: Origin | None) -> None:
    assert parse(text) == origin


@pytest.mark.parametrize(
    ("origin", "entry", "allowed"),
    [
        ("https://a.example", "https://a.example", True),
        ("https://A.example", "https://a.EXAMPLE", True),
        ("http://a.example", "https://a.example", False),
        ("https://a.example:8443", "https://a.example", False),
        ("https://b.a.example", "https://*.a.example", True),
        ("https://c.b.a.example", "https://*.a.example", True),
        ("https://a.example", "https://*.a.example", False),
        ("https://evil.example?.a.example", "https://*.a.example", False),
        ("https://evil.example/.a.example", "https://*.a.example", False),
        ("https://evil.example:1.a.example", "https://*.a.example", False),
        ("http://localhost:5173", "http://localhost:*", True),
        ("http://localhost:", "http://localhost:*", False),
        ("http://[::1]:3000", "http://[::1]:3000", True),
        ("http://1:3000", "http://[::1]:3000", False),
        ("https://aXexample", "https://a.example", False),
        ("null", "*", True),
        ("null", "https://*", False),
        ("https://any.example", "*", True),
    ],
)
def test_listed_origins(origin: str, entry: str, allowed: bool) -> None:
    assert listed_origin(origin, ["https://other.example", entry]) is allowed


def test_an_empty_list_allows_nobody() -> None:
    assert not listed_origin("https://a.example", [])


def test_same_origin() -> None:
    assert same_origin("https://a.example", "https", "a.example")
    assert same_origin("HTTP://A.example:81", "http", "a.example:81")
    assert not same_origin("https://a.example", "http", "a.example")
    assert not same_origin("http://b.example", "http", "a.example")
    assert not same_origin("null", "http", "a.example")
    assert not same_origin("http://a.example", "http", None)


def test_same_origin_with_the_default_port_written_out() -> None:
    assert same_origin("https://a.example", "https", "a.example:443")
    assert not same_origin("https://a.example", "https", "a.example:80")
    assert not same_origin("null", "null", "null")


# ---------------------------------------------------------------------------- checked lists

SUB = "https://*.a.example"

# An entry of the configuration, an origin as a browser sends it, and whether that may connect.
TABLE = [
    ("https://a.example", "https://a.example", True),
    ("https://a.example", "https://A.EXAMPLE", True),
    ("https://a.example", "https://a.example:443", True),
    ("https://a.example", "http://a.example", False),
    ("https://a.example", "wss://a.example", False),
    ("https://a.example", "https://a.example:8443", False),
    ("https://a.example", "https://a.example.", False),
    ("https://a.example", "https://b.a.example", False),
    ("https://a.example", "https://a.example.evil.example", False),
    ("https://a.example", "https://a.example@evil.example", False),
    ("https://a.example", "https://aXexample", False),
    ("https://a.example", "null", False),
    ("https://a.example", "", False),
    ("https://a.example:8443", "https://a.example:8443", True),
    ("https://a.example:8443", "https://a.example", False),
    (SUB, "https://b.a.example", True),
    (SUB, "https://c.b.a.example", True),
    (SUB, "https://xn--bcher-kva.a.example", True),
    (SUB, "https://a.example", False),
    (SUB, "https://.a.example", False),
    (SUB, "https://evila.example", False),
    (SUB, "https://evil-a.example", False),
    (SUB, "https://b.a.example.evil.example", False),
    (SUB, "http://b.a.example", False),
    (SUB, "https://b.a.example:8443", False),
    (SUB, "https://b.a.example.", False),
    (SUB, "https://evil.example/.a.example", False),
    (SUB, "https://evil.example?.a.example", False),
    (SUB, "https://evil.example#.a.example", False),
    (SUB, "https://evil.example\\.a.example", False),
    (SUB, "https://evil.example:1.a.example", False),
    (SUB, "https://evil@b.a.example", False),
    (SUB, "null", False),
    ("https://*.a.example:8443", "https://b.a.example:8443", True),
    ("https://*.a.example:8443", "https://b.a.example", False),
    ("http://localhost:*", "http://localhost:5173", True),
    ("http://localhost:*", "http://localhost", True),
    ("http://localhost:*", "https://localhost:5173", False),
    ("http://localhost:*", "http://localhost.evil.example:5173", False),
    ("http://localhost:*", "http://localhost:5173.evil.example", False),
    ("http://*.localhost:*", "http://a.localhost:1", True),
    ("http://[::1]:3000", "http://[::1]:3000", True),
    ("http://[::1]:3000", "http://[::1]", False),
    ("http://127.0.0.1", "http://127.0.0.1", True),
    ("http://127.0.0.1", "http://127.0.0.10", False),
    ("https://xn--bcher-kva.example", "https://xn--bcher-kva.example", True),
    ("chrome-extension://abcdefgh", "chrome-extension://abcdefgh", True),
    ("capacitor://localhost", "capacitor://localhost", True),
    ("capacitor://localhost", "http://localhost", False),
]


@pytest.mark.parametrize(("entry", "origin", "allowed"), TABLE)
def test_what_a_list_lets_in(entry: str, origin: str, allowed: bool) -> None:
    assert (origin in Origins([entry])) is allowed
    assert (origin in Origins(["https://other.example", entry])) is allowed
    assert origin not in Origins()


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("*", "every page"),
        ("null", "cannot be listed"),
        ("", "expected scheme://host[:port]"),
        ("a.example", "expected scheme://host[:port]"),
        ("https://*", "expected scheme://host[:port]"),
        ("https://a.*.example", "expected scheme://host[:port]"),
        ("https://*a.example", "expected scheme://host[:port]"),
        ("*://a.example", "expected scheme://host[:port]"),
        ("https://a.example/page", "expected scheme://host[:port]"),
        ("https://user@a.example", "expected scheme://host[:port]"),
        ("https://a.example:*1", "expected scheme://host[:port]"),
        ("https://a.example:", "expected scheme://host[:port]"),
        ("https://a.example/", 'did you mean "https://a.example"?'),
        ("https://a.example.", 'did you mean "https://a.example"?'),
        ("HTTPS://A.example", 'did you mean "https://a.example"?'),
        (" https://a.example\n", 'did you mean "https://a.example"?'),
        ("https://b\u00fccher.example", 'did you mean "https://xn--bcher-kva.example"?'),
        ("https://fa\u00df.example", 'did you mean "https://xn--fa-hia.example"?'),
        ("https://*.B\u00fccher.example:1", 'did you mean "https://*.xn--bcher-kva.example:1"?'),
        ("https://a.example:443", 'leave out ":443"'),
        ("http://a.example:80", 'leave out ":80"'),
        ("https://a.example:0443", 'write ":443"'),
        ("https://a.example:0", "at least 1"),
        ("https://a.example:65536", "at most 65535"),
        ("https://*.com", "everybody can have a sub-domain of com"),
        ("http://*.127.0.0.1", "addresses have no sub-domains"),
        ("http://*.[::1]", "addresses have no sub-domains"),
        ("http://127.1", "127.1 is not an IPv4 address"),
        ("http://0x7f.0.0.01", "is not an IPv4 address"),
        ("http://[::0001]", "browsers write the address [::1]"),
        ("http://[1:2]", "is not an IPv6 address"),
        ("https://a..example", "nothing between two dots"),
    ],
)
def test_what_cannot_be_listed(text: str, hint: str) -> None:
    with pytest.raises(ValueError) as refused:
        parse_pattern(text)
    assert hint in str(refused.value)
    with pytest.raises(ValueError):
        Origins(["https://a.example", text])


LABELS = st.from_regex(r"[a-z0-9](?:[a-z0-9-]{0,6}[a-z0-9])?", fullmatch=True)
NAMES = st.lists(LABELS, min_size=2, max_size=4).map(".".join).filter(lambda n: n[-1].isalpha())
PORTS = st.integers(1, 65535).map(str)
SCHEMES = st.sampled_from(["http", "https", "app"])


def written(scheme: str, host: str, port: str) -> str:
    return f"{scheme}://{host}" + (f":{port}" if port else "")


ORIGINS = st.builds(written, SCHEMES, NAMES, PORTS | st.just(""))


@given(ORIGINS, ORIGINS)
def test_another_text_is_another_origin(mine: str, other: str) -> None:
    page = parse(mine)
    assert page is not None
    allowed = Origins([written(*page)])
    assert mine in allowed
    assert (other in allowed) is (parse(other) == page)


@given(
    NAMES, NAMES, st.sampled_from(["", ".", "-", "x", "@", "/", ":", "#", "?", "\\", "\0", "%2e"])
)
def test_only_sub_domains_are_sub_domains(domain: str, before: str, glue: str) -> None:
    allowed = Origins([f"https://*.{domain}"])
    assert (f"https://{before}{glue}{domain}" in allowed) is (
        glue == "." or f"{before}{glue}{domain}".endswith(f".{domain}")
    )
    behind = f"{domain}.{before}"
    assert (f"https://{behind}" in allowed) is behind.endswith(f".{domain}")


@given(st.text() | st.text("htps:/*.a[]0-9\\@?# nul"))
def test_any_text_is_a_pattern_or_a_reason(text: str) -> None:
    try:
        pattern = parse_pattern(text)
    except ValueError:
        return
    assert text.isascii()
    assert text == text.lower()
    assert "null" not in Origins([text])
    if "*" not in text:
        assert text in Origins([text])
        assert parse(text) == Origin(*pattern)


@given(st.text() | st.text("htps:/*.a[]0-9\\@?# nul"))
def test_any_header_is_answered(text: str) -> None:
    page = parse(text)
    if text in Origins(["https://a.example", "https://*.b.example"]):
        assert page is not None
        assert page.host.endswith(("a.example", ".b.example"))
    assert listed_origin(text, ["*"])
    assert listed_origin(text, [text])


@pytest.mark.parametrize(
    ("origin", "host", "same"),
    [
        ("https://a.example", "a.example", True),
        ("http://A.example:8000", "a.Example:8000", True),
        ("https://a.example", "a.example:443", True),
        ("https://a.example", "a.example:80", False),
        ("http://a.example:8000", "a.example", False),
        ("http://xa.example", "a.example", False),
        ("http://a.example.evil", "a.example", False),
        ("a.example", "a.example", False),
        ("null", "null", False),
        ("http://a.example", None, False),
    ],
)
def test_the_host_of_a_page(origin: str, host: str | None, same: bool) -> None:
    assert same_host(origin, host) is same
