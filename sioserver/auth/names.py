"""User ids and display names: what passes, and what is left out of a name.

Knows texts only: neither tokens nor who asks.
"""

from __future__ import annotations

import unicodedata
from typing import Final

from sioserver.characters import INVISIBLE, MAX_MARKS

MAX_NAME: Final = 128

GUEST: Final = "guest:"
"""User ids that begin so are made up by the server and can be claimed by nobody."""


def check_user_id(text: str) -> str:
    """Return the id as it is, or raise ValueError. Nothing is repaired: two texts that were made
    equal by the server would be two people with one account."""
    if not 0 < len(text) <= MAX_NAME:
        raise ValueError(f"a user id has 1 to {MAX_NAME} characters")
    # no control, bidi, zero-width, private or unassigned sign, no surrogate, no space but " "
    if not text.isprintable() or INVISIBLE.search(text):
        raise ValueError("a user id has visible characters only")
    if text[0] == " " or text[-1] == " ":
        raise ValueError("a user id does not begin or end with a space")
    if not unicodedata.is_normalized("NFC", text):
        raise ValueError("a user id is in Unicode form NFC")
    if _thin_out(text) != text:
        raise ValueError(f"a user id has at most {MAX_MARKS} marks on a letter")
    if text.startswith(GUEST):
        raise ValueError(f"a user id does not begin with {GUEST!r}")
    if text == "__proto__":
        # pages keep people by their ids, and not all of them in a Map
        raise ValueError("a user id is not __proto__, which breaks JavaScript objects kept by name")
    return text


def clean_name(text: str, limit: int = MAX_NAME) -> str:
    """A name as others may see it: whatever could deceive or paint over them is left out.

    The result is in form NFC, has at most `limit` characters and may be empty.
    """
    text = text[: 4 * limit]  # normalizing takes quadratic time on a flood of marks
    words = " ".join(text.split())
    if not words.isascii() or not words.isprintable():
        seen = "".join(sign for sign in words if sign.isprintable())
        seen = unicodedata.normalize("NFC", INVISIBLE.sub("", seen))
        words = " ".join(_thin_out(seen).split())
    return words[:limit].rstrip()


def _thin_out(text: str) -> str:
    """Without marks that have no letter to stand on, or too many neighbours."""
    if text.isascii():
        return text
    kept: list[str] = []
    marks = MAX_MARKS  # at the beginning and behind a space there is no letter
    for sign in text:
        if unicodedata.category(sign) in ("Mn", "Me"):
            marks += 1
            if marks > MAX_MARKS:
                continue
        else:
            marks = MAX_MARKS if sign == " " else 0
        kept.append(sign)
    return "".join(kept)
