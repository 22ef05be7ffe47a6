"""A WebSocket that wants to become the transport of a polling session (protocol v4, "upgrade").

`2probe` is answered by `3probe`, then `5` moves the session. Knows no HTTP.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sioserver.timers import Deadline
from sioserver.websocket import connection as websocket
from sioserver.websocket.frames import TEXT, frame

if TYPE_CHECKING:
    from sioserver.transport.session import Session

PROBE, UPGRADE = "2probe", "5"
REFUSED: Final = "Bad upgrade"
"""How such a WebSocket is counted that keeps to no protocol."""
ANSWER: Final = frame(TEXT, b"3probe")


class Probe:
    """The receiver of such a WebSocket; passes on to the session what comes after the move."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._ws: websocket.WebSocket | None = None
        self._deadline: Deadline | None = None
        self._probed = False
        self._done = False

    def opened(self, ws: websocket.WebSocket) -> None:
        """The WebSocket is there; the client has a while to prove it."""
        self._ws = ws
        if self._done:
            ws.close()  # the session ended meanwhile
            return
        server = self._session.server
        self._deadline = server.wheel.after(server.upgrade_timeout, self._late)

    def _late(self) -> None:
        self._session.server.hooks.count("limits", "upgrade_timeout")
        self.give_up()

    def give_up(self) -> None:
        """Close the WebSocket; the session goes on as before."""
        if not self._done:
            self._finish(None)
            if self._ws is not None:
                self._ws.close()

    def _refuse(self) -> None:
        """It is no upgrade that the client wants: the session goes on without."""
        if self._ws is not None:
            self._ws.fault(websocket.PROTOCOL_ERROR)
        self.on_gone()

    def on_text(self, text: str) -> None:
        """`2probe`, then `5`; everything behind belongs to the session."""
        session = self._session
        if self._done:
            if session.ws is self._ws:
                session.on_text(text)
        elif text == PROBE and not self._probed and self._ws is not None:
            self._probed = True
            self._ws.write(ANSWER)
            session.release_poll()
        elif text == UPGRADE and self._probed:
            self._finish(self._ws)
        else:
            self._refuse()

    def on_binary(self, data: bytes) -> None:
        """Belongs to the session, once it has moved."""
        if self._done and self._session.ws is self._ws:
            self._session.on_binary(data)
        else:
            self._refuse()

    def on_gone(self) -> None:
        """The WebSocket is over."""
        if self._done:
            if self._session.ws is self._ws:
                self._session.on_gone()
        else:
            if self._ws is not None and self._ws.faulty:
                self._session.server.hooks.count("requests", REFUSED)
            self._finish(None)

    def _finish(self, ws: websocket.WebSocket | None) -> None:
        self._done = True
        if self._deadline is not None:
            self._deadline.cancel()
        self._session.end_upgrade(ws)
