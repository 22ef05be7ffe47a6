"""Who comes in over a connection: identified, slowed down where tokens are guessed, counted.

Knows neither what a connection is nor which room is meant: those questions come later.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from sioserver import wire
from sioserver.admission import Admission
from sioserver.auth import Identity
from sioserver.errors import Refusal
from sioserver.identities import Identities


class Speaker(Protocol):
    """A connection, by who speaks over it."""

    subject: str | None
    """The authenticated user that it speaks for, who has a place for it; None: nobody yet."""


class Entry:
    """Asks who it is. Methods raise `Refusal`."""

    def __init__(
        self, identities: Identities, admission: Admission, clock: Callable[[], float]
    ) -> None:
        self._identities = identities
        self._admission = admission
        self._clock = clock

    async def identify(self, address: str | None, hello: wire.Hello, made_up: str) -> Identity:
        """Who is it? Who guesses tokens is made to wait, before any is verified. `address`: under
        what it is counted (`admission.whose`); `made_up`: an id for a guest."""
        if hello.token is None:
            return await self._identities.identify(hello, made_up)
        wait = self._admission.try_token(address, self._clock())
        if wait:
            raise Refusal("rate_limited", "too many bad tokens; try later", retry_after=wait)
        try:
            return await self._identities.identify(hello, "")
        except Refusal as error:
            self.note(address, error)
            raise

    def note(self, address: str | None, refusal: Refusal) -> None:
        """A token was refused. One that has expired was good once: nobody has made it up."""
        if refusal.code == "unauthorized":
            self._admission.token_was_bad(address, self._clock())

    def admit(self, speaker: Speaker, identity: Identity, *, over: bool) -> None:
        """The connection is about to speak for this user. `over`: it has ended meanwhile, and no
        place is taken that nobody would free."""
        if not identity.authenticated or speaker.subject == identity.user.id:
            return
        if speaker.subject is not None:
            raise Refusal("forbidden", "one connection speaks for one user; open another")
        if over:
            return
        full = self._admission.enter_user(identity.user.id)
        if full is not None:
            raise Refusal("too_many", "you have too many connections", retry_after=full.retry_after)
        speaker.subject = identity.user.id

    def leave(self, speaker: Speaker) -> None:
        """The connection is over: its user may have another one. Called once."""
        if speaker.subject is not None:
            self._admission.leave_user(speaker.subject)
