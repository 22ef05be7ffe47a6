"""What shows as nothing is found, and what shows is not."""

from __future__ import annotations

import unicodedata

from sioserver.characters import INVISIBLE, MAX_MARKS


def test_none_of_them_is_filed_under_what_does_not_show() -> None:
    """Those are found by their category; these are the rest."""
    found = [sign for sign in map(chr, range(0x110000)) if INVISIBLE.fullmatch(sign)]
    assert len(found) > 250
    assert {unicodedata.category(sign)[0] for sign in found} <= set("LMSC")
    fillers = [sign for sign in found if "FILLER" in unicodedata.name(sign, "")]
    assert len(fillers) >= 4
    selectors = [sign for sign in found if "VARIATION SELECTOR" in unicodedata.name(sign, "")]
    assert len(selectors) >= 256


def test_letters_are_not() -> None:
    for text in ("ada", "Ада", "部屋", "नमस्ते", "שלום", "กิ้ง", "🙂"):
        assert not INVISIBLE.search(text)


def test_living_scripts_have_as_many_marks() -> None:
    for word in ("กิ้ง", "Việt", "שָׁלוֹם", "हिन्दी"):
        marks = most = 0
        for sign in unicodedata.normalize("NFD", word):
            marks = marks + 1 if unicodedata.category(sign) in ("Mn", "Me") else 0
            most = max(most, marks)
        assert 0 < most <= MAX_MARKS
