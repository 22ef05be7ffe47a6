"""How easily a secret is guessed, as far as its text tells. It is never repeated."""

from __future__ import annotations

import math
import re
from collections import Counter
from itertools import pairwise
from typing import Final

BITS: Final = 80.0
"""What is asked for. What a short text is worth can only be guessed from its signs, and too low:
128 random bits in hexadecimal count as 90 to 120 here, 256 as more than 200."""

_KNOWN: Final = re.compile(
    r"change.?me|changeit|secret|passw(or)?d|example|sample|placeholder|replace.?(me|this)|default|"
    r"insert|\byour[-_ ]|\bmy[-_ ]|test|demo|dummy|sioserver|socket\.?io|qwert[yz]|letmein|admin|"
    r"correct.?horse|lorem.?ipsum|abcdefgh|12345678|aaaa|xxxx|0000",
    re.IGNORECASE,
)


def weakness(secret: str) -> str:
    """Why it is weak, in words that do not tell it; empty: nothing speaks against it."""
    rest = _KNOWN.sub("", secret)
    bits = _bits(secret) if _is_sentence(secret) else _bits(rest)
    if bits >= BITS:
        return ""
    if len(rest) < len(secret):
        return "it is made of words that everybody tries first"
    if re.fullmatch(r"(.{1,16}?)\1+", secret, re.DOTALL):
        return "it repeats itself"
    if _is_sentence(secret):
        return "it reads like a sentence"
    return f"its signs are worth {bits:.0f} bits or so, and {BITS:.0f} are needed"


def _bits(text: str) -> float:
    """What the text may be worth: by how often each sign comes (Shannon), without what follows from
    the signs before it: runs such as abcd and 1111, and repetitions of the whole."""
    kept = text[:1]
    step = run = 0
    for before, sign in pairwise(text):
        ahead = ord(sign) - ord(before)
        run = run + 1 if ahead == step and ahead in (0, 1, -1) else 1
        step = ahead
        if run < 3:
            kept += sign
    for period in range(1, len(kept) // 2 + 1):
        if kept == (kept[:period] * (len(kept) // period + 1))[: len(kept)]:
            kept = kept[:period]
            break
    if _is_sentence(text):
        return 1.5 * len(kept)  # a letter of English (Shannon, 1951)
    counts = Counter(kept)
    return sum(n * math.log2(len(kept) / n) for n in counts.values())


def _is_sentence(text: str) -> bool:
    """Words and numbers, four at least. Signs at random are hardly ever."""
    words = re.split(r"[ _.,;:'-]+", text.strip())
    return len(words) > 3 and all(
        re.fullmatch(r"[A-Z]?[a-z]*|[A-Z]+|[0-9]{1,4}", word) for word in words
    )
