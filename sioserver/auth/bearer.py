"""Where a token stands in a request: the Authorization header; or the query, where it should not.

A text in, a text out: nothing is known yet of what it is, nor of where it came from.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

FIELDS: Final = ("token", "access_token")
"""Fields of the query that tokens are put into: the second is that of RFC 6750, 2.3."""


def bearer(header: str | None) -> str | None:
    """The token of an Authorization header (RFC 6750, 2.1); None: there is none in it, and other
    schemes are somebody else's business."""
    scheme, _, token = (header or "").partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None


def token_in(query: Mapping[str, str]) -> str | None:
    """The token in a request's query, where logs, histories and proxies keep it."""
    return next((query[field] for field in FIELDS if field in query), None)
