"""Where a token stands in a request: the Authorization header.

A text in, a text out: nothing is known yet of what it is, nor of where it came from.
"""

from __future__ import annotations


def bearer(header: str | None) -> str | None:
    """The token of an Authorization header (RFC 6750, 2.1); None: there is none in it, and other
    schemes are somebody else's business."""
    scheme, _, token = (header or "").partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None
