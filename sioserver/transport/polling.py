"""Polls and posts that are answered past aiohttp: as bytes, in the callback that brought them.

A `Lane` stands in front of aiohttp's protocol and passes everything on to it, untouched, but for
requests whose head it knows: aiohttp has read one with these bytes before, the Engine.IO server has
admitted it, and only the mark and the length differ (heads.py). So there is no parser here and no
check of a request, and what is unusual in any way is answered as if there were no lane. What a
request means is the session's business.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from email.utils import formatdate
from enum import Enum, auto
from functools import lru_cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from aiohttp import HttpVersion11, web

from sioserver.addresses import of_this_machine
from sioserver.connections import eager
from sioserver.transport import edge, payload
from sioserver.transport.caller import CALLER
from sioserver.transport.heads import Fit, Form, Head, whose

if TYPE_CHECKING:
    from sioserver.transport.engineio import EngineServer
    from sioserver.transport.session import Session

log = logging.getLogger(__name__)

HELD: Final = 65_536
"""Bytes that may come behind a request that is being answered; then the client is not read."""

GIVEN: Final = 16_384
"""Bytes of a request that are kept to compare it with what aiohttp has read."""

UNUSUAL: Final = ("Upgrade", "Expect", "Transfer-Encoding", "Content-Encoding", "Trailer")
"""Headers of requests that are aiohttp's, every time."""

Way = tuple[str, bool, bool]
"""Of a connection: its scheme; is its other end a trusted proxy, is it this machine?"""

Made = dict[tuple[Form, tuple[str, ...]], tuple[bytes, bytes]]
"""Answers to polls, by what is in them: the payload, and all that is written."""


@dataclass(frozen=True)
class Bypass:
    """What the application does with every request, and what stands for it in a lane.

    An application with other middlewares or `on_response_prepare` handlers than these, or with a
    handler of its own around ours, has all its requests answered by aiohttp.
    """

    spared: Collection[object] = ()
    """Middlewares and handlers of `on_response_prepare` that need not see polls and posts ..."""
    told: Callable[[int], None] = lambda status: None
    """... because this is called with the status of each answer."""
    open: Callable[[], bool] = lambda: True
    """May requests take the lane at all? Asked when a head becomes known."""

    def spares(self, apps: Iterable[web.Application]) -> bool:
        """Is there nothing in these applications that has to see a poll?"""
        onlookers: list[object] = []
        for app in apps:
            onlookers += [*app.middlewares, *app.on_response_prepare]
        return all(onlooker in self.spared for onlooker in onlookers)


def note(server: EngineServer, request: web.Request, session: Session, body: bytes = b"") -> None:
    """aiohttp has read a poll or a post, with this body, and the server has admitted it.

    Puts a lane in front of its connection; or, where there is one, lets it know the head.
    """
    tcp = request.transport
    if tcp is None or not _ordinary(server, request):
        return
    lane = tcp.get_protocol()
    if isinstance(lane, Lane):
        head = _head(request)
        if lane.prove(head + body):
            form = Form(_lines(server.fields_of(request)), server.coding_of(request))
            known = Head.read(head, request.query.getall("t", []), form, lane.way)
            if known is not None:
                if session.heads is None:
                    session.heads = {}
                session.heads[head[:4]] = known
    elif lane is request.protocol:
        tcp.set_protocol(Lane(server, request.protocol, tcp, _way(server, request)))


def _ordinary(server: EngineServer, request: web.Request) -> bool:
    """Is it a request that any other with the same head could be answered like?"""
    match, access = request.match_info, request.protocol.access_logger
    return (
        CALLER not in request
        and request.version == HttpVersion11
        and request.keep_alive
        and not any(name in request.headers for name in UNUSUAL)
        # somebody's function might decide otherwise the next time
        and not callable(server.cors_allowed_origins)
        # nobody else has a say in it
        and match.handler == server.handle_request
        and server.bypass.open()
        and server.bypass.spares(match.apps)
        and not (access is not None and access.enabled)
    )


def _way(server: EngineServer, request: web.Request) -> Way:
    """What of a connection decides about the origins that are admitted, and whose sessions it may
    ask for: the rest of that stands in the head."""
    remote = request.remote
    return request.scheme, server.proxies.trusted(remote), of_this_machine(remote or "")


def _head(request: web.Request) -> bytes:
    """The head, as clients write one. What aiohttp has read may have been written differently."""
    lines = [f"{request.method} {request.raw_path} HTTP/1.1".encode("utf-8", "surrogateescape")]
    lines += [name + b": " + value for name, value in request.raw_headers]
    return b"\r\n".join(lines) + b"\r\n\r\n"


def _lines(fields: dict[str, str]) -> bytes:
    return "".join(f"{name}: {value}\r\n" for name, value in fields.items()).encode()


class Turn:
    """The polls that are answered when this turn of the event loop ends: each once, with all that
    was written meanwhile; and what they have in common is made once."""

    def __init__(self) -> None:
        self._lanes: list[Lane] = []

    def add(self, lane: Lane) -> None:
        """There is something for the poll that waits in the lane."""
        if not self._lanes:
            asyncio.get_running_loop().call_soon(self._end)
        self._lanes.append(lane)

    def _end(self) -> None:
        lanes, self._lanes = self._lanes, []
        made: Made = {}
        for lane in lanes:
            try:
                lane.wake(made)
            except Exception:  # the others must not wait for ever
                log.exception("a poll could not be answered")
                lane.abort()


class State(Enum):
    """Whose the next bytes are."""

    THEIRS = auto()
    """aiohttp's: it has a request to answer, or might have the beginning of one."""
    OURS = auto()
    """Nobody's before they have been looked at: all that came has been answered."""
    BUSY = auto()
    """They have to wait: what came before has still to be answered."""
    FULL = auto()
    """They have to wait: the client does not read its answers."""


class Lane(asyncio.Protocol):
    """The way past aiohttp, for one connection.

    The bytes in the lane are ours as long as aiohttp is at rest, and its parser between two
    requests. The latter is proven by a request that it has read and that is, byte for byte, all
    that it was given since it was last looked at: then the next byte begins a request.
    """

    __slots__ = (
        "_form",
        "_full",
        "_given",
        "_handler",
        "_held",
        "_idle",
        "_last",
        "_loop",
        "_mark",
        "_poll",
        "_post",
        "_proven",
        "_server",
        "_state",
        "_tcp",
        "_woken",
        "way",
    )

    def __init__(
        self,
        server: EngineServer,
        handler: web.RequestHandler,
        tcp: asyncio.Transport,
        way: Way,
    ) -> None:
        self._server = server
        self._handler = handler
        self._tcp = tcp
        self._loop = asyncio.get_running_loop()
        self._idle = handler.keepalive_timeout
        self.way = way
        self._state = State.THEIRS
        self._proven = False
        self._given: bytes | None = b""
        self._held = bytearray()
        self._full = False
        # whose requests came last: not the session itself, which the lane may outlive
        self._last: str | None = None
        # the poll that waits, or the post that is being handled
        self._poll: Session | None = None
        self._form: Form
        self._mark: str | None = None
        self._woken = False
        self._post: asyncio.Task[None] | None = None

    # ------------------------------------------------------------ aiohttp's side

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is over."""
        self._held.clear()
        session, self._poll = self._poll, None
        if session is not None:
            session.poll_lost()
        self._handler.connection_lost(exc)

    def pause_writing(self) -> None:
        """The kernel takes no more for now."""
        self._full = True
        self._handler.pause_writing()

    def resume_writing(self) -> None:
        """The kernel takes more again."""
        self._full = False
        self._handler.resume_writing()
        if self._state is State.FULL:
            self._go_on(self._take)

    def _pass_on(self, data: bytes) -> None:
        self._state, self._proven = State.THEIRS, False
        if self._given is not None:
            self._given = self._given + data if len(self._given) + len(data) <= GIVEN else None
        self._handler.data_received(data)

    def prove(self, request: bytes) -> bool:
        """aiohttp has read this request to its end: is it all that it was given?"""
        self._proven = self._given == request
        self._given = b""
        return self._proven

    def _at_rest(self) -> bool:
        """Has aiohttp answered everything that it was given, and waits for more?"""
        waiter = self._handler._waiter
        return waiter is not None and not waiter.done() and not self._handler._messages

    # ------------------------------------------------------------ requests

    def data_received(self, data: bytes) -> None:
        """Requests, or pieces of them."""
        if self._state is State.OURS:
            self._take(data)
        elif self._state is not State.THEIRS:
            self._held += data
            if len(self._held) > HELD:
                self._tcp.pause_reading()
        elif self._proven and self._at_rest():
            self._take(data)
        elif self._proven and not self._handler._request_in_progress:
            # aiohttp has written its answer, but comes to rest in the next turn of the loop only: a
            # client that is quicker than that would never get into the lane
            self._state = State.BUSY
            self._held += data
            self._loop.call_soon(self._settled)
        else:
            self._pass_on(data)

    def _settled(self) -> None:
        self._state = State.OURS if self._at_rest() else State.THEIRS
        self._go_on(self._take if self._state is State.OURS else self._pass_on)

    def _go_on(self, take: Callable[[bytes], None]) -> None:
        """What came meanwhile may be looked at now."""
        if self._held:
            data = bytes(self._held)
            self._held.clear()
            if not self._tcp.is_closing():
                self._tcp.resume_reading()
                take(data)

    def _take(self, data: bytes) -> None:
        self._state = State.OURS
        while data:
            if self._full and self._state is State.OURS:
                self._state = State.FULL
            if self._state is not State.OURS:
                self._held += data
                return
            end = self._answer(data)
            if not end:
                self._pass_on(data)
                return
            data = data[end:]

    def _answer(self, data: bytes) -> int:
        """Answer the request that begins here, now or later: how long it is. 0: it is aiohttp's."""
        sessions = self._server.sockets
        session = sessions.get(self._last)
        found = None if session is None else self._look(session, data)
        if found is None:
            # a proxy sends the requests of many clients over one connection
            sid = whose(data)
            session = sessions.get(sid)
            found = None if session is None else self._look(session, data)
            if found is None:
                return 0
            self._last = sid
        assert session is not None
        form, fit = found
        if session.closed or self._server.stopping:
            return 0
        if data.startswith(b"GET "):
            return fit.end if self._begin_poll(session, form, fit.mark) else 0
        end = fit.end + fit.length
        if end > len(data) or fit.length > self._server.max_http_buffer_size:
            return 0
        return end if self._begin_post(session, form, data[fit.end : end]) else 0

    def _wait(self) -> None:
        self._state = State.BUSY
        # or aiohttp would close the connection, which is idle for all that it knows
        self._handler._keepalive = False

    def _look(self, session: Session, data: bytes) -> tuple[Form, Fit] | None:
        """Is it a request with a head of this session's?"""
        head = None if session.heads is None else session.heads.get(data[:4])
        if head is None or head.way != self.way:
            return None
        fit = head.fit(data)
        return None if fit is None else (head.form, fit)

    # ------------------------------------------------------------ polls

    def _begin_poll(self, session: Session, form: Form, mark: str | None) -> bool:
        if session.polling or session.answer_to(mark) is not None:
            return False
        self._poll, self._form, self._mark = session, form, mark
        if session.poll(self._wake):
            self._end_poll(session, {})
        else:
            self._wait()
        return True

    def _wake(self) -> None:
        if not self._woken:
            self._woken = True
            self._server.turn.add(self)

    def wake(self, made: Made) -> None:
        """Answer the poll that waits; `made`: answers of this turn."""
        self._woken = False
        session = self._poll
        if session is None:
            return  # lost meanwhile
        if self._tcp.is_closing():
            self._poll = None
            session.poll_lost()
            return
        self._end_poll(session, made)
        self._go_on(self._take)

    def _end_poll(self, session: Session, made: Made) -> None:
        self._poll, self._state = None, State.OURS
        packets = self._server.fetch(session)
        what = self._form, tuple(packets)
        answer = made.get(what)
        if answer is None:
            body = payload.encode(packets)
            answer = made[what] = body, self._built(self._form, body)
        session.answered(self._mark, answer[0])
        self._write(answer[1])

    # ------------------------------------------------------------ posts

    def _begin_post(self, session: Session, form: Form, body: bytes) -> bool:
        if session.posting:
            return False
        try:
            packets = payload.decode(body, self._server.poll_packets)
        except ValueError:
            return False
        session.posting = True
        self._wait()
        self._post = eager.run_trusted(self._handle(session, form, packets))
        return True

    async def _handle(self, session: Session, form: Form, packets: list[str | bytes]) -> None:
        try:
            understood = await session.on_payload(packets)
        except BaseException:
            self._tcp.abort()
            raise
        finally:
            session.posting = False
        self._state = State.OURS
        if understood:
            self._write(self._built(form, b"ok", edge.HTML))
        else:
            refused = edge.BAD_REQUEST
            why = self._server.reason_why(refused)
            self._write(self._built(form, why, edge.JSON, refused.status), refused.status)
        self._go_on(self._take)

    # ------------------------------------------------------------ answers

    def _built(
        self, form: Form, body: bytes, content_type: str = edge.TEXT, status: int = 200
    ) -> bytes:
        body, coding = self._server.compressed(body, form.coding)
        encoded = f"Content-Encoding: {coding}\r\n" if coding else ""
        last = "Connection: close\r\n" if self._server.stopping else ""
        head = (
            f"Content-Type: {content_type}\r\nContent-Length: {len(body)}\r\n"
            f"{encoded}Date: {_date()}\r\n{last}\r\n"
        )
        return b"".join((_STATUS[status], form.fields, head.encode(), body))

    def _write(self, answer: bytes, status: int = 200) -> None:
        if self._tcp.is_closing():
            return
        self._server.bypass.told(status)
        self._tcp.write(answer)
        if self._server.stopping:
            # the next request of the connection shall go to somebody who stays
            self._tcp.close()
        else:
            handler, ends = self._handler, self._loop.time() + self._idle
            handler._keepalive, handler._next_keepalive_close_time = True, ends
            if handler._keepalive_handle is None:  # its time came while a poll waited
                handler._keepalive_handle = self._loop.call_at(ends, handler._process_keepalive)

    def abort(self) -> None:
        """Cut the connection off."""
        self._tcp.abort()


_STATUS: Final = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode()
    for status in (HTTPStatus.OK, HTTPStatus.BAD_REQUEST)
}


def _date() -> str:
    return _date_of(int(time.time()))


@lru_cache(maxsize=1)
def _date_of(second: int) -> str:
    return formatdate(second, usegmt=True)
