"""The two families of failure, each with one numbered table.

A `Refusal` answers one request (in the ack, or in CONNECT_ERROR) and the connection lives.
A `Disconnect` ends a connection; its number says whether the client may come back by itself.
This module knows nothing of the wire: every edge maps these two classes in one place of its own.
"""

from __future__ import annotations

from typing import Final, NamedTuple


class RefusalKind(NamedTuple):
    """A row of the refusal table."""

    number: int
    message: str
    temporary: bool
    status: int
    """The HTTP status that an HTTP edge answers with."""


class DisconnectKind(NamedTuple):
    """A row of the disconnect table."""

    number: int
    reason: str
    reconnect: bool


REFUSALS: Final[dict[str, RefusalKind]] = {
    "bad_request": RefusalKind(100, "the request is not understood", False, 400),
    "unknown_event": RefusalKind(101, "there is no such event", False, 404),
    "too_large": RefusalKind(102, "the message is too large", False, 413),
    "bad_room": RefusalKind(103, "this is not a room name", False, 400),
    "unauthorized": RefusalKind(104, "a valid token is needed", False, 401),
    "token_expired": RefusalKind(105, "the token has expired; get a fresh one", False, 401),
    "forbidden": RefusalKind(106, "you may not do this here", False, 403),
    "not_member": RefusalKind(107, "join the room first", False, 403),
    "rate_limited": RefusalKind(108, "too fast; slow down", True, 429),
    "too_many": RefusalKind(109, "a limit on connections or rooms is reached", True, 429),
    "unavailable": RefusalKind(110, "the store cannot be written just now", True, 503),
    "draining": RefusalKind(111, "this node is stopping; connect again", True, 503),
    "internal": RefusalKind(112, "something went wrong here; it was logged", True, 500),
    "not_found": RefusalKind(113, "there is no such thing here (any more)", False, 404),
    "muted": RefusalKind(114, "you may not post here just now", True, 429),
    "banned": RefusalKind(115, "you are banned from here", False, 403),
}

# Numbers below 3500: the client may come back by itself. From 3500 on: it should not.
DISCONNECTS: Final[dict[str, DisconnectKind]] = {
    "shutdown": DisconnectKind(3000, "the node is stopping", True),
    "slow": DisconnectKind(3001, "the client reads too slowly", True),
    "ping_timeout": DisconnectKind(3002, "the client stopped answering pings", True),
    "transport_close": DisconnectKind(3003, "the connection was lost", True),
    "connect_timeout": DisconnectKind(3004, "the client joined no room in time", True),
    "parse_error": DisconnectKind(3005, "the client broke the protocol", True),
    "token_expired": DisconnectKind(3500, "the token has expired", False),
    "kicked": DisconnectKind(3501, "removed from the room", False),
    "replaced": DisconnectKind(3502, "the same session was recovered elsewhere", False),
    "left": DisconnectKind(3503, "the client left", False),
    "token_revoked": DisconnectKind(3504, "the token was revoked", False),
    "too_many_errors": DisconnectKind(3505, "too many requests had to be refused", False),
    "banned": DisconnectKind(3506, "banned from the room", False),
}

TOKEN_FAULTS: Final[dict[str, str]] = {
    "not_taken": "unauthorized",
    "misplaced": "unauthorized",
    "malformed": "unauthorized",
    "algorithm": "unauthorized",
    "unknown_key": "unauthorized",
    "unnamed_key": "unauthorized",
    "signature": "unauthorized",
    "claims": "unauthorized",
    "audience": "unauthorized",
    "issuer": "unauthorized",
    "early": "unauthorized",
    "lifetime": "unauthorized",
    "expired": "token_expired",
    "revoked": "unauthorized",
}
"""What can be wrong with a token -> the refusal that its bearer is told. They learn no more: only
the counters and the log know the difference."""


class Refusal(Exception):
    """One request is refused; the connection lives.

    `code` is a key of `REFUSALS`, or ValueError is raised; `message` defaults to the table's;
    `retry_after` is in seconds and only given where the refusal is temporary; `limit` names the
    limit that was reached, as metrics do, if that is the reason.
    """

    def __init__(
        self,
        code: str,
        message: str | None = None,
        *,
        retry_after: float | None = None,
        limit: str | None = None,
    ) -> None:
        if code not in REFUSALS:  # of an embedder's hook, whose log shall say which there are
            raise ValueError(f"{code!r} is no code of a refusal; there are {', '.join(REFUSALS)}")
        kind = REFUSALS[code]
        super().__init__(message or kind.message)
        self.code = code
        self.number = kind.number
        self.message = message or kind.message
        self.temporary = kind.temporary
        self.status = kind.status
        self.retry_after = retry_after
        self.limit = limit


class InvalidToken(Refusal):
    """A token that proves nothing. `reason` is a key of `TOKEN_FAULTS`; `detail` is for the log.
    Neither holds any part of the token that could be a secret."""

    def __init__(self, reason: str, detail: str, message: str | None = None) -> None:
        super().__init__(TOKEN_FAULTS[reason], message)
        self.reason = reason
        self.detail = detail


class Disconnect(Exception):
    """A connection ends. `code` is a key of `DISCONNECTS`."""

    def __init__(self, code: str, reason: str | None = None) -> None:
        kind = DISCONNECTS[code]
        super().__init__(reason or kind.reason)
        self.code = code
        self.number = kind.number
        self.reason = reason or kind.reason
        self.reconnect = kind.reconnect
