"""Names in Host headers: which are the server's own."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sioserver.hosts import Listed, Local, fault, name_of

LABELS = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?", fullmatch=True)


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("chat.example", "chat.example"),
        ("Chat.EXAMPLE:8000", "chat.example"),
        ("chat.example.", "chat.example"),
        ("chat.example.:80", "chat.example"),
        ("chat.example:", "chat.example"),
        ("[::1]:8000", "[::1]"),
        ("127.0.0.1:8000", "127.0.0.1"),
        ("", None),
        (".", None),
        (":80", None),
        ("a b", None),
        ("localhost@evil.example", None),
        ("localhost:80@evil.example", None),
        ("localhost/evil.example", None),
        ("localhost#evil.example", None),
        ("localhost,evil.example", "localhost,evil.example"),
        ("evil.example:80:80", None),
        ("[::1]evil.example", None),
        ("[::1", None),
        ("x" * 300, None),
        ("localhost:800000", None),
    ],
)
def test_the_name_in_a_header(header: str, name: str | None) -> None:
    assert name_of(header) == name


@pytest.mark.parametrize(
    ("header", "local"),
    [
        ("localhost:8000", True),
        ("LOCALHOST", True),
        ("app.localhost:8000", True),
        ("127.0.0.1:8000", True),
        ("[::1]:8000", True),
        ("192.168.1.5", True),
        ("[2001:db8::1]", True),
        ("laptop:8000", True),
        ("evil.example", False),
        ("localhost.evil.example", False),
        ("evillocalhost.example", False),
        ("127.0.0.1.evil.example", False),
        ("127.0.0.1.", True),
        ("1.2.3", False),
        ("evil.localhost.", True),
        ("localhost@evil.example", False),
        ("", False),
    ],
)
def test_names_that_no_stranger_has(header: str, local: bool) -> None:
    assert (header in Local()) is local


@given(LABELS, LABELS, st.sampled_from(["", ".", ":80", ".:80"]))
def test_what_can_be_bought_is_not_local(label: str, top: str, end: str) -> None:
    if top != "localhost" and not top.isdigit():
        assert f"{label}.{top}{end}" not in Local()


@pytest.mark.parametrize(
    ("header", "listed"),
    [
        ("chat.example", True),
        ("chat.example:8443", True),
        ("CHAT.example.", True),
        ("a.example.com", True),
        ("b.a.example.com:1", True),
        ("[::1]:80", True),
        ("example.com", False),
        ("evilexample.com", False),
        (".example.com", True),
        ("chat.example.evil.example", False),
        ("localhost", False),
        ("127.0.0.1", False),
        ("", False),
    ],
)
def test_names_of_a_list(header: str, listed: bool) -> None:
    hosts = Listed(["chat.example", "*.example.com", "[::1]"])
    assert (header in hosts) is listed


@given(st.text())
def test_any_header_has_an_answer(header: str) -> None:
    assert (header in Listed([])) is False
    assert (header in Local()) in (True, False)


@pytest.mark.parametrize(
    ("entry", "hint"),
    [
        ("https://chat.example", "chat.example"),
        ("chat.example:8000", "chat.example"),
        ("https://chat.example/socket.io", "chat.example"),
        ("Chat.Example", "chat.example"),
        ("chat.example.", "chat.example"),
        ("*", ""),
        ("", ""),
        ("*.*.example", ""),
        ("a b", ""),
    ],
)
def test_entries_that_are_no_names(entry: str, hint: str) -> None:
    text = fault(entry)
    assert text.startswith(f'"{entry}" is not the name of a host')
    assert text.endswith(f'; did you mean "{hint}"?' if hint else "(all sub-domains)")
    with pytest.raises(ValueError, match="is not the name of a host"):
        Listed([entry])
