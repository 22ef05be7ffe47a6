"""The token in an Authorization header."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sioserver.auth.bearer import bearer, token_in


@pytest.mark.parametrize(
    ("header", "token"),
    [
        (None, None),
        ("", None),
        ("Bearer", None),
        ("Bearer ", None),
        ("Bearer a.b.c", "a.b.c"),
        ("bEARER   a.b.c ", "a.b.c"),
        ("Bearer\ta.b.c", None),
        ("Basic YTpi", None),
        ("Bearers a", None),
        ("a.b.c", None),
    ],
)
def test_only_that_of_the_scheme(header: str | None, token: str | None) -> None:
    assert bearer(header) == token


@given(st.text(min_size=1).filter(lambda text: text == text.strip()))
def test_it_is_kept_as_it_is(token: str) -> None:
    assert bearer(f"Bearer {token}") == token


@pytest.mark.parametrize(
    ("query", "token"),
    [
        ({}, None),
        ({"EIO": "4", "tokens": "x"}, None),
        ({"token": "x"}, "x"),
        ({"access_token": "y"}, "y"),
        ({"token": ""}, ""),
    ],
)
def test_a_token_in_the_query(query: dict[str, str], token: str | None) -> None:
    assert token_in(query) == token
