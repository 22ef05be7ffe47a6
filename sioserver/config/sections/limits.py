"""What one client may cost: sizes, numbers, rates and patience.

How a limit is kept, and what happens when it is reached, is not known here.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from sioserver.config.sections.settings import AtLeastOne, Count, Positive, Rate, Section, about


class Limits(Section, frozen=True):
    """What one client may cost. Every limit has a counter in /metrics."""

    enabled: Annotated[
        bool, about("false switches the rate limits off (for benchmarks); sizes stay.")
    ] = True
    max_body: Annotated[AtLeastOne, about("Largest message body.")] = 65_536
    max_payload: Annotated[
        Annotated[int, Meta(ge=1024, le=2_147_483_647)],
        about("Largest packet or polling body; clients are told it as maxPayload."),
    ] = 1_000_000
    client_queue: Annotated[
        Annotated[int, Meta(ge=16_384, le=2_147_483_647)],
        about(
            "Bytes that may wait for a client that reads slowly. Events of rooms may take half of "
            "it; then they are given to the client from the log, at its own pace. Answers may "
            "take all of it; then it is closed."
        ),
    ] = 1_048_576
    slow_after: Annotated[
        Positive,
        about(
            "A client that is behind and has taken nothing of what waits for it for this long is "
            "closed; it may come back and is given what it missed."
        ),
    ] = 20.0
    memory: Annotated[
        Annotated[float, Meta(ge=0, le=1e15)],
        about(
            "Memory of the process above which no new connections come in: up to 1 a share of what "
            "the machine or the container has, divided among the workers; above 1 a number of "
            "bytes; 0 means no limit. Linux only."
        ),
    ] = 0.85
    http_connections: Annotated[
        Count,
        about(
            "HTTP connections to this node, those of polling clients and those without a session; "
            "0 means no limit. Then idle ones are closed."
        ),
    ] = 50_000
    address_http_connections: Annotated[
        Count,
        about(
            "HTTP connections from one address (IPv6: from one /64); 0 means no limit. Loopback "
            "and trusted proxies are not counted."
        ),
    ] = 4000
    tls_handshakes: Annotated[
        Count,
        about(
            "Connections to this node that have not finished their TLS handshake; 0 means no "
            "limit. Then the oldest is closed."
        ),
    ] = 4000
    address_tls_handshakes: Annotated[
        Count,
        about(
            "The same from one address (IPv6: from one /64); 0 means no limit. Loopback and "
            "trusted proxies are not counted."
        ),
    ] = 1000
    header_timeout: Annotated[
        Positive, about("The head of an HTTP request has to be there by then.")
    ] = 10.0
    body_timeout: Annotated[
        Positive, about("The body of an HTTP request has to be there by then.")
    ] = 30.0
    keepalive_timeout: Annotated[
        Positive,
        about(
            "An HTTP connection without a request is kept this long; longer than a proxy in front "
            "keeps it."
        ),
    ] = 75.0
    max_line: Annotated[
        Annotated[int, Meta(ge=1024, le=1_048_576)],
        about("Longest line in the head of an HTTP request: the address, or a header."),
    ] = 8190
    max_headers: Annotated[
        Annotated[int, Meta(ge=16, le=10_000)], about("Headers of an HTTP request.")
    ] = 128
    max_head: Annotated[
        Annotated[int, Meta(ge=1024, le=16_777_216)],
        about("Largest head of an HTTP request, all of its lines together."),
    ] = 32_768
    rooms: Annotated[
        Count,
        about(
            "Rooms in which something is kept; then no new ones are made. 0 means no limit, here "
            "and in the next two."
        ),
    ] = 1_000_000
    rooms_per_user: Annotated[Count, about("Rooms that a user is a member of.")] = 1000
    followed_rooms: Annotated[
        Count,
        about(
            "Rooms of a user, the first by name, of which their sessions (`/@me`) are told how "
            "many messages are unread whenever that changes; 0: none."
        ),
    ] = 100
    members_per_room: Annotated[Count, about("Members of a room.")] = 100_000
    rooms_per_connection: Annotated[AtLeastOne, about("Rooms that one connection may be in.")] = 64
    connections: Annotated[Count, about("Connections to this node; 0 means no limit.")] = 100_000
    address_connections: Annotated[
        Count,
        about(
            "Connections from one address (IPv6: from one /64); 0 means no limit. Loopback is not "
            "counted."
        ),
    ] = 2000
    user_connections: Annotated[
        Count,
        about("Connections of one user with a token to this node; 0 means no limit."),
    ] = 100
    accept_rate: Annotated[Rate, about("New connections per second of this node.")] = 1000.0
    accept_burst: Annotated[AtLeastOne, about("New connections that may come at once.")] = 2000
    address_accept_rate: Annotated[
        Rate, about("New connections per second from one address (IPv6: /64); not of loopback.")
    ] = 100.0
    address_accept_burst: Annotated[
        AtLeastOne, about("New connections from one address that may come at once.")
    ] = 1000
    auth_failure_rate: Annotated[
        Rate,
        about(
            "Tokens per second from one address (IPv6: /64) that may be no good; then none is "
            "looked at for a moment. Not of loopback."
        ),
    ] = 2.0
    auth_failure_burst: Annotated[
        AtLeastOne, about("Tokens from one address that may be no good at once.")
    ] = 100
    unknown_session_rate: Annotated[
        Rate,
        about(
            "Requests per second for sessions that are not there, from one address (IPv6: /64); "
            "not of loopback."
        ),
    ] = 20.0
    unknown_session_burst: Annotated[
        AtLeastOne,
        about("Such requests from one address at once: each client has one after a restart."),
    ] = 4000
    connect_timeout: Annotated[
        Positive, about("A connection that has joined no room by then is closed.")
    ] = 10.0
    upgrade_timeout: Annotated[
        Positive, about("An upgrade to WebSocket has to be finished by then.")
    ] = 10.0
    inbox: Annotated[
        AtLeastOne,
        about("Events of a connection that may wait for an earlier one; then it is not read."),
    ] = 256
    poll_packets: Annotated[
        AtLeastOne, about("Packets that one POST of a polling client may bring.")
    ] = 10_000
    event_rate: Annotated[Rate, about("Events per second of a connection.")] = 200.0
    event_burst: Annotated[AtLeastOne, about("Events that a connection may send at once.")] = 2000
    user_event_rate: Annotated[
        Rate, about("Events per second of a user, over all connections to a node.")
    ] = 400.0
    user_event_burst: Annotated[AtLeastOne, about("Events that a user may send at once.")] = 4000
    refused_rate: Annotated[
        Rate, about("Refused requests per second of a connection; with more it is closed.")
    ] = 2.0
    refused_burst: Annotated[
        AtLeastOne, about("Requests of a connection that may be refused at once.")
    ] = 20
    message_rate: Annotated[
        Rate,
        about("Messages per second of a user in a room; edits, deletes and reactions count too."),
    ] = 50.0
    message_burst: Annotated[AtLeastOne, about("Messages that a user may post at once.")] = 500
    mention_rate: Annotated[
        Rate, about("People that a user may mention per second, over all messages.")
    ] = 5.0
    mention_burst: Annotated[
        Annotated[int, Meta(ge=50, le=2_147_483_647)],
        about("People that a user may mention at once; one message mentions at most 50."),
    ] = 200
    search_rate: Annotated[
        Rate, about("Searches per second of a user, over all rooms and connections to a node.")
    ] = 1.0
    search_burst: Annotated[AtLeastOne, about("Searches of a user at once.")] = 20
    direct_rate: Annotated[
        Rate,
        about(
            "Conversations (`/@dm/…`) per second that a user may begin: the first message to "
            "somebody makes them a member of the room of the two."
        ),
    ] = 0.05
    direct_burst: Annotated[AtLeastOne, about("Conversations that a user may begin at once.")] = 50
    reactions: Annotated[
        AtLeastOne, about("Reactions of all users, each with one emoji, on one message.")
    ] = 1000
