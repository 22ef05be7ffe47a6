"""What the families of requests have in common: the shape of a handler, and of a table of them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec

from sioserver.connections.clients import ConnectedClient

Answer = dict[str, Any]
"""The ack's object: {ok: true, ...}."""

Handler = Callable[[ConnectedClient, list[Any]], Awaitable[Answer]]
"""Reads its arguments, does what they ask for, and answers. Raises `Refusal`."""

Handlers = Mapping[str, Handler]
"""By the name of the event."""


class Pages(msgspec.Struct, frozen=True):
    """How much one answer may carry."""

    messages: int
    """Messages in a page of history."""
    binaries: int
    """Binaries in their bodies."""
    bytes: int
    """Bytes of their bodies."""
