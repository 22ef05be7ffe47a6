"""What passes as a user id, and what is left of a name."""

import time
import unicodedata

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from sioserver.auth import MAX_NAME, check_user_id, clean_name


@pytest.mark.parametrize(
    "text",
    ["a", "alice@example.org", "Al Ice", "*", "@me", "Jürgen", "李明", "สมชาย", "नमस्ते", "שָׁלוֹם",
     "محمد", "🐙", "x" * 128, "guest", "Guest:1", "a:b", "Việt", "<b>", "../x", "constructor"],
)  # fmt: skip
def test_ids(text: str) -> None:
    assert check_user_id(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x" * 129,
        " a",
        "a ",
        "a\tb",
        "a\nb",
        "a\x00b",
        "a\x1bb",
        "a\x7fb",
        "a\x85b",
        "a\u00a0b",
        "a\u00adb",  # soft hyphen
        "a\u200bb",  # zero width: space, non-joiner, joiner, word joiner, BOM
        "a\u200cb",
        "a\u200db",
        "a\u2060b",
        "a\ufeffb",
        "a\u200eb",  # direction: marks, embeddings, overrides, isolates
        "a\u061cb",
        "a\u202ab",
        "a\u202eb",
        "a\u2066b",
        "a\u2069b",
        "a\u2028b",
        "a\u3000b",
        "a\u3164b",  # seen as nothing: filler, variation selector, tag, grapheme joiner, Braille
        "a\ufe0fb",
        "a\U000e0041b",
        "a\U000e0100b",
        "a\u034fb",
        "a\u2800b",
        "a\ud800b",
        "a\udfff",
        "a\ue000b",  # private use
        "a\uffffb",
        "a\u0378b",  # unassigned
        "e\u0301",  # not NFC
        "\u212b",
        "\u0301a",  # a mark on nothing
        "a \u0301b",
        "a" + "\u0301\u0316" * 3,  # a flood
        "a" + "\u0489" * 100,
        "guest:1",
        "guest:",
        "__proto__",
    ],
)
def test_what_is_no_id(text: str) -> None:
    with pytest.raises(ValueError, match="a user id"):
        check_user_id(text)


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("Alice", "Alice"),
        ("  Alice \t Liddell\n", "Alice Liddell"),
        ("e\u0301", "é"),
        ("e\u200b\u0301", "é"),  # composed only after what stood between has gone
        ("\u202eecilA\u202c", "ecilA"),
        ("A\u200bl\u200di\u2060c\ufeffe", "Alice"),
        ("A\0l\x1b[31mice", "Al[31mice"),
        ("Al\ud83dice", "Alice"),
        ("Al\u00adice", "Alice"),
        ("a\u00a0\u3000\u2028b", "a b"),
        ("a \u200b b", "a b"),
        ("\u3164\u3164", ""),
        ("\u0301\u0301", ""),
        (" \u0301 \u0301x", "x"),
        ("", ""),
        ("   ", ""),
        ("x" * 200, "x" * 128),
        ("x" * 127 + " y", "x" * 127),
        ("z" + "\u0316" * 10_000, "z" + "\u0316" * 4),
        ("Z" + "\u0316\u0301" * 5 + "y", "Ź" + "\u0316\u0316\u0301y"),
        ("<img src=x onerror=alert(1)>", "<img src=x onerror=alert(1)>"),  # the page escapes
        ("🐙", "🐙"),
    ],
)
def test_names(text: str, cleaned: str) -> None:
    if text.startswith("Z\u0316"):  # which marks are left depends on their order: not how many
        assert sum(unicodedata.combining(sign) > 0 for sign in clean_name(text)) <= 4
        assert clean_name(text).startswith("Ź")
    else:
        assert clean_name(text) == cleaned


ANYTHING = st.text(
    st.characters() | st.characters(categories=["Cs", "Cf", "Cc", "Mn"]), max_size=60
)


@settings(deadline=None)
@given(ANYTHING, st.integers(1, 40))
@example("\u1100\u1161" + "\u0301" * 6 + "\u11a8", 40)
def test_a_cleaned_name_is_clean(text: str, limit: int) -> None:
    name = clean_name(text, limit)
    assert len(name) <= limit
    assert name.isprintable()
    assert name == name.strip()
    assert unicodedata.is_normalized("NFC", name)
    assert clean_name(name, limit) == name
    name.encode()


@settings(deadline=None)
@given(ANYTHING)
@example("_proto__")
def test_an_id_and_its_name_are_one(text: str) -> None:
    """What passes as an id is shown as it is; what is changed in a name does not pass as an id."""
    try:
        check_user_id(text)
    except ValueError:
        # these are not ids for what they mean, and not for what they look like
        assume(not text.startswith("guest:") and text != "__proto__")
        assume(0 < len(text) <= MAX_NAME)
        assert clean_name(text) != text
    else:
        assert clean_name(text) == text


def test_a_huge_name_is_cheap() -> None:
    began = time.process_time()
    clean_name("a" + "\u0301\u0316" * 500_000)
    assert time.process_time() - began < 0.5
