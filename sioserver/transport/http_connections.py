"""The HTTP connections of the public address: how many there may be, and how long each may take to
say what it wants.

aiohttp's protocol, with what it has no settings for: places for connections, a time and a size for
the head of a request, and answers to what is no HTTP without a traceback. A connection that has
become a WebSocket is no longer one of these. Knows no sessions, and nothing of what is asked for.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from itertools import islice
from typing import Any, Final, cast

from aiohttp import StreamReader, web
from aiohttp.http_exceptions import HttpProcessingError, LineTooLong

from sioserver._version import SOFTWARE
from sioserver.admission import FULL_RETRY, Places, whose
from sioserver.config.schema import Limits
from sioserver.timers import Deadline, Wheel
from sioserver.transport.address import Proxies
from sioserver.transport.edge import BUSY
from sioserver.transport.handshakes import Handshakes

log = logging.getLogger(__name__)

LINGER: Final = 5.0
"""Seconds in which the rest of a body that was refused is read, and thrown away, so that the client
gets to read the answer."""

LOOKED_AT: Final = 16
"""Connections that are looked at for an idle one when there is no place; so many each time, however
many there are."""

MALFORMED: Final = "Malformed HTTP"
"""How requests are counted that could not be read, or not in time."""

FREE_FILES: Final = 256
"""Open files that connections leave for the rest of the process."""


class HttpConnections:
    """Makes the protocol of each new connection, as `web.Server` does, and keeps count of them.

    When there is no place, the connection that has been idle (between two requests, or before the
    first) for about the longest is closed. If there is none, the new one is answered 503; so is one
    of an address that has its share, and then nobody else loses anything. `trusted_proxies` are
    many clients each and have no share.
    """

    def __init__(
        self,
        limits: Limits,
        proxies: Proxies,
        wheel: Wheel,
        hit: Callable[[str], object],
        *,
        refused: Callable[[str], object] = lambda reason: None,
        files: int = 0,
        others: Callable[[], int] = lambda: 0,
    ) -> None:
        """`hit` is told of each limit that was reached, `refused` of each client that was answered
        so, by a name of `metrics.REQUEST_REFUSALS`. `files`: that the process may have open, 0: any
        number; `others`: connections that are not HTTP any more, each of which is an open file too.
        """
        self.limits = limits
        self.wheel = wheel
        self.hit = hit
        self.refused = refused
        self._proxies = proxies
        self._files = files
        self._others = others
        self._places = Places(limits.http_connections, limits.address_http_connections)
        self._open: dict[HttpConnection, str | None] = {}  # idle longest first, about
        self.handshakes = Handshakes(limits, proxies, hit, short=self._no_file_for_more)

    def __len__(self) -> int:
        return len(self._open)

    def settings(self) -> dict[str, Any]:
        """What `web.AppRunner` has to be made with."""
        return {
            "keepalive_timeout": self.limits.keepalive_timeout,
            "max_line_size": self.limits.max_line,
            "max_field_size": self.limits.max_line,
            "max_headers": self.limits.max_headers,
            "lingering_time": LINGER,
        }

    def of(self, server: web.Server) -> Callable[[], HttpConnection]:
        """Makes connections of this server: a protocol factory for the event loop."""
        loop, settings = asyncio.get_running_loop(), server._kwargs
        return lambda: HttpConnection(self, server, loop=loop, **settings)

    def enter(self, connection: HttpConnection, tcp: asyncio.BaseTransport) -> bool:
        """A place for a new connection; False: there is none."""
        address = self._address(tcp)
        if self._places.full_for(address):
            self.hit("address_http_connections")
            return False
        if self._full():
            self.hit("http_connections")
            idle = self._longest_idle()
            if idle is None:
                return False
            idle.turn_out()
        self._places.take(address)
        self._open[connection] = address
        return True

    def leave(self, connection: HttpConnection) -> None:
        """It is over, or is no HTTP any more. Called more than once without harm."""
        if connection in self._open:
            self._places.free(self._open.pop(connection))

    def _full(self) -> bool:
        # handshakes are not in it, or those that never end would keep out who has shaken hands
        return self._places.full or self._short_of_files(len(self._open))

    def _no_file_for_more(self) -> bool:
        return self._short_of_files(len(self._open) + len(self.handshakes))

    def _short_of_files(self, taken: int) -> bool:
        most = self._files - FREE_FILES
        return 0 < most <= taken + self._others()

    def _address(self, tcp: asyncio.BaseTransport) -> str | None:
        peer = tcp.get_extra_info("peername")
        if not isinstance(peer, tuple) or self._proxies.trusted(peer[0]):
            return None
        return whose(peer[0])

    def _longest_idle(self) -> HttpConnection | None:
        for connection in list(islice(self._open, LOOKED_AT)):
            if connection.idle:
                return connection
            self._open[connection] = self._open.pop(connection)  # to the end: a second chance
        return None


class HttpConnection(web.RequestHandler):
    """aiohttp's protocol of one connection, watched."""

    __slots__ = ("_all", "_body", "_body_due", "_head_due", "_head_size")

    def __init__(self, all_: HttpConnections, server: web.Server, **settings: Any) -> None:
        super().__init__(server, **settings)
        self._all = all_
        # the body of the request that came last: when it is whole, a head comes next
        self._body: StreamReader | None = None
        self._body_due: Deadline | None = None
        self._head_size = 0
        self._head_due: Deadline | None = None

    @property
    def idle(self) -> bool:
        """Is it between two requests, or before the first, with nothing under way?"""
        waiter = self._waiter
        # a poll that waits in a lane holds `_keepalive` back (polling.py)
        return waiter is not None and not waiter.done() and not self._messages and self._keepalive

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has come (with TLS: and has shaken hands)."""
        if not self._all.enter(self, transport):
            self._all.refused(BUSY.message)
            tcp = cast(asyncio.Transport, transport)
            tcp.write(_answer(HTTPStatus.SERVICE_UNAVAILABLE, f"Retry-After: {FULL_RETRY:.0f}"))
            self._force_close = True
            tcp.close()
            return
        super().connection_made(transport)
        self._expect_head()

    def connection_lost(self, exc: BaseException | None) -> None:
        """The connection is over, or another protocol's."""
        self._all.leave(self)
        self._expect_nothing()
        self._body = None
        task = self._task_handler
        lingering = self._waiter is None and not self._request_in_progress
        super().connection_lost(exc)
        if task is not None and lingering:
            # a request was answered before its body was there, and aiohttp would go on waiting for
            # the rest of it, which nobody sends any more
            task.cancel()

    def data_received(self, data: bytes) -> None:
        """Requests, or pieces of them."""
        body = self._body
        head = body is None or body.is_eof()
        requests = self._request_count
        super().data_received(data)
        if self._body_due is not None and (body is None or body.is_eof()):
            self._body_due.cancel()
            self._body_due = None
        if self._request_count != requests:
            if not (body is None or body.is_eof()):
                # The new one is an error that aiohttp found in this body, and tells to nobody who
                # waits for it.
                body.set_exception(web.RequestPayloadError("the body is malformed"))
                body.feed_eof()
            self._expect_nothing()
            self._head_size = 0
            if self._messages:
                self._body = self._messages[-1][1]
                if not self._body.is_eof():
                    self._expect_body(self._body)
        elif head and not self._upgraded and not self._force_close:
            self._head_size += len(data)
            if self._head_size > self._all.limits.max_head:
                self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "max_head")
            elif self._head_due is None:
                self._expect_head()

    # ------------------------------------------------------------ times

    def _expect_head(self) -> None:
        """A whole head has to be there in time, from its first byte on (from the beginning of the
        connection, if it is the first); a byte now and then is no progress."""
        wheel = self._all.wheel
        self._head_due = wheel.after(self._all.limits.header_timeout, self._head_late)

    def _expect_nothing(self) -> None:
        for due in (self._head_due, self._body_due):
            if due is not None:
                due.cancel()
        self._head_due = self._body_due = None

    def _expect_body(self, body: StreamReader) -> None:
        """The body has to be whole in time, whoever reads it, and if nobody does."""
        wheel, limits = self._all.wheel, self._all.limits
        self._body_due = wheel.after(limits.body_timeout, partial(self._body_late, body))

    def _body_late(self, body: StreamReader) -> None:
        self._body_due = None
        self._all.hit("body_timeout")
        if self._request_in_progress:
            self._lingering_time = 0.0  # it is not to be waited for once more, behind the answer
            body.set_exception(web.HTTPRequestTimeout())
        else:
            self.force_close()  # the answer did not need it
            if self._task_handler is not None:
                # it would read on, from a connection that it has no more
                self._task_handler.cancel()

    def _head_late(self) -> None:
        self._head_due = None
        if not self.idle:  # a request before it is still being answered
            self._expect_head()
        elif self._head_size:
            self._refuse(HTTPStatus.REQUEST_TIMEOUT, "header_timeout")
        else:  # it has said nothing, and nobody may be there to be answered
            self._all.hit("header_timeout")
            self.force_close()

    def _process_keepalive(self) -> None:
        closed = self._force_close
        super()._process_keepalive()
        if self._force_close and not closed:
            self._all.hit("keepalive_timeout")

    def turn_out(self) -> None:
        """Another one needs the place."""
        self._all.leave(self)
        self.force_close()

    # ------------------------------------------------------------ what is no request

    def _refuse(self, status: HTTPStatus, limit: str) -> None:
        self._all.hit(limit)
        if self.transport is not None and self.idle:
            self._all.refused(MALFORMED)
            self.transport.write(_answer(status))
        self.force_close()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """The answer to what aiohttp could not read, or to a failure that nobody has caught."""
        if not isinstance(exc, HttpProcessingError):
            response = super().handle_error(request, status, exc, message)
            response.headers["Server"] = SOFTWARE
            return response
        self._all.refused(MALFORMED)
        # anybody can send any number of these, and nothing is wrong here: no traceback
        log.debug("a request could not be read: %s", exc.message)
        found = HTTPStatus(status)
        if isinstance(exc, LineTooLong):
            found = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
            self._all.hit("max_line")
        elif exc.message.startswith("Too many headers"):
            found = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
            self._all.hit("max_headers")
        response = web.Response(status=found, headers=_FIELDS)
        response.force_close()
        return response

    def log_exception(self, *args: Any, **details: Any) -> None:
        """A failure of ours is told. A body that nobody wanted and that is no good (no gzip, say)
        is none; it shows when the rest of it is read and thrown away."""
        if isinstance(details.get("exc_info"), (HttpProcessingError, web.RequestPayloadError)):
            log.debug(*args, **details)
        else:
            super().log_exception(*args, **details)


_FIELDS: Final = {
    "Server": SOFTWARE,
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
}


def _answer(status: HTTPStatus, *fields: str) -> bytes:
    lines = [f"HTTP/1.1 {status.value} {status.phrase}", "Connection: close", "Content-Length: 0"]
    lines += [f"{name}: {value}" for name, value in _FIELDS.items()]
    return "\r\n".join([*lines, *fields, "", ""]).encode()
