"""The names under which things are counted: the values that each label may have.

They are fixed: a name that a client made up is counted under `OTHER`, or clients could grow the
table at will. Words only; who counts what is not known here.
"""

from __future__ import annotations

from typing import Final

EVENTS: Final = (
    "message",
    "edit",
    "delete",
    "react",
    "history",
    "search",
    "members",
    "read",
    "typing",
    "status",
    "auth",
    "leave",
    "kick",
    "mute",
    "unmute",
    "ban",
    "unban",
    "bans",
    "settings",
    "moderation_log",
)
"""Events of clients that are counted by name."""

TRANSPORTS: Final = ("polling", "websocket", "raw")
VERDICTS: Final = ("recovered", "replayed", "gap", "fresh")
DROPS: Final = ("slow", "coalesced", "typists")
"""Why an ephemeral event was not sent to a client: it reads slowly; a newer one took its place; so
many people type that nobody is told of more."""

LIMITS: Final = (
    "connections",
    "address_connections",
    "user_connections",
    "accept_rate",
    "address_accept_rate",
    "auth_failure_rate",
    "unknown_session_rate",
    "memory",
    "http_connections",
    "address_http_connections",
    "tls_handshakes",
    "address_tls_handshakes",
    "header_timeout",
    "body_timeout",
    "keepalive_timeout",
    "max_line",
    "max_headers",
    "max_head",
    "rooms",
    "rooms_per_user",
    "followed_rooms",
    "members_per_room",
    "rooms_per_connection",
    "client_queue",
    "slow_after",
    "inbox",
    "max_body",
    "max_payload",
    "poll_packets",
    "connect_timeout",
    "upgrade_timeout",
    "event_rate",
    "user_event_rate",
    "refused_rate",
    "message_rate",
    "direct_rate",
    "mention_rate",
    "search_rate",
    "reactions",
    "relay_rate",
    "slow_mode",
    "sanctions",
)
REQUEST_REFUSALS: Final = (
    "Transport unknown",
    "Session ID unknown",
    "Bad handshake method",
    "Bad request",
    "Unsupported protocol version",
    "This origin is not allowed",
    "A token does not belong into the address: send it in auth, or as Authorization: Bearer",
    "The body is larger than maxPayload",
    "The body did not come in time",
    "No more connections just now",
    "Too many connections from this address",
    "Too many new connections just now",
    "Too many new connections from this address",
    "Too many unknown sessions from this address",
    "No memory for more connections",
    "The server is stopping",
    "Bad upgrade",
    "Bad WebSocket handshake",
    "Malformed HTTP",
    "Expectation failed",
)
"""Why a request was refused before anything in it was looked at. What ended a session is counted
with the disconnects instead: everything that is rejected is counted once."""

MISMATCHES: Final = ("origin", "token", "address")
"""What a request had of another than the owner of the session that it asked for."""

REVOCATIONS: Final = ("token", "user", "all", "lifted")
"""What operators did to the rules by which tokens are refused."""

MODERATION: Final = ("kick", "mute", "unmute", "ban", "unban", "settings")
"""What was decided about people and rooms."""

ADMIN_REFUSALS: Final = ("unauthorized", "token_expired", "forbidden", "rate_limited")
"""Why somebody was not taken for an operator."""

API_ROUTES: Final = (
    "revoke",
    "list_revocations",
    "lift_revocation",
    "lift_revocation_of_all",
    "ban_everywhere",
    "list_bans_everywhere",
    "unban_everywhere",
    "mute_everywhere",
    "list_mutes_everywhere",
    "unmute_everywhere",
    "moderation_log_everywhere",
    "list_rooms",
    "get_room",
    "list_members",
    "list_messages",
    "post_message",
    "search_messages",
    "get_message",
    "edit_message",
    "delete_message",
    "react",
    "unreact",
    "get_settings",
    "change_settings",
    "kick",
    "mute",
    "ban",
    "list_mutes",
    "list_bans",
    "unmute",
    "unban",
    "moderation_log",
    "describe",
)
"""What the HTTP API can be asked for."""

FORWARDS: Final = ("polling", "handoff", "relay")
"""How requests of other nodes' sessions were passed on: an HTTP request, the client's connection
itself, or (WebSocket) byte by byte."""

FORWARD_FAILURES: Final = ("unknown", "no_way", "unreachable", "busy", "distrusted", "denied")
"""Why not: no such node is known; it is, but has told no way to it; it does not answer; too many at
once; it does not believe this node. Or it came here, without a proof that a node has sent it."""

BUS: Final = (
    "heard",
    "ignored",
    "skipped",
    "lost",
    "unanswered",
    "overflow",
    "reconnected",
    "unsigned",
    "forged",
    "stale",
    "replayed",
)
"""What became of the messages of python-socketio's API between nodes: heard and done; not
well-formed or reserved; of a Node program, for nobody here; not published in time; an ack that is
waited for no longer; heard, but too many at once. And how often the connection came back. With a
`redis.bus_secret`, what was not believed: not signed; signed with another secret; too old; a
repetition."""

KEY_FETCHES: Final = ("fetched", "failed")
"""What became of requests for the issuer's keys (auth.jwks)."""

TLS_HANDSHAKES: Final = ("done", "plain", "version", "cipher", "alert", "unfinished")
"""How TLS handshakes ended: well; it was no TLS that the client spoke; only versions or ciphers
that are not offered; the client broke off, mostly since it does not trust the certificate; it went
away, or said nothing until its time was over."""
DEFLATE: Final = ("out_plain", "out_deflated", "in_plain", "in_deflated")
"""Bytes of messages that were compressed and inflated, before and after."""

DEFLATE_NOW: Final = ("contexts", "large")
"""Connections with a compressor of their own; large messages that a thread has or will have."""

UNASKED: Final = ("pong", "noop", "ack", "late")
"""What clients send that asks for nothing and answers nothing: pongs without a ping, empty packets,
acks that nobody waits for, packets for a room that they have been put out of."""

HOOKS: Final = ("join", "message", "edit", "delete", "react", "moderation", "leave")
HOOK_RESULTS: Final = ("done", "refused", "timeout", "failed", "dropped")
"""What became of a call of an embedder's hook: done; it refused; it took longer than
`hooks.timeout`; it raised something else; it was not made, since too many waited."""

WEBHOOK_EVENTS: Final = ("taken", "dropped", "lost")
"""What became of events for a webhook: taken; not taken within `give_up`; no longer in the log."""
WEBHOOK_REQUESTS: Final = ("ok", "status", "timeout", "unreachable")
"""How requests to it ended: it took the events; another status than 2xx; no answer in time; it
could not be reached, or its certificate is no good."""

STATUSES: Final = ("1xx", "2xx", "3xx", "4xx", "5xx")
OTHER: Final = "other"
