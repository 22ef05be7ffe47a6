"""A request's connection taken from aiohttp, to be a WebSocket from then on.

aiohttp has routed the request; here the handshake is checked (RFC 6455, 4.2.1), and one of two
readers answers it and owns the TCP connection: no task, no queue and no request object is kept.
Knows nothing of sessions. aiohttp has no public door for it, so its version is bounded.
"""

from __future__ import annotations

import asyncio
import binascii
import importlib.util
import logging
import socket as sockets
from base64 import b64decode
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from socket import AF_INET, AF_INET6, IPPROTO_TCP
from typing import Any, Final, cast

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

from sioserver._version import SOFTWARE
from sioserver.websocket import aiohttp_reader, deflate
from sioserver.websocket.connection import Receiver, WebSocket
from sioserver.websocket.deflating import Codec, DeflatingWebSocket

log = logging.getLogger(__name__)

Begin = Callable[[WebSocket, asyncio.Transport, str, dict[str, str], int], Callable[[bytes], None]]
"""What the readers' modules have in common; see picows_reader.py."""

READERS: Final = ("auto", "picows", "aiohttp")
"""Who parses frames; auto: see `preferred`."""

VERSIONS: Final = ("13", "8", "7")
"""Of the WebSocket protocol: the same frames under all of these numbers."""


def reader(name: str) -> Begin:
    """The reader of this name, one of `READERS`.

    Raises ValueError for another name, and ImportError when it is picows and that is missing.
    """
    if name not in READERS:
        raise ValueError(f"a WebSocket is read by one of {', '.join(READERS)}; not by {name!r}")
    try:
        return _module(preferred() if name == "auto" else name)
    except ImportError as error:
        raise ImportError(
            "transport.websocket is picows, which cannot be imported; install it, "
            f'or set "auto" ({error})'
        ) from error


def preferred() -> str:
    """aiohttp's parser, where aiohttp has come compiled: it costs the least (docs/decisions/0014).
    Where its parser is Python, picows, if that can be imported."""
    if not aiohttp_reader.COMPILED:
        if importlib.util.find_spec("picows") is not None:
            return "picows"
        log.info("WebSockets are read by Python code, which costs more; install picows")
    return "aiohttp"


def _module(name: str) -> Begin:
    return cast(Begin, importlib.import_module(f"sioserver.websocket.{name}_reader").begin)


_NOBODY: Final = asyncio.Protocol()
UNSENT: Final = 65_536
"""Bytes that the kernel takes of a connection beyond what it can send to the peer now. By itself it
takes up to 4 MiB (net.ipv4.tcp_wmem) for each peer that does not read: 3.9 MB were measured, which
nobody counts, and 0.1 to 0.6 MB with this, most of it in the peer's own buffer."""

_NOTSENT_LOWAT: Final = getattr(sockets, "TCP_NOTSENT_LOWAT", None)


REFUSED: Final = "Bad WebSocket handshake"
"""How a request is counted that is none."""


class Malformed(Exception):
    """A handshake is none, and was answered so. The message says why."""


class Detached(web.StreamResponse):
    """The response of a request whose connection another protocol owns: nothing is written."""

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Nothing to prepare."""
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        """Nothing to end."""

    @property
    def prepared(self) -> bool:
        """aiohttp must not prepare it."""
        return True


def take_over(
    request: web.Request,
    receiver: Receiver,
    max_message: int,
    opened: Callable[[WebSocket], None],
    begin: Begin,
    codec: Codec | None = None,
    protocol: str = "",
) -> bool:
    """Turn the request's connection into a WebSocket; False when it is over already.

    The handshake is answered here (101, or 400 and then it raises `Malformed`), then
    `opened(socket)` is called, then come the frames. The handler must return `detached()` right
    after, without waiting for anything. `codec`: messages are compressed, with clients that can do
    that. `protocol`: which of the sub-protocols that the client offers was chosen.
    """
    tcp = request.transport
    if tcp is None or tcp.is_closing():
        return False
    handler = request.protocol
    fault, agreed = _fault(request), None
    if not fault and codec is not None:
        offered = ",".join(request.headers.getall("Sec-WebSocket-Extensions", ()))
        try:
            agreed = deflate.agree(offered, codec.settings)
        except ValueError as error:
            fault = str(error)
    if fault:
        tcp.write(_refusal(fault))
        let_go(request)
        tcp.close()
        raise Malformed(fault)
    _bound_unsent(tcp)
    tail = handler._message_tail  # frames that came right behind the request
    headers = {"Sec-WebSocket-Protocol": protocol} if protocol else {}
    if agreed is None or codec is None:
        socket = WebSocket(receiver, tcp, max_message)
    else:
        socket = DeflatingWebSocket(receiver, tcp, max_message, codec, agreed)
        headers["Sec-WebSocket-Extensions"] = agreed.answer
    # uvloop keeps the last `data_received` it was given, and with it everything that aiohttp knows
    # of the connection (2.5 KiB), when the next protocol is one that gives it a buffer
    tcp.set_protocol(_NOBODY)
    feed = begin(socket, tcp, request.headers["Sec-WebSocket-Key"], headers, max_message)
    let_go(request)
    if tcp.is_closing():
        return True  # the answer could not be written; the reader will say so
    # aiohttp pauses when much has come behind the request; before the tail is handled, for that
    # may be so much that the receiver pauses
    tcp.resume_reading()
    opened(socket)
    socket.flush()  # in one write with the answer to the handshake
    feed(tail)
    return True


def _bound_unsent(tcp: asyncio.Transport) -> None:
    """What a slow peer makes wait shall wait here, where it is counted, and not in the kernel."""
    sock = tcp.get_extra_info("socket")
    if _NOTSENT_LOWAT is not None and sock.family in (AF_INET, AF_INET6):
        with suppress(OSError):  # a kernel that does not know it; then there is no such bound
            sock.setsockopt(IPPROTO_TCP, _NOTSENT_LOWAT, UNSENT)


def let_go(request: web.Request) -> None:
    """aiohttp must not close the connection that it no longer owns, and lets go of everything
    about it. The handler must return `detached()` right after."""
    handler = request.protocol
    handler.transport = None
    asyncio.get_running_loop().call_soon(_forget, request, handler)


def _forget(request: web.Request, handler: web.RequestHandler) -> None:
    handler.connection_lost(None)
    # whoever keeps the request (a library user's `environ` does) shall not keep 1.7 KiB of aiohttp
    # with it: for a connection that is lost, `request.transport` is None in any case
    parts: Any = request
    parts._protocol = parts._payload_writer = None


def detached(status: int = HTTPStatus.SWITCHING_PROTOCOLS) -> Detached:
    """The response of a request whose connection was taken over. `status`: what its client was
    answered, for the log and the counters."""
    response = Detached(status=status)
    response.force_close()
    return response


def _fault(request: web.Request) -> str:
    """What is wrong with a handshake (RFC 6455, 4.2.1), if anything is."""
    headers = request.headers
    if headers.get("Upgrade", "").strip().lower() != "websocket":
        return "the Upgrade is not to websocket"
    # one of several tokens, perhaps: browsers keep "keep-alive" beside it
    tokens = ",".join(headers.getall("Connection", ())).lower().split(",")
    if "upgrade" not in [token.strip() for token in tokens]:
        return "no Upgrade in Connection"
    if headers.get("Sec-WebSocket-Version") not in VERSIONS:
        return "another version than 13"
    try:
        nonce = b64decode(headers.get("Sec-WebSocket-Key", "").encode(), validate=True)
    except binascii.Error:
        nonce = b""
    return "" if len(nonce) == 16 else "no valid Sec-WebSocket-Key"


def _refusal(fault: str) -> bytes:
    lines = (
        "HTTP/1.1 400 Bad Request",
        "Connection: close",
        "Content-Type: text/plain",
        f"Content-Length: {len(fault)}",
        f"Server: {SOFTWARE}",
        "X-Content-Type-Options: nosniff",
        "Sec-WebSocket-Version: 13",
    )
    return "\r\n".join((*lines, "", fault)).encode()
