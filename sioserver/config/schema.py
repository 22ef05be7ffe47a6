"""Every setting there is, typed, with its default, its bounds and its meaning.

The example file, the table in docs/configuration.md and the check of a file are all made from
these structs. Times are seconds, sizes are bytes. This module must not know where values come
from: no file, no environment and no command line is read here.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

from msgspec import Meta, Struct, field

# The upper bounds are far from anything useful; they keep timers and 64-bit columns out of trouble.
Seconds = Annotated[float, Meta(ge=0, le=315_360_000)]
Positive = Annotated[float, Meta(gt=0, le=315_360_000)]
Rate = Annotated[float, Meta(gt=0, le=1_000_000_000)]
RateOrZero = Annotated[float, Meta(ge=0, le=1_000_000_000)]
Count = Annotated[int, Meta(ge=0, le=2_147_483_647)]
AtLeastOne = Annotated[int, Meta(ge=1, le=2_147_483_647)]
Port = Annotated[int, Meta(ge=0, le=65535)]


class Section(Struct, forbid_unknown_fields=True, frozen=True):
    """A table of the configuration file."""


def about(text: str, *, secret: bool = False) -> Meta:
    """A setting's meaning, for the example file and the docs; a secret is never printed."""
    return Meta(description=text, extra={"secret": secret})


class Server(Section, frozen=True):
    """Where the server listens and whom it believes."""

    host: Annotated[
        str, about("Address to listen on. Other than loopback needs tokens: [auth].")
    ] = "127.0.0.1"
    port: Annotated[Port, about("Port to listen on; 0 takes a free one and prints it.")] = 8000
    path: Annotated[str, about("Path of the Socket.IO endpoint, the same as in the clients.")] = (
        "/socket.io"
    )
    origins: Annotated[
        list[str],
        about(
            "Origins of pages on other sites that may connect, besides those from this server: "
            '"https://app.example", "https://*.example.com" (all sub-domains, not example.com '
            'itself), "http://localhost:*" (any port).'
        ),
    ] = []
    insecure_any_origin: Annotated[
        bool,
        about(
            "Let pages of every site connect: any page that somebody looks at can then reach this "
            "server from where they are."
        ),
    ] = False
    hosts: Annotated[
        list[str],
        about(
            "Names under which the server may be asked, without port: "
            '"chat.example", "*.example.com" (all sub-domains). Empty: any; but where `host` is '
            "loopback, only addresses, localhost and names without a dot, unless a trusted proxy "
            "asks."
        ),
    ] = []
    trusted_proxies: Annotated[
        list[str],
        about(
            "Addresses or networks of reverse proxies whose X-Forwarded-For/-Proto/-Host "
            "headers are believed."
        ),
    ] = []
    web: Annotated[bool, about("Serve the page at /.")] = True
    metrics: Annotated[
        Literal["open", "admin"],
        about(
            "Who may read /metrics: everybody, or who shows an API key (for metrics, or for "
            "everything) or a token that permits admin."
        ),
    ] = "open"
    frame_ancestors: Annotated[
        list[str],
        about(
            "Origins of pages that may show the page in a frame, written like `origins`; "
            '"self" is this server. Empty: none.'
        ),
    ] = []
    hsts: Annotated[
        Seconds,
        about(
            "Over TLS (also a trusted proxy's), browsers are told to come back over TLS only for "
            "this long (HSTS); it holds for all ports of the host. 0: they are not told."
        ),
    ] = 30 * 86400.0
    workers: Annotated[
        Annotated[int, Meta(ge=1, le=1024)],
        about(
            "Processes that serve. More than one without a redis.url: they share a private Valkey, "
            "whose data lie beside the store."
        ),
    ] = 1


class Tls(Section, frozen=True):
    """Encryption at server.host and server.port: https:// and wss:// without a proxy in front."""

    cert: Annotated[
        str,
        about(
            "PEM file with the server's certificate, then those that it was signed with. Empty: "
            "no TLS."
        ),
    ] = ""
    key: Annotated[
        str, about("PEM file with the certificate's private key. Empty: it is in `cert` too.")
    ] = ""
    password: Annotated[str, about("Password of an encrypted key.", secret=True)] = ""
    min_version: Annotated[
        Literal["1.2", "1.3"], about("Oldest version of TLS that clients may speak.")
    ] = "1.2"


Algorithm = Literal[
    "HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512",
    "ES256", "ES384", "ES512", "EdDSA",
]  # fmt: skip


KEY_SOURCES: Final = "auth.secret, auth.public_keys or auth.jwks"
"""For messages: what one of has to be set, so that tokens can be verified."""


class Auth(Section, frozen=True):
    """Who a client is. Tokens are JWTs; with neither a secret nor keys nobody has one, and
    everybody is anonymous."""

    secret: Annotated[
        str,
        about(
            "Secret that your backend signs tokens with: HS256 from 32 bytes on, HS384 from 48, "
            "HS512 from 64.",
            secret=True,
        ),
    ] = ""
    old_secrets: Annotated[
        list[str],
        about(
            "Earlier secrets, whose tokens count until they expire (at most 8).",
            secret=True,
        ),
    ] = []
    public_keys: Annotated[
        list[str],
        about(
            "PEM files (at most 16), each with a public key or certificate that verifies tokens: "
            "RS and PS algorithms (RSA from 2048 bits on), ES (P-256, P-384, P-521), EdDSA "
            "(Ed25519, Ed448)."
        ),
    ] = []
    jwks: Annotated[
        str,
        about(
            "JSON Web Key Set of an issuer: its address (https://, or http:// on this machine), "
            "which is asked while the server runs, or a file."
        ),
    ] = ""
    jwks_refresh: Annotated[
        Positive, about("Pause between two fetches of the key set at an address.")
    ] = 600.0
    jwks_cooldown: Annotated[
        Positive,
        about(
            "A token with an unknown `kid` makes the server fetch the key set anew, but at most "
            "once in this time."
        ),
    ] = 10.0
    algorithms: Annotated[
        list[Algorithm],
        about(
            "The only algorithms that are taken. Empty: those that fit the kind of each key, as "
            "it is always."
        ),
    ] = []
    audience: Annotated[str, about("Tokens must carry this `aud`. Empty: not checked.")] = ""
    issuer: Annotated[str, about("Tokens must carry this `iss`. Empty: not checked.")] = ""
    leeway: Annotated[Seconds, about("Clock skew that is forgiven in `exp`, `nbf`, `iat`.")] = 5.0
    max_lifetime: Annotated[
        Positive,
        about("Tokens must not live longer than this, from `iat` (or from now) to `exp`."),
    ] = 400 * 86400.0
    anonymous: Annotated[
        bool,
        about(
            "Where there are tokens: let clients without one in too, as guests, into the rooms "
            "that allow it."
        ),
    ] = False
    insecure_anonymous: Annotated[
        bool,
        about("Let everybody in on a public address: nobody has to show a token."),
    ] = False
    allow_query_token: Annotated[
        bool,
        about(
            "Take tokens from the address too (`?token=` or `?access_token=`), where proxies and "
            "others log them."
        ),
    ] = False
    expiry_notice: Annotated[
        Seconds, about("A client is told this long before its token expires.")
    ] = 60.0
    recovery_max_age: Annotated[
        Positive,
        about(
            "How long, counted from when it began, a connection can be recovered under its old "
            "session id. What it missed is replayed afterwards too."
        ),
    ] = 30 * 86400.0

    @property
    def takes_tokens(self) -> bool:
        """Is there anything to verify tokens with?"""
        return bool(self.secret or self.old_secrets or self.public_keys or self.jwks)

    @property
    def jwks_is_url(self) -> bool:
        """Is the key set at an address, and not in a file?"""
        return "://" in self.jwks


class Api(Section, frozen=True):
    """The HTTP API, at /api/."""

    keys: Annotated[
        list[str],
        about(
            "API keys, each as NAME:WHAT:sha256:HASH, where WHAT is what it is for: admin, rooms "
            "or metrics; `sioserver apikey make NAME --for WHAT` makes one. Without any, and "
            "without tokens, there is no such API."
        ),
    ] = []


class RoomRule(Section, frozen=True):
    """The rules of the rooms whose name matches a pattern. The first match wins."""

    match: Annotated[str, about("Shell pattern of room names; `*` also matches `/`.")] = "*"
    history_length: Annotated[Count, about("Messages kept; 0 keeps none.")] = 10_000
    history_age: Annotated[
        Seconds, about("Age after which messages are dropped; 0 keeps them for ever.")
    ] = 30 * 86400.0
    presence: Annotated[bool, about("Tell who comes and goes and who is online.")] = True
    public: Annotated[
        bool,
        about("List these rooms in the directory, for those who may join them."),
    ] = False
    anonymous: Annotated[bool, about("Let anonymous users in, where auth allows them.")] = True
    join: Annotated[list[str], about("Patterns of the user ids that may join.")] = field(
        default_factory=lambda: ["*"]
    )
    post: Annotated[list[str], about("Patterns of the user ids that may post.")] = field(
        default_factory=lambda: ["*"]
    )
    history: Annotated[
        list[str], about("Patterns of the user ids that may read what was before they came.")
    ] = field(default_factory=lambda: ["*"])
    moderate: Annotated[
        list[str],
        about(
            "Patterns of the user ids that may moderate with a token that has no `perms`; one that "
            "has says it itself."
        ),
    ] = []
    relay: Annotated[
        list[str], about("Names of events that are passed on to the others unchanged.")
    ] = []
    relay_latest: Annotated[
        list[str],
        about(
            "The same of events of which only a sender's newest counts, such as where a cursor is: "
            "whoever cannot be told each is told the newest."
        ),
    ] = []
    relay_rate: Annotated[
        RateOrZero,
        about(
            "Events of both lists a user may send per second here; 0: as many as "
            "limits.event_rate lets through. More of `relay` are refused; of `relay_latest` the "
            "newest waits for its turn."
        ),
    ] = 0.0
    topic: Annotated[
        Annotated[str, Meta(max_length=512)],
        about("What the room is about, until a moderator sets another topic."),
    ] = ""
    read_only: Annotated[
        bool, about("Only who may moderate may post, until a moderator changes it.")
    ] = False
    max_body: Annotated[Count, about("Largest message body here; 0 means limits.max_body.")] = 0
    message_rate: Annotated[
        RateOrZero, about("Messages a user may post per second here; 0 means limits.message_rate.")
    ] = 0.0
    slow_mode: Annotated[
        Seconds,
        about(
            "Slow mode: seconds between two messages of a user here, on whichever node; 0 is off. "
            "Who may moderate need not wait, and can change it."
        ),
    ] = 0.0


class Rooms(Section, frozen=True):
    """Settings of all rooms, and the rules by pattern.

    In the file both are written as `[[rooms]]`: entries with `match` are rules, an entry without
    holds the settings of all rooms.
    """

    root: Annotated[
        str, about("The room behind the root namespace, for a page with only io().")
    ] = "lobby"
    recovery_limit: Annotated[
        Count,
        about("Most messages sent to a client that comes back; older ones become a gap."),
    ] = 1000
    history_page: Annotated[
        Annotated[int, Meta(ge=1, le=10_000)], about("Most messages in one answer to `history`.")
    ] = 200
    members_page: Annotated[AtLeastOne, about("Most people in one answer to `members`.")] = 500
    public_rooms: Annotated[
        AtLeastOne,
        about(
            "Rooms in the directory (`public = true`); of more, those are left out where nobody "
            "was for the longest time."
        ),
    ] = 10_000
    search_scan: Annotated[
        AtLeastOne,
        about(
            "Messages that one `search` looks at: with Redis all that there are, newest first; "
            "with the embedded engine those that its index finds. Then the answer says how far it "
            "came."
        ),
    ] = 5000
    receipts_max_members: Annotated[
        Count, about("Read positions are told to the others in rooms of at most this many members.")
    ] = 50
    rules: Annotated[list[RoomRule], about("The `[[rooms]]` entries with a `match`.")] = []


class Presence(Section, frozen=True):
    """Who is here."""

    grace: Annotated[Seconds, about("A user who comes back within this time was never away.")] = 5.0
    batch: Annotated[Positive, about("Comings and goings are told together this often.")] = 0.25
    away_after: Annotated[
        Seconds,
        about("Who asks for nothing for so long, on any device, is away; 0: only who says so."),
    ] = 300.0
    typing_lasts: Annotated[
        Positive,
        about("Who types has stopped when this is over since they, or their client, said so last."),
    ] = 6.0
    lease: Annotated[
        Annotated[float, Meta(ge=1, le=3600)],
        about("The clients of a node that died are gone within this time (Redis engine)."),
    ] = 15.0


class Delivery(Section, frozen=True):
    """How the server learns what has arrived."""

    confirm: Annotated[
        Positive,
        about(
            "At most this often a client is pinged only to prove what it has received; less often "
            "with more than 1000 connections."
        ),
    ] = 1.0


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


class Transport(Section, frozen=True):
    """How Engine.IO carries the packets."""

    ping_interval: Annotated[Positive, about("Pause between two pings.")] = 25.0
    ping_timeout: Annotated[Positive, about("A ping has to be answered within this time.")] = 20.0
    transports: Annotated[
        list[Literal["polling", "websocket"]], about("Transports that are offered.")
    ] = field(default_factory=lambda: ["polling", "websocket"])
    loop: Annotated[
        Literal["auto", "uvloop", "asyncio"],
        about("Event loop; auto takes uvloop where it is installed."),
    ] = "auto"
    websocket: Annotated[
        Literal["auto", "picows", "aiohttp"],
        about("Who reads WebSocket frames; auto is best."),
    ] = "auto"


class Deflate(Section, frozen=True):
    """Compression of WebSocket messages (permessage-deflate), with the parameters of Node's ws."""

    enabled: Annotated[
        bool,
        about(
            "Compress, with clients that can do so. Saves network, costs CPU; polling answers are "
            "not concerned."
        ),
    ] = False
    threshold: Annotated[Count, about("Smaller messages are not compressed.")] = 1024
    level: Annotated[
        Annotated[int, Meta(ge=1, le=9)], about("From 1, the fastest, to 9, the smallest.")
    ] = 6
    mem_level: Annotated[
        Annotated[int, Meta(ge=1, le=9)],
        about("Memory of a compressor besides its window: 2^(this + 9) bytes."),
    ] = 8
    server_max_window_bits: Annotated[
        Annotated[int, Meta(ge=9, le=15)],
        about("How far our messages refer back, 2^this bytes; a compressor has four times that."),
    ] = 15
    client_max_window_bits: Annotated[
        Annotated[int, Meta(ge=9, le=15)],
        about(
            "The same of messages of clients. With less than 15 clients that do not let us choose "
            "are not compressed."
        ),
    ] = 15
    server_no_context_takeover: Annotated[
        bool,
        about(
            "Each of our messages begins anew. Otherwise what goes to one client refers to what it "
            "had before; what goes to many never does."
        ),
    ] = True
    client_no_context_takeover: Annotated[
        bool,
        about(
            "Clients begin each message anew. Otherwise each one that sends large messages costs "
            "40 KiB all the time."
        ),
    ] = True
    concurrency: Annotated[
        Annotated[int, Meta(ge=1, le=256)],
        about("Large messages that are compressed or inflated at a time, each by a thread."),
    ] = 4


class Hooks(Section, frozen=True):
    """Functions of an application that this server is a part of (docs/hooks.md)."""

    timeout: Annotated[
        Positive,
        about(
            "What waits for an async hook that takes longer is refused. One that is not async "
            "holds up everybody on its node for as long as it takes."
        ),
    ] = 5.0


WebhookEvent = Literal[
    "join", "leave", "message", "edit", "delete", "reaction", "moderation"
]  # fmt: skip


class Webhook(Section, frozen=True):
    """An address that is told what happens in rooms (docs/webhooks.md)."""

    url: Annotated[
        str, about("Where the events are sent: https://, or http:// to this machine.")
    ] = ""
    name: Annotated[
        str,
        about(
            "By this the server knows how far it has got: keep it when the address changes. "
            "Letters, digits and _ -; each its own."
        ),
    ] = "default"
    secret: Annotated[
        str, about("What is sent is signed with it (HMAC-SHA256); from 32 bytes on.", secret=True)
    ] = ""
    events: Annotated[list[WebhookEvent], about("Which events.")] = field(
        default_factory=lambda: ["join", "leave", "message"]
    )
    rooms: Annotated[list[str], about("Patterns of the rooms whose events are sent.")] = field(
        default_factory=lambda: ["*"]
    )
    timeout: Annotated[Positive, about("An answer has to be there by then.")] = 10.0
    concurrency: Annotated[
        Annotated[int, Meta(ge=1, le=256)], about("Requests of a node at a time, each of a room.")
    ] = 4
    batch: Annotated[
        Annotated[int, Meta(ge=1, le=1000)], about("Most events of a room in one request.")
    ] = 100
    give_up: Annotated[
        Positive, about("An event that is not taken by then is dropped, and counted.")
    ] = 86400.0


class Webhooks(Section, frozen=True):
    """Who is told over HTTP what happens in rooms.

    In the file both are written as `[[webhooks]]`: entries with `url` are addresses, an entry
    without holds the settings of all.
    """

    queue: Annotated[
        AtLeastOne,
        about(
            "Joins, leaves and acts of moderators of a room that wait for an address; then the "
            "oldest are dropped. Messages wait in the room's log."
        ),
    ] = 10_000
    endpoints: Annotated[list[Webhook], about("The `[[webhooks]]` entries with a `url`.")] = []


class Store(Section, frozen=True):
    """The embedded engine's file."""

    path: Annotated[
        str,
        about(
            'The file, or ":memory:" for a throw-away store. Empty: sioserver.db in the '
            "user's data directory."
        ),
    ] = ""
    durability: Annotated[
        Literal["full", "normal"],
        about(
            "full: an acknowledged message survives a power cut (one fsync a batch). "
            "normal: it survives the death of the process."
        ),
    ] = "full"
    dedup_window: Annotated[
        Positive, about("A message sent again with its id within this time is not posted twice.")
    ] = 86400.0
    cached_messages: Annotated[
        AtLeastOne, about("Newest messages of a room that are kept in memory.")
    ] = 256
    cached_rooms: Annotated[AtLeastOne, about("Rooms without clients that stay in memory.")] = 1000
    queue: Annotated[
        AtLeastOne,
        about("Messages that may wait for the disk; then posting is refused for a moment."),
    ] = 10_000


class Redis(Section, frozen=True):
    """The Redis engine: for many workers, on many hosts."""

    url: Annotated[
        str,
        about(
            "A Redis (6.2 or newer, a cluster: 7) or Valkey, alone or any node of a cluster: "
            "redis://, rediss:// (TLS) or unix:// with user:password@ and /database as usual. "
            "Empty: the embedded engine.",
            secret=True,
        ),
    ] = ""
    sentinels: Annotated[
        list[str],
        about(
            "Addresses (host:port) of Sentinels that know the master; `url` then only says user, "
            "password, database and whether TLS is used."
        ),
    ] = []
    service: Annotated[str, about("The master's name among the Sentinels.")] = "mymaster"
    prefix: Annotated[
        str, about("All keys and channels begin with this: one Redis can serve many clusters.")
    ] = "sioserver"
    timeout: Annotated[
        Annotated[float, Meta(ge=0.1, le=3600)],
        about("What Redis has not confirmed within this time is refused, for the moment."),
    ] = 3.0
    dedup_window: Annotated[
        Positive,
        about(
            "A message sent again with its id within this time is not posted twice. Each id costs "
            "some 150 bytes of Redis' memory until then."
        ),
    ] = 3600.0
    queue: Annotated[
        AtLeastOne,
        about("Commands that may wait for Redis; then requests are refused for a moment."),
    ] = 50_000
    bus_secret: Annotated[
        str,
        about(
            "At least 32 bytes, the same on all nodes: what they tell each other on "
            "python-socketio's channel is signed with it, and what is not is ignored. Empty: "
            "whoever can publish there is believed.",
            secret=True,
        ),
    ] = ""
    old_bus_secrets: Annotated[
        list[str],
        about("What was signed with one of these is believed too, to change it.", secret=True),
    ] = []


class Cluster(Section, frozen=True):
    """How workers on different hosts reach each other (not needed on one host)."""

    address: Annotated[
        str,
        about(
            "host:port at which the other hosts reach this one; the first worker listens there, "
            "the next ones on the ports after it, and one more while workers are replaced. Not for "
            "the public."
        ),
    ] = ""
    secret: Annotated[
        str,
        about("At least 32 bytes, the same on all hosts: who knows it is believed.", secret=True),
    ] = ""


class Drain(Section, frozen=True):
    """How the server stops."""

    seconds: Annotated[Seconds, about("Time over which the connections are closed.")] = 1.0


class Log(Section, frozen=True):
    """What the server prints."""

    level: Annotated[
        Literal["debug", "info", "warning", "error"], about("Least level that is printed.")
    ] = "info"
    format: Annotated[Literal["text", "json"], about("Shape of a line.")] = "text"


class Gateway(Section, frozen=True):
    """The door for plain WebSockets, for clients without a Socket.IO library."""

    enabled: Annotated[bool, about("Let plain WebSockets in.")] = True
    path: Annotated[str, about("Where they connect.")] = "/ws"
    heartbeat: Annotated[
        Seconds,
        about(
            "A client of the tutorial's dialect is asked this often whether it is there, and cut "
            "off when it has not answered by the next time; 0: WebSocket pings do that, as for "
            "other clients."
        ),
    ] = 5.0


class Config(Section, frozen=True):
    """The whole configuration. Read-only once built."""

    server: Server = Server()
    tls: Tls = Tls()
    auth: Auth = Auth()
    rooms: Rooms = Rooms()
    api: Api = Api()
    presence: Presence = Presence()
    delivery: Delivery = Delivery()
    limits: Limits = Limits()
    transport: Transport = Transport()
    deflate: Deflate = Deflate()
    gateway: Gateway = Gateway()
    hooks: Hooks = Hooks()
    webhooks: Webhooks = Webhooks()
    store: Store = Store()
    redis: Redis = Redis()
    cluster: Cluster = Cluster()
    drain: Drain = Drain()
    log: Log = Log()
