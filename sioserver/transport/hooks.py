"""What Engine.IO tells the layer above of its sessions, and asks it: ends, proofs, counts.

So that the Engine.IO server needs to know neither rooms nor metrics. Called in the middle of a
session's work: quick, without waiting, and must not raise.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sioserver.transport.session import Session


class Hooks:
    """What the layer above is told of sessions and says of them; these do nothing."""

    def written(self, session: Session) -> Any:
        """What has been written to the session, in the words of the layer above; None: nothing
        that needs a proof."""
        return None

    def proven(self, session: Session, sent: Any) -> None:
        """What `written` returned before has arrived (None: a ping that proves nothing was
        answered)."""

    def count(self, what: str, label: str) -> None:
        """Something worth a metric: ("dropped", reason), ("limits", limit), ("pings", outcome),
        ("disconnects", code), ("requests", refusal), ("mismatches", what a request had of another
        than the session's owner)."""

    def unasked(self, session: Session, what: str) -> None:
        """The client sent something that asks for nothing and answers nothing: `what` is one of
        `metrics.UNASKED`. It costs little, but nothing that limits requests would ever see it."""

    def on_opened(self, session: Session) -> None:
        """Called when a session has its transport."""

    def on_upgraded(self, session: Session) -> None:
        """Called when a session has moved to a WebSocket."""

    def on_closed(self, session: Session) -> None:
        """Called at once when a session ends; the disconnect handler comes when all is handled."""
