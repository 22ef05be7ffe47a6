"""A WebSocket whose session lives on a node that the connection cannot be passed to: bytes, both
ways, between the client and that node.

The handshake is the owner's: its answer is looked at before anything of the client's follows, so
that nothing from outside can be taken for a request of ours. Knows nothing of who may be asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, cast

from aiohttp import web

from sioserver.websocket import takeover

HANDSHAKE: Final = 10.0
"""Seconds that the owner has for its answer."""

LARGEST_ANSWER: Final = 65_536
"""Bytes of an answer that is no upgrade; more is not ours."""

WAITING: Final = 65_536
"""Bytes that one side has not taken, beyond which the other is not read."""

HALF_CLOSED: Final = 10.0
"""Seconds that one direction may outlive the other."""

CLOSE_TIMEOUT: Final = 1.0
"""Seconds that a peer has to read what was written before the end."""

HOP_BY_HOP: Final = frozenset(
    {"connection", "keep-alive", "transfer-encoding", "content-length", "upgrade", "trailer", "te"}
)

Connect = Callable[[Callable[[], asyncio.Protocol]], Awaitable[object]]
"""Opens a connection to the owner with a protocol that the argument makes. Raises OSError."""


class Side(asyncio.Protocol):
    """One end of a relay."""

    def __init__(self, ended: Callable[[], None]) -> None:
        self.other: Side
        self.tcp: asyncio.Transport | None = None
        self._ended = ended
        self._over: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Connected."""
        self.tcp = cast(asyncio.Transport, transport)  # uvloop's are no subclass of it
        self.tcp.set_write_buffer_limits(high=WAITING)

    def data_received(self, data: bytes) -> None:
        """Bytes for the other side."""
        self.other.write(data)

    def write(self, data: bytes) -> None:
        """Pass bytes to this side."""
        if self.tcp is not None and not self.tcp.is_closing():
            self.tcp.write(data)

    def pause_writing(self) -> None:
        """This side takes no more for now: the other is not read."""
        other = self.other.tcp
        if other is not None and not other.is_closing():
            other.pause_reading()

    def resume_writing(self) -> None:
        """This side takes more again."""
        other = self.other.tcp
        if other is not None and not other.is_closing():
            other.resume_reading()

    def eof_received(self) -> bool:
        """The client writes no more. True: the other direction goes on, for a while."""
        tcp, other = self.tcp, self.other.tcp
        encrypted = tcp is not None and tcp.get_extra_info("sslcontext") is not None
        if encrypted or other is None or other.is_closing() or not other.can_write_eof():
            return False
        other.write_eof()
        self._over = asyncio.get_running_loop().call_later(HALF_CLOSED, self.abort)
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """This side is over, and so is the other."""
        self.tcp = None
        if self._over is not None:
            self._over.cancel()
        if exc is None:
            self.other.finish()
        else:
            self.other.abort()
        self._ended()

    def finish(self) -> None:
        """Close when everything is written, or soon."""
        if self.tcp is not None and not self.tcp.is_closing():
            if self.tcp.get_write_buffer_size():
                # whoever does not read now will not read later either
                asyncio.get_running_loop().call_later(CLOSE_TIMEOUT, self.abort)
            self.tcp.close()

    def abort(self) -> None:
        """Close at once."""
        if self.tcp is not None:
            self.tcp.abort()


class Owner(Side):
    """The owner's end, which begins with the answer to the handshake."""

    def __init__(self, ended: Callable[[], None]) -> None:
        super().__init__(ended)
        self.answer = bytearray()
        self.answered: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        """Done when the answer's head is there and it is an upgrade (True), or when everything is
        there and it is none (False)."""

    def data_received(self, data: bytes) -> None:
        """The answer to the handshake, then bytes for the client."""
        if self.answered.done():
            super().data_received(data)
            return
        self.answer += data
        if self.answer.startswith(b"HTTP/1.1 101 ") and b"\r\n\r\n" in self.answer:
            assert self.tcp is not None
            self.tcp.pause_reading()  # until the client's side is there
            self.answered.set_result(True)
        elif len(self.answer) > LARGEST_ANSWER:
            self.answer.clear()
            self.abort()

    def eof_received(self) -> bool:
        """The owner writes no more: then it does not read any more either."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """The owner's side is over."""
        if self.answered.done():
            super().connection_lost(exc)
        else:
            self.tcp = None
            self.answered.set_result(False)


class Relay:
    """A relay that runs until one of its ends does."""

    def __init__(self, ended: Callable[[Relay], None]) -> None:
        """`ended(relay)` is called once the client's side is over."""
        self._owner = Owner(lambda: None)
        self._client = Side(lambda: ended(self))
        self._owner.other, self._client.other = self._client, self._owner

    async def ask(self, connect: Connect, head: bytes) -> web.Response | None:
        """Pass the handshake on; None when the owner has agreed, else its answer.

        Raises OSError (TimeoutError too) when there is no answer.
        """
        owner = self._owner
        try:
            async with asyncio.timeout(HANDSHAKE):
                await connect(lambda: owner)
                owner.write(head)
                if await owner.answered:
                    return None
        except BaseException:
            owner.answered.cancel()
            owner.abort()
            raise
        return _answer(bytes(owner.answer))

    def join(self, request: web.Request) -> bool:
        """The client's connection is ours from now on, and the handler must return
        `takeover.detached()` right after; False when one of the two has gone."""
        tcp, owner = request.transport, self._owner
        if tcp is None or tcp.is_closing() or owner.tcp is None:
            owner.abort()
            return False
        handler = request.protocol
        tail, handler._message_tail = handler._message_tail, b""
        tcp.set_protocol(self._client)
        self._client.connection_made(tcp)
        takeover.let_go(request)
        # aiohttp pauses when much has come behind the request; before that is written, for it may
        # be so much that the owner's side pauses the client's
        tcp.resume_reading()
        owner.tcp.resume_reading()
        self._client.write(bytes(owner.answer))
        owner.answer.clear()
        if tail:
            owner.write(tail)
        return True

    def close(self) -> None:
        """End it: the client comes back by itself."""
        self._owner.finish()
        self._client.finish()


def _answer(data: bytes) -> web.Response:
    """A refusal as the owner wrote it, until it closed the connection. Raises ConnectionError."""
    head, parted, body = data.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    version, _, rest = lines[0].partition(" ")
    status = rest.partition(" ")[0]
    if not parted or version != "HTTP/1.1" or not (status.isdigit() and len(status) == 3):
        raise ConnectionResetError("the owner of the session did not answer")
    answer = web.Response(status=int(status), body=body)
    for line in lines[1:]:
        name, _, value = line.partition(":")
        if name.lower() == "content-length" and value.strip() != str(len(body)):
            raise ConnectionResetError("the owner of the session ended in the middle of its answer")
        if name.lower() not in HOP_BY_HOP:
            answer.headers[name] = value.strip()
    return answer
