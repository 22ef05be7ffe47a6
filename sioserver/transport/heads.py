"""Heads of HTTP requests that are known, as bytes with gaps.

The polls and posts of one client differ in two places: the mark `t` and the Content-Length. What
has the same bytes everywhere else is the same request to any parser that read the first one, so
nothing here has to know what the bytes mean. Pure: bytes in, values out.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple, Self

LARGEST: Final = 8192
"""Bytes of a head that is worth keeping; two of them are kept for a session."""

LONGEST_MARK: Final = 64
LONGEST_LENGTH: Final = 10

END: Final = b"\r\n\r\n"

_WHOSE: Final = re.compile(rb"(?:GET|POST) /[^ ]*[?&]sid=([\w-]+)")
_MARK: Final = re.compile(rb"(?<=[?&])t=([\w.-]*)(?=[& ])")
_LENGTH: Final = re.compile(rb"\r\ncontent-length: ([0-9]+)(?=\r\n)", re.IGNORECASE)


def whose(data: bytes) -> str | None:
    """The id of the session that a request which begins here is for, if it looks like a poll or a
    post. Only a guess at whose heads to compare it with."""
    found = _WHOSE.match(data)
    return None if found is None else found[1].decode()


class Form(NamedTuple):
    """What the answers to all requests with one head have in common."""

    fields: bytes
    """Header lines."""
    coding: str
    """How the body is compressed if it is worth it; empty: never."""


class Fit(NamedTuple):
    """What stands in the gaps of a head."""

    end: int
    """Where the head ends and the body begins."""
    mark: str | None
    length: int
    """Bytes of the body."""


class Head(NamedTuple):
    """A known head."""

    before: bytes
    between: bytes
    after: bytes
    """Before the mark, between it and the Content-Length, and behind that; without a mark or a
    length the gap is not there, and its right-hand side is empty."""
    marked: bool
    form: Form
    way: object
    """What else its request was admitted for: the connections that are equal in this."""

    @classmethod
    def read(cls, head: bytes, marks: list[str], form: Form, way: object) -> Self | None:
        """Make a head known. `marks`: the query's values of `t`, as an HTTP library reads them.
        None for one that is not that simple."""
        line = head.find(b"\r\n")
        found = list(_MARK.finditer(head, 0, line))
        lengths = list(_LENGTH.finditer(head, line))
        if len(head) > LARGEST or not head.endswith(END) or [m[1].decode() for m in found] != marks:
            return None
        if len(found) > 1 or len(lengths) != head.startswith(b"POST "):
            return None
        # the end of the head stands for a gap that is not there
        length_begins, length_ends = lengths[0].span(1) if lengths else (len(head),) * 2
        mark_begins, mark_ends = found[0].span(1) if found else (length_begins,) * 2
        return cls(
            head[:mark_begins],
            head[mark_ends:length_begins],
            head[length_ends:],
            bool(found),
            form,
            way,
        )

    def fit(self, data: bytes) -> Fit | None:
        """What stands in the gaps, if `data` begins with this head."""
        before, between, after = self.before, self.between, self.after
        mark, length = None, 0
        end = len(before)
        if not data.startswith(before):
            return None
        if self.marked:
            begins = end
            end = data.find(between, begins, begins + LONGEST_MARK + len(between))
            if end < 0:
                return None
            mark = data[begins:end].decode("latin-1")
            if not _plain(mark):
                return None
            end += len(between)
        if after:
            begins = end
            end = data.find(after, begins, begins + LONGEST_LENGTH + len(after))
            digits = data[begins:end]
            if end < 0 or not digits.isdigit():
                return None
            length = int(digits)
            end += len(after)
        return Fit(end, mark, length)


def _plain(mark: str) -> bool:
    """Is it nothing that a parser could take for more than a value?"""
    if not mark.isascii():
        return False
    return mark.isalnum() or mark.replace("-", "").replace(".", "").replace("_", "").isalnum()
