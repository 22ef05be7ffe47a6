"""What an identity may do in a room: the configuration's rules and the token's claims, together.

Values in, an answer or a `Refusal` out; nothing is looked up elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Final

from sioserver.auth.identity import Identity
from sioserver.config import Config, RoomRule
from sioserver.errors import Refusal

SESSION_ROOM: Final = "@me"
PERMISSIONS: Final = ("join", "read", "history", "post")


class Policy:
    """What an identity may do in a room, by the configuration's rules and the token's claims."""

    CACHED = 10_000

    def __init__(self, config: Config) -> None:
        self._rules = tuple(config.rooms.rules)
        self._default = RoomRule()
        self._known: dict[str, RoomRule] = {}

    def rule(self, room: str) -> RoomRule:
        """The first rule whose pattern matches, else the defaults."""
        if not self._rules:
            return self._default
        rule = self._known.get(room)
        if rule is None:
            rule = self._find(room)
            if len(self._known) >= self.CACHED:
                self._known.clear()  # cheaper than keeping an order that nearly nobody needs
            self._known[room] = rule
        return rule

    def _find(self, room: str) -> RoomRule:
        if not room.startswith("@"):
            for rule in self._rules:
                if fnmatchcase(room, rule.match):
                    return rule
        return self._default

    def check_join(self, identity: Identity, room: str) -> None:
        """May they come in? Raises `Refusal("forbidden")` that says why not, like the others."""
        self._check(identity, room, "join")

    def check_read(self, identity: Identity, room: str) -> None:
        """May they see what happens in the room?"""
        self._check(identity, room, "read")

    def check_history(self, identity: Identity, room: str) -> None:
        """May they see what happened before?"""
        self._check(identity, room, "history")

    def check_post(self, identity: Identity, room: str) -> None:
        """May they post?"""
        self._check(identity, room, "post")

    def permissions(self, identity: Identity, room: str) -> list[str]:
        """What they may do, in the order of `PERMISSIONS`."""
        return [what for what in PERMISSIONS if self._objection(identity, room, what) is None]

    def _check(self, identity: Identity, room: str, what: str) -> None:
        objection = self._objection(identity, room, what)
        if objection is not None:
            raise Refusal("forbidden", objection)

    def _objection(self, identity: Identity, room: str, what: str) -> str | None:
        """Why not, or None. Who may not come in may do nothing else from outside either."""
        if room.startswith("@"):
            if room != SESSION_ROOM:
                return "rooms that begin with @ are reserved"
            return None if what in ("join", "read") else f"there is nothing to {what} in @me"
        if identity.perms is not None and what not in identity.perms:
            return f"your token does not permit: {what}"
        if identity.rooms is not None and not _matches(room, identity.rooms):
            return "your token is not for this room"
        rule = self.rule(room)
        if not (rule.anonymous or identity.authenticated):
            return "this room is not open to anonymous users"
        if not _matches(identity.user.id, rule.join):
            return "you may not join this room"
        if what == "post" and not _matches(identity.user.id, rule.post):
            return "you may not post in this room"
        return None


def _matches(text: str, patterns: Sequence[str]) -> bool:
    return "*" in patterns or any(fnmatchcase(text, pattern) for pattern in patterns)
