"""What a search asks for, and whether a text says it: the one rule for every engine.

A text is compared in Unicode form NFKC without case (UAX #15, Unicode 3.13), each run of white
space as one space. A query has words and "phrases"; all of them have to occur, anywhere, also
within a word. Nothing in it is an operator. Values in, values out: no store and no wire is known.
"""

from __future__ import annotations

import re
from typing import Any, Final
from unicodedata import normalize

import msgspec

MAX_QUERY: Final = 200
"""Characters of a query, as it is given and as it is compared."""
MAX_TERMS: Final = 8
"""Words and phrases of a query."""
MAX_TEXT: Final = 10_000
"""Characters of a message that are looked at."""

_TERMS: Final = re.compile(r'"([^"]*)"?|([^\s"]+)')


class Query(msgspec.Struct, frozen=True):
    """What is looked for."""

    terms: tuple[str, ...]
    """Each as `fold` makes it, none empty."""

    def matches(self, text: str) -> bool:
        """Does a text that was folded say all of it?"""
        return all(term in text for term in self.terms)


def parse_query(text: str) -> Query:
    """Read a query; raises ValueError that says what is wrong with it."""
    if len(text) > MAX_QUERY:
        raise ValueError(f"a query has at most {MAX_QUERY} characters")
    try:
        text.encode()
    except UnicodeEncodeError:  # half a surrogate pair
        raise ValueError("a query is text") from None
    text = fold(text)
    if len(text) > MAX_QUERY:
        raise ValueError(f"a query has at most {MAX_QUERY} characters, written out")
    found = (phrase.strip() or word for phrase, word in _TERMS.findall(text))
    terms = tuple(dict.fromkeys(term for term in found if term))
    if not terms:
        raise ValueError("a query has a word at least")
    if len(terms) > MAX_TERMS:
        raise ValueError(f"a query has at most {MAX_TERMS} words and phrases")
    return Query(terms)


def fold(text: str) -> str:
    """A text as it is compared."""
    if text.isascii():
        text = text.lower()
    else:
        # once more, for what folding has taken apart
        text = normalize("NFKC", normalize("NFKC", text).casefold())
    return " ".join(text.replace("\0", " ").split())


def text_of(body: Any) -> str:
    """What a message's body says, folded: a text, or all texts in lists and in the values of
    objects, a line each. Bytes, numbers and the names of fields say nothing."""
    if isinstance(body, str):
        return fold(body[:MAX_TEXT])[:MAX_TEXT]
    lines: list[str] = []
    space = MAX_TEXT
    rest = [body]  # not recursively: whatever is stored can be read
    while rest and space > 0:
        one = rest.pop()
        if isinstance(one, str):
            line = fold(one[:space])[:space]
            if line:
                lines.append(line)
                space -= len(line) + 1
        elif isinstance(one, dict):
            rest.extend(reversed(one.values()))
        elif isinstance(one, list | tuple):
            rest.extend(reversed(one))
    return "\n".join(lines)
