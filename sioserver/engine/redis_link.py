"""Commands to one server, over a `redis_line`: they go out in order, one write a turn.

What breaks with a connection is sent again on the next one, so every command must be safe to run
twice. It knows neither what the commands mean nor that there may be other servers.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from math import inf
from typing import Any, Final

from sioserver.engine.redis_access import (
    Access,
    Address,
    Command,
    Hello,
    ReplyError,
    pack,
    seconds,
)
from sioserver.engine.redis_calls import AGAIN, AWAY, DENIED, MOVED, Call, Owner, Unavailable
from sioserver.engine.redis_line import Line, Wire
from sioserver.engine.redis_scripts import Script

__all__ = ["Call", "Link", "Owner", "ReplyError", "Unavailable"]

log = logging.getLogger(__name__)

BYTES_WAITING: Final = 128 * 1024 * 1024
"""Of commands without a reply, whatever their number; then more are refused."""
RETRY: Final = 0.05
"""Seconds after which a server that is busy is asked again."""
TRIES: Final = 3
"""How often a script is loaded for one call."""
_WRITE_AHEAD: Final = 1024 * 1024
"""Bytes in the transport; beyond it commands wait here, where they can still time out unsent."""
_CHUNK: Final = 256 * 1024
"""Bytes of waiting commands that are written in one go."""


class _Wire(Wire):
    """A connection that is up: pairs the replies with the calls."""

    _line: Link

    def __init__(self, link: Link, transport: asyncio.Transport) -> None:
        super().__init__(link, transport)
        self.sent: deque[Call] = deque()
        self.blocked = False
        self.heard = link.loop.time()
        """When something came last, or when there began to be something to wait for."""
        transport.set_write_buffer_limits(high=_WRITE_AHEAD)

    def pause_writing(self) -> None:
        self.blocked = True
        self._line.steer()

    def resume_writing(self) -> None:
        self.blocked = False
        self._line.steer()

    def data_received(self, data: bytes) -> None:
        link, sent, gets = self._line, self.sent, self._reader.gets
        self._reader.feed(data)
        try:
            while (reply := gets()) is not False:
                call = sent.popleft()
                if reply.__class__ is ReplyError and call.again:
                    if link.odd(self, call, reply):
                        continue
                    return
                link.bytes_waiting -= len(call.data)
                future = call.future
                if not future.done():
                    future.set_result(reply)
        except (ConnectionError, IndexError) as error:
            link.drop(self, f"the server does not speak as Redis does: {error}")
            return
        self.heard = link.loop.time()
        if link.held and not sent:
            link.settle()


class Link(Line[_Wire]):
    """A line to the server at the address that `where` finds (asked before every attempt).

    `timeout`: seconds that a call waits at most, and that a server may be silent. `most`: calls
    without a reply; more fail at once with Unavailable. A call's future gets the reply, or raises
    Unavailable or ReplyError.
    """

    def __init__(
        self,
        access: Access,
        where: Callable[[], Awaitable[Address]],
        owner: Owner,
        *,
        timeout: float,
        most: int,
    ) -> None:
        super().__init__(access, where, timeout)
        self._owner = owner
        self._most = most
        self._retry: asyncio.TimerHandle | None = None
        self._stopped = False
        self.up_since = inf
        """Loop time; inf while it is not up."""
        self._away_since = self.loop.time()
        """Loop time; while it is not up."""
        self.held = False
        """Nothing is written before the last reply has come."""
        self._held_by_owner = False
        self._direct = False
        """Up, not held, and the transport takes more."""
        self._sent: deque[Call] = deque()
        """The wire's, while there is one."""
        self._redo: list[Call] = []
        """Were answered, but have to be sent again before everything else."""
        self._waiting: deque[Call] = deque()
        """Not sent on this connection. Oldest first, as everywhere."""
        self.bytes_waiting = 0
        self._out: list[bytes] = []
        self._flushing = False
        self._known: set[Script] = set()
        self._asked = -inf
        self._clock_offset = time.time() - time.monotonic()
        # Totals.
        self.commands = 0
        self.writes = 0
        self.resent = 0
        self.expired = 0
        self.refused = 0
        self.breaks = 0

    # -- calls ------------------------------------------------------------------------------------

    @property
    def unanswered(self) -> int:
        """Calls without a reply."""
        return len(self._sent) + len(self._redo) + len(self._waiting)

    @property
    def in_flight(self) -> int:
        """Calls whose reply may come on this connection."""
        return len(self._sent)

    def server_time(self) -> float:
        """The server's clock, seconds since 1970, give or take a round trip."""
        return time.monotonic() + self._clock_offset

    def send(self, call: Call) -> None:
        """Send it behind all that was sent before. When the server has been away for the timeout
        already, it fails at once: one request after the other would wait as long again."""
        if self._wire is None and self.loop.time() >= self._away_since + self._timeout:
            self.refused += 1
            _fail(call, Unavailable(self.trouble or f"Redis at {self.address}: not connected"))
            return
        if len(self._sent) + len(self._waiting) >= self._most or self._stopped:
            self._refuse(call)
            return
        self.bytes_waiting += len(call.data)
        if self.bytes_waiting > BYTES_WAITING:
            self.bytes_waiting -= len(call.data)
            self._refuse(call)
        elif self._direct:
            self._put(call)
        else:
            self._waiting.append(call)

    def take(self, calls: Iterable[Call]) -> None:
        """Calls that were accepted already, by another link."""
        for call in calls:
            self.bytes_waiting += len(call.data)
            self._waiting.append(call)
        self.steer()

    def take_asked(self, call: Call) -> None:
        """The same for one that this server takes only because another one said ASK."""
        if self._direct:
            self.bytes_waiting += len(call.data)
            if call.script is not None and call.script not in self._known:
                self._load(call.script)
            self.ask(("ASKING",))
            self._put(call)
        else:  # it will be told MOVED or ASK again
            self.take([call])

    def give_back(self) -> list[Call]:
        """All calls that nobody answered; for a link that is held and idle, or down. They are
        forgotten here."""
        assert not self._sent
        calls = [*self._redo, *self._waiting]
        self._redo.clear()
        self._waiting.clear()
        self.bytes_waiting = 0
        return calls

    def hold(self) -> None:
        """Write nothing any more; `Owner.on_idle` tells when the last reply has come, at once if
        there is none to wait for."""
        self.held = self._held_by_owner = True
        self.steer()
        if not self._sent:
            self._owner.on_idle(self)

    def release(self) -> None:
        """Go on after `hold`."""
        self._held_by_owner = False
        if not self._redo:
            self.held = False
            self.steer()
        elif not self._sent and self._retry is None:
            self._go_on()

    # -- writing

    def _put(self, call: Call) -> None:
        script = call.script
        if script is not None and script not in self._known:
            self._load(script)
        self._sent.append(call)
        self._out.append(call.data)
        if not self._flushing:
            self._flushing = True
            self.loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flushing = False
        wire, out = self._wire, self._out
        if wire is None or not out:
            return
        if len(wire.sent) == len(out):  # all of them are new
            wire.heard = self.loop.time()
        self.commands += len(out)
        self.writes += 1
        data = out[0] if len(out) == 1 else b"".join(out)
        out.clear()
        wire.transport.write(data)

    def _load(self, script: Script) -> None:
        """Before its first use on a connection, so that no call comes back with NOSCRIPT and has to
        go behind later ones. Only SCRIPT FLUSH leads to that."""
        self._known.add(script)
        self.ask(("SCRIPT", "LOAD", script.source)).add_done_callback(partial(self._loaded, script))

    def _loaded(self, script: Script, loading: asyncio.Future[Any]) -> None:
        if not loading.cancelled() and isinstance(loading.result(), ReplyError):
            log.error("the script %s cannot be loaded: %s", script.name, loading.result())

    def ask(self, command: Command) -> asyncio.Future[Any]:
        """A command for this connection only, which is up: never resolved when it breaks; an error
        reply is a result."""
        call = Call(pack([command]), self.loop.create_future(), inf, again=False)
        self.bytes_waiting += len(call.data)
        self._put(call)
        return call.future

    def steer(self) -> None:
        """Something has changed: write what waits, if that can be done now."""
        wire = self._wire
        self._direct = wire is not None and not wire.blocked and not self.held
        if not self._direct or not self._waiting:
            return
        size = 0
        waiting = self._waiting
        while waiting and self._direct:
            call = waiting.popleft()
            if call.future.done():  # given up
                self.bytes_waiting -= len(call.data)
                continue
            self._put(call)
            size += len(call.data)
            if size > _CHUNK:
                size = 0
                self._flush()  # may block the wire

    # -- what comes back --------------------------------------------------------------------------

    def odd(self, wire: _Wire, call: Call, error: ReplyError) -> bool:
        """An error reply to a call. False: the connection was dropped because of it."""
        code = error.code
        if code in AWAY:
            wire.sent.appendleft(call)
            self.drop(wire, str(error))
            return False
        call.tries += 1
        if code == "ASK" and self._owner.on_ask(self, call, error):
            self.bytes_waiting -= len(call.data)
        elif code in MOVED and self._owner.on_moved(self, error):
            self._redo.append(call)
        elif code in AGAIN and not (code == "NOSCRIPT" and call.tries > TRIES):
            self._send_again(call, code)
        else:
            self.bytes_waiting -= len(call.data)
            if code in DENIED:
                _fail(call, Unavailable(f"Redis at {self.address}: {error}"))
                self._owner.on_denied(self, call, error)
            else:
                _fail(call, error)
        return True

    def _send_again(self, call: Call, code: str) -> None:
        """Later ones must not overtake it: nothing is written until all have been answered."""
        self._redo.append(call)
        self.held = True
        self._direct = False
        if code == "NOSCRIPT" and call.script is not None:
            self._known.discard(call.script)
        elif self._retry is None:
            self._retry = self.loop.call_later(RETRY, self._try_again)

    def settle(self) -> None:
        """The link is held, and the last reply has come."""
        if self._held_by_owner:
            self._owner.on_idle(self)
        elif not self._redo:
            self.held = False
            self.steer()
        elif self._retry is None:
            self._go_on()

    def _try_again(self) -> None:
        self._retry = None
        if self.held and not self._sent and not self._held_by_owner:
            self._go_on()

    def _go_on(self) -> None:
        """One goes ahead: when it is refused again, nothing has overtaken it."""
        self._waiting.extendleft(reversed(self._redo))
        self.resent += len(self._redo)
        self._redo.clear()
        while self._waiting and self._waiting[0].future.done():  # given up
            self.bytes_waiting -= len(self._waiting.popleft().data)
        if self._waiting and self._wire is not None:
            self._put(self._waiting.popleft())
        else:
            self.settle()

    # -- connecting -------------------------------------------------------------------------------

    async def stop(self) -> None:
        """Wait until what was accepted is answered (or timed out), and close. For good."""
        self._stopped = True
        futures = [
            call.future
            for call in (*self._sent, *self._redo, *self._waiting)
            if call.again and not call.future.done()
        ]
        if futures and self._run is not None:
            await asyncio.wait(futures, timeout=self._timeout * 1.5)
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        await super().stop()
        for call in self.give_back():
            _fail(call, Unavailable("Redis: closed"))

    def on_failure(self, address: Address | None, error: Exception) -> None:
        """See `User.on_failure`."""
        super().on_failure(address, error)
        self.address = address or self.address
        self._owner.on_failed(self, error)

    def on_transport(
        self, transport: asyncio.Transport, hello: Hello, address: Address
    ) -> asyncio.Future[None]:
        """See `User.on_transport`."""
        wire = _Wire(self, transport)
        self._go_up(wire, address)
        self._sent = wire.sent
        self._known.clear()
        self._clock_offset = hello.clock - time.monotonic()
        self.up_since = self._asked = self.loop.time()
        older, self._waiting = self._waiting, deque()
        self.steer()
        self._owner.on_up(self)
        self._waiting.extend(older)
        self.steer()
        return wire.broken

    def _lost(self, reason: str) -> None:
        self.breaks += 1
        self._owner.on_down(self, reason)

    def _come_down(self, wire: _Wire, reason: str) -> None:
        super()._come_down(wire, reason)
        waited = self.loop.time() - wire.heard if wire.sent else 0.0
        self._away_since = self.loop.time() - waited
        self.up_since = inf
        self._out.clear()
        back = []
        for call in (*self._redo, *wire.sent):
            if call.again and not call.future.done():
                back.append(call)
            else:
                self.bytes_waiting -= len(call.data)
        self.resent += len(back)
        self._waiting.extendleft(reversed(back))
        self._redo.clear()
        self._sent = deque()
        wire.sent.clear()
        held, self.held = self.held, self._held_by_owner
        self.steer()
        if held and self._held_by_owner:
            self._owner.on_idle(self)

    # -- time -------------------------------------------------------------------------------------

    def _look(self, now: float) -> None:
        for calls in (self._sent, self._redo, self._waiting):
            self._expire(calls, now)
        while self._waiting and self._waiting[0].future.done():
            self.bytes_waiting -= len(self._waiting.popleft().data)
        wire = self._wire
        if wire is None:
            return
        if wire.sent and now - wire.heard > self._timeout:
            self.drop(wire, f"no answer for {now - wire.heard:.1f} s")
        elif self._direct and now - self._asked >= self._timeout / 2:
            # Also under load: the server's clock may be set while we are connected.
            self._asked = now
            self.ask(("TIME",)).add_done_callback(partial(self._set_clock, time.monotonic()))

    def _expire(self, calls: Iterable[Call], now: float) -> None:
        """Oldest first, so a look at the first ones is enough. What was sent stays in its place:
        its reply may still come."""
        for call in calls:
            if call.deadline > now:
                if call.again:
                    return
            elif not call.future.done():
                self.expired += 1
                _fail(call, Unavailable(self.trouble or f"Redis at {self.address}: no answer"))

    def _set_clock(self, asked: float, answer: asyncio.Future[Any]) -> None:
        """The reading was taken between question and answer: an estimate outside of that is moved
        to the nearer end. So a slow answer does no harm, and a clock that was set is noticed."""
        if answer.cancelled() or isinstance(answer.result(), ReplyError):
            return
        clock = seconds(answer.result())
        earliest, latest = clock - time.monotonic(), clock - asked
        self._clock_offset = min(max(self._clock_offset, earliest), latest)

    def _refuse(self, call: Call) -> None:
        self.refused += 1
        reason = "closed" if self._stopped else "too many commands wait for it"
        _fail(call, Unavailable(f"Redis at {self.address}: {reason}"))


def _fail(call: Call, error: Exception) -> None:
    if not call.future.done():
        call.future.set_exception(error)
