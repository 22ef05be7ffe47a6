"""What browsers are told to forbid."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sioserver.api.headers import ANSWER, page_headers, strict_transport


def directives(headers: Mapping[str, str]) -> dict[str, str]:
    policy = headers["Content-Security-Policy"]
    parts = [part.strip().split(" ", 1) for part in policy.split(";")]
    assert len({part[0] for part in parts}) == len(parts)
    return {part[0]: part[1] for part in parts}


def test_an_answer_to_a_machine_is_nothing_to_a_browser() -> None:
    assert directives(ANSWER) == {"default-src": "'none'", "frame-ancestors": "'none'"}
    assert ANSWER["X-Content-Type-Options"] == "nosniff"


def test_the_page_may_do_what_it_needs() -> None:
    headers = page_headers("chat.example:8443")
    assert directives(headers) == {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "img-src": "'self'",
        "font-src": "'self'",
        "connect-src": "'self' ws://chat.example:8443 wss://chat.example:8443",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
        "require-trusted-types-for": "'script'",
        "trusted-types": "vue",
    }
    for loose in ("unsafe", "data:", "blob:", "http:", "https:", "*"):
        assert loose not in headers["Content-Security-Policy"]
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"


def test_who_may_frame_it() -> None:
    headers = page_headers("a", ["self", "https://*.b.example", "http://localhost:*"])
    assert directives(headers)["frame-ancestors"] == (
        "'self' https://*.b.example http://localhost:*"
    )
    assert "X-Frame-Options" not in headers  # it would forbid them all


@pytest.mark.parametrize(
    ("host", "named"),
    [
        ("example.org", True),
        ("127.0.0.1:8000", True),
        ("[::1]:8000", True),
        ("", False),
        ("a b", False),
        ("evil.example; script-src *", False),
        ("*", False),
        ("a/b", False),
        ("a\r\nSet-Cookie: x", False),
        ("a\n", False),
        ("user@host", False),
        ("a:b", False),
        ("a:80:80", False),
    ],
)
def test_the_host_cannot_add_to_the_policy(host: str, named: bool) -> None:
    expected = f"'self' ws://{host} wss://{host}" if named else "'self'"
    assert directives(page_headers(host))["connect-src"] == expected


@given(st.text() | st.text(" ;'*:/[].a0\\r\\n"))
def test_no_host_adds_a_directive(host: str) -> None:
    assert directives(page_headers(host)).keys() == directives(page_headers("a")).keys()
    assert not set(page_headers(host)["Content-Security-Policy"]) & set("\r\n*,")


def test_how_long_only_tls() -> None:
    assert strict_transport(2_592_000.0) == "max-age=2592000"
    assert strict_transport(0.4) == "max-age=0"
