"""The protocol as types: each event, what comes with it and what answers it looks like.

It is what documents and other programs are made from (`asyncapi`, `typescript`), and what tests
hold the server to. The server itself reads requests with `wire.requests` and builds what it tells
with `wire.events` and `wire.answers`; that all three agree is proven by tests.
"""

from sioserver.protocol.registry import (
    CLIENT_EVENTS,
    SERVER_EVENTS,
    ClientEvent,
    Place,
    ServerEvent,
)

__all__ = ["CLIENT_EVENTS", "SERVER_EVENTS", "ClientEvent", "Place", "ServerEvent"]
