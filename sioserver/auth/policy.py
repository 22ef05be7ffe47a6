"""What an identity may do in a room: the configuration's rules and the token's claims, together.

Values in, an answer or a `Refusal` out; nothing is looked up elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Final, Literal, get_args

from sioserver import private
from sioserver.auth.identity import Identity
from sioserver.config import Config, RoomRule
from sioserver.errors import Refusal

ADMIN: Final = "admin"
"""What one may do with the server: it is a matter of no room."""

Question = Literal["join", "read", "history", "post", "moderate"]
PERMISSIONS: Final[tuple[Question, ...]] = get_args(Question)
"""What one may do in a room, in the order in which clients are told."""


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
        if private.is_direct(room):
            room = private.DIRECT  # one rule for all of them: it is the same for both
        elif room.startswith("@"):
            return self._default
        for rule in self._rules:
            if fnmatchcase(room, rule.match):
                return rule
        return self._default

    def may(self, identity: Identity, what: Question, room: str) -> bool:
        """May they do this in the room?"""
        return self.objection(identity, what, room) is None

    def check(self, identity: Identity, what: Question, room: str) -> None:
        """Raises `Refusal("forbidden")` that says why they may not."""
        objection = self.objection(identity, what, room)
        if objection is not None:
            raise Refusal("forbidden", objection)

    def check_admin(self, identity: Identity) -> None:
        """Raises `Refusal("forbidden")` for who may not administer the server. A token has to say
        so, for all rooms; no rule can."""
        if not self.is_admin(identity):
            raise Refusal("forbidden", "your token does not permit: admin")

    @staticmethod
    def is_admin(identity: Identity) -> bool:
        """May they administer the server?"""
        return any(ADMIN in grant.words and grant.pattern == "*" for grant in identity.grants or ())

    def permissions(self, identity: Identity, room: str) -> list[str]:
        """What they may do, in the order of `PERMISSIONS`."""
        return [what for what in PERMISSIONS if self.may(identity, what, room)]

    def objection(self, identity: Identity, what: Question, room: str) -> str | None:
        """Why not, or None. Who may not come in may do nothing else from outside either."""
        called = room
        if room.startswith("@"):
            if not private.is_direct(room):
                return _reserved(identity, what, room)
            try:
                called = private.DIRECT + private.other_of(room, identity.user.id)
            except ValueError:
                return "this room is two other people's"
            if identity.user.guest:
                return "guests have no rooms of two; show a token, or say who you are"
            if what == "moderate":
                return "nobody moderates a room of two"
        if identity.operator:
            return None
        granted = identity.grants is not None
        if granted and not identity.permits(what, called):
            return f"your token does not permit: {what}"
        if identity.rooms is not None and not _matches(called, identity.rooms):
            return "your token is not for this room"
        rule, user = self.rule(room), identity.user.id
        if not (rule.anonymous or identity.authenticated):
            return "this room is not open to anonymous users"
        if not _matches(user, rule.join):
            return "you may not join this room"
        if what == "post" and not _matches(user, rule.post):
            return "you may not post in this room"
        if what == "history" and not _matches(user, rule.history):
            return "you may not read what was here before you"
        if what == "moderate":
            return _moderator_objection(identity, granted, rule)
        return None


def _reserved(identity: Identity, what: Question, room: str) -> str | None:
    """Of a room with a name that is not anybody's choice (the one inside: see `private`)."""
    if room != private.session_room(identity.user.id):
        return "rooms that begin with @ are reserved"
    return None if what in ("join", "read") else f"there is nothing to {what} in @me"


def _moderator_objection(identity: Identity, granted: bool, rule: RoomRule) -> str | None:
    if not identity.authenticated:
        # a rule names users, and who has no token can take any name
        return "only who has shown a token may moderate"
    if granted or _matches(identity.user.id, rule.moderate):
        return None  # granted: it was looked at above
    return "you may not moderate this room"


def _matches(text: str, patterns: Sequence[str]) -> bool:
    return "*" in patterns or any(fnmatchcase(text, pattern) for pattern in patterns)
