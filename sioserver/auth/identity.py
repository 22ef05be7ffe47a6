"""Who a connection speaks for: a frozen value that the verifier makes and everybody reads.

It must not know how it was proved, nor what a room's rules allow.
"""

from __future__ import annotations

from fnmatch import fnmatchcase

import msgspec

from sioserver.model import User


class Grant(msgspec.Struct, frozen=True):
    """What a token permits in the rooms whose name matches a pattern."""

    pattern: str
    words: frozenset[str]

    @classmethod
    def everywhere(cls, *words: str) -> Grant:
        """What is permitted in all rooms."""
        return cls("*", frozenset(words))


class Identity(msgspec.Struct, frozen=True):
    """Who a connection speaks for, and what their token says about them."""

    user: User
    expires_at: float | None = None
    """The first moment at which the token no longer counts: its `exp` plus the leeway."""
    issued_at: float | None = None
    """The token's `iat`, in seconds since 1970; None: it has none, or there is no token."""
    token_id: str | None = None
    """The token's `jti`, by which it can be revoked."""
    rooms: tuple[str, ...] | None = None
    """Patterns of the rooms that the token is for; None is all."""
    grants: tuple[Grant, ...] | None = None
    """What the token permits, by rooms; None is everything that the rooms' rules permit."""
    authenticated: bool = False
    """A token proved who this is."""
    operator: bool = False
    """An operator asks, in this user's name: everything is permitted in every room that is not
    somebody's own, whatever its rules say."""

    def permits(self, word: str, room: str) -> bool:
        """Does the token say that they may? Only asked where there are grants."""
        # a loop, not any(): it is asked for every message, and takes half of the time
        for grant in self.grants or ():
            if word in grant.words and (grant.pattern == "*" or fnmatchcase(room, grant.pattern)):
                return True
        return False
