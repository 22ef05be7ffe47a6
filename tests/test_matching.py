"""What a search asks for, and whether a text says it."""

from __future__ import annotations

import unicodedata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sioserver.matching import MAX_TERMS, MAX_TEXT, Query, fold, parse_query, text_of

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("Hello", ("hello",)),
        ("  two   words ", ("two", "words")),
        ('"A  phrase" and', ("a phrase", "and")),
        ('an "open end', ("an", "open end")),
        ('x"y z"w', ("x", "y z", "w")),
        ("same SAME", ("same",)),
        ('"" a', ("a",)),
        ("AND OR NOT NEAR(a*) -b ^c col:d", None),
        ("Straße", ("strasse",)),
        ("\uff28\uff25\uff2c\uff2c\uff2f", ("hello",)),  # full width
        ("你好 世界", ("你好", "世界")),
        ("a\x00b\x1fc\u3000d", ("a", "b", "c", "d")),
    ],
)
def test_queries(text: str, terms: tuple[str, ...] | None) -> None:
    expected = tuple(text.lower().split()) if terms is None else terms
    assert parse_query(text) == Query(expected)


@pytest.mark.parametrize(
    "text",
    ["", "  ", '"', '""""', "\0", "x" * 201, " ".join("abcdefghi"), "a\ud800", "\ufdfa" * 100],
)
def test_what_is_no_query(text: str) -> None:
    with pytest.raises(ValueError, match="query"):
        parse_query(text)


@given(TEXTS, TEXTS, TEXTS)
def test_a_text_says_its_words(before: str, word: str, behind: str) -> None:
    text = fold(f"{before} {word} {behind}")
    for query in (word, f'"{word}"'.replace('"', ""), word.upper()):
        try:
            found = parse_query(query)
        except ValueError:
            continue
        if unicodedata.normalize("NFKC", query.casefold()) == unicodedata.normalize(
            "NFKC", word.casefold()
        ) and '"' not in fold(query):
            assert found.matches(text)


@given(TEXTS)
def test_folding_twice_changes_nothing(text: str) -> None:
    assert fold(fold(text)) == fold(text)
    assert "\n" not in fold(text)
    assert fold(text) == fold(unicodedata.normalize("NFD", text))


@given(TEXTS)
def test_a_query_is_bounded(text: str) -> None:
    try:
        query = parse_query(text)
    except ValueError:
        return
    assert 0 < len(query.terms) <= MAX_TERMS
    assert all(term == fold(term) and term for term in query.terms)


def test_all_has_to_occur() -> None:
    text = fold("The quick  brown\nfox")
    for query in ("quick fox", "OWN", '"quick brown"', "brown fox the"):
        assert parse_query(query).matches(text)
    for query in ("quick cat", '"quick fox"'):
        assert not parse_query(query).matches(text)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("Hi  THERE", "hi there"),
        (None, ""),
        (7, ""),
        (b"bytes", ""),
        ({"text": "One", "more": {"key": ["Two", 3, {"x": "Three"}]}, "n": 1}, "one\ntwo\nthree"),
        ([["a"], "b", "", " "], "a\nb"),
    ],
)
def test_what_a_body_says(body: Any, text: str) -> None:
    assert text_of(body) == text


def test_of_a_long_body_only_the_beginning_counts() -> None:
    assert text_of("x" * MAX_TEXT + "y") == "x" * MAX_TEXT
    parts = text_of(["x" * 6000] * 3)
    assert len(parts) <= MAX_TEXT
    assert parts.startswith("x" * 6000 + "\nx")
    assert len(text_of("\ufdfa" * MAX_TEXT)) <= MAX_TEXT  # which is 18 characters, written out


def test_a_deep_body_is_read() -> None:
    body: Any = "found"
    for _ in range(10_000):
        body = [body]
    assert text_of(body) == "found"
