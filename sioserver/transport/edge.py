"""What all answers of the Engine.IO server have in common: who asks, from where, refusals, CORS.

Knows HTTP requests, but neither sessions nor packets.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Sequence
from math import ceil
from typing import Any, Final, NamedTuple
from weakref import WeakKeyDictionary

import engineio
from aiohttp import web
from engineio.async_drivers import aiohttp as driver

from sioserver._version import SOFTWARE
from sioserver.auth.bearer import token_in
from sioserver.origins import Origins, listed_origin, same_origin
from sioserver.transport import binding
from sioserver.transport.address import Proxies
from sioserver.transport.binding import Binding
from sioserver.transport.caller import caller_of

ADMITTED: Final = web.RequestKey("sioserver.origin", str)
"""The origin of a request, once it was found to be allowed."""

ORIGIN: Final = "sioserver.origin"
"""The same in the environ that python-engineio makes the CORS headers from."""


TEXT: Final = "text/plain; charset=UTF-8"
HTML: Final = "text/html; charset=UTF-8"
JSON: Final = "application/json; charset=UTF-8"

METHODS: Final = "OPTIONS, GET, POST"
PREFLIGHT_AGE: Final = "600"
"""Seconds that a browser need not ask again whether it may ask."""


class Refused(NamedTuple):
    """A row of engine.io's table of refused requests."""

    code: int
    message: str
    status: int = 400


TRANSPORT_UNKNOWN: Final = Refused(0, "Transport unknown")
SESSION_UNKNOWN: Final = Refused(1, "Session ID unknown")
BAD_METHOD: Final = Refused(2, "Bad handshake method")
BAD_REQUEST: Final = Refused(3, "Bad request")
BAD_VERSION: Final = Refused(5, "Unsupported protocol version")
BAD_ORIGIN: Final = Refused(3, "This origin is not allowed")
TOKEN_IN_ADDRESS: Final = Refused(
    3, "A token does not belong into the address: send it in auth, or as Authorization: Bearer"
)
TOO_LARGE: Final = Refused(3, "The body is larger than maxPayload", 413)
TOO_SLOW: Final = Refused(3, "The body did not come in time", 408)
BUSY: Final = Refused(3, "No more connections just now", 503)
CROWDED: Final = Refused(3, "Too many connections from this address", 503)
TOO_FAST: Final = Refused(3, "Too many new connections just now", 503)
TOO_FAST_THERE: Final = Refused(3, "Too many new connections from this address", 503)
NO_MEMORY: Final = Refused(3, "No memory for more connections", 503)
GUESSING: Final = Refused(3, "Too many unknown sessions from this address", 503)
STOPPING: Final = Refused(3, "The server is stopping", 503)

FULL: Final = {
    "memory": NO_MEMORY,
    "connections": BUSY,
    "address_connections": CROWDED,
    "accept_rate": TOO_FAST,
    "address_accept_rate": TOO_FAST_THERE,
    "unknown_session_rate": GUESSING,
}
"""What who comes is told when there is no place for them, by the limit that was reached."""


def token_in_address(request: web.Request) -> str | None:
    """The token in the request's query, where logs, histories and proxies keep it."""
    return token_in(request.query)


class Edge(engineio.AsyncServer):
    """What `EngineServer` is built on: requests read, answers written."""

    def __init__(
        self, trusted_proxies: Sequence[str], origins: Origins | None = None, **options: Any
    ) -> None:
        super().__init__(**options)
        self.proxies = Proxies(trusted_proxies)
        self.origins = origins

    # ------------------------------------------------------------ who asks

    def environ_of(self, request: web.Request) -> dict[str, Any]:
        """The WSGI-like description that connect handlers get, with the client's real address."""
        environ: dict[str, Any] = driver.translate_request(request)
        environ["REMOTE_ADDR"] = self.address_of(request)
        environ["wsgi.url_scheme"] = self.scheme_of(request)
        return environ

    def address_of(self, request: web.Request) -> str:
        """The client's address, behind however many trusted proxies."""
        return self.proxies.client(caller_of(request).remote, _row(request, "X-Forwarded-For"))

    def scheme_of(self, request: web.Request) -> str:
        """What the client's connection speaks: "http", "https" when it is encrypted, or what a
        trusted proxy says."""
        return self._said(request, "X-Forwarded-Proto").lower() or caller_of(request).scheme

    def binding_of(self, request: web.Request, address: str | None = None) -> Binding:
        """To whom the request's session belongs, if it opens one; or who asks for it. `address`:
        what `address_of` says, where it was asked already (it takes 3 to 5 us)."""
        if address is None:
            address = self.address_of(request)
        return binding.read(request.headers, address, self.host_of(request))

    def comes_from_proxy(self, request: web.Request) -> bool:
        """Has a trusted proxy passed it on?"""
        return self.proxies.trusted(caller_of(request).remote)

    def host_of(self, request: web.Request) -> str | None:
        """By what name (and port) the server was asked; None: by none, which browsers never do."""
        # an absolute target counts more than the header (RFC 9112, section 3.2.2)
        origin_form = request.raw_path.startswith("/")
        host = request.headers.get("Host") if origin_form else request.url.authority
        return self._said(request, "X-Forwarded-Host") or host or None

    def _said(self, request: web.Request, name: str) -> str:
        """What a trusted proxy says of the client's own request; "" where none does."""
        row = _row(request, name)
        if not row:
            return ""
        return self.proxies.said(caller_of(request).remote, _row(request, "X-Forwarded-For"), row)

    def admit_origin(self, request: web.Request) -> bool:
        """May a page of the request's origin ask? Requests without one are not from pages, or read
        only: a browser leaves it out where a page of another site asks and cannot see the answer.
        """
        origin = request.headers.get("Origin")
        if origin is None:
            return not self._is_blind(request)
        if not self._origin_allowed(origin, request):
            self.logger.warning(
                "a page of the origin %.200r was refused; if it is yours, add it to server.origins",
                origin,
            )
            return False
        request[ADMITTED] = origin
        return True

    def _is_blind(self, request: web.Request) -> bool:
        # an image, a script or a link on somebody's page: it would open sessions that nobody uses
        if self.origins is None or self.origins.anybody:
            return False
        return request.headers.get("Sec-Fetch-Site", "none") in ("cross-site", "same-site")

    def _origin_allowed(self, origin: str, request: web.Request) -> bool:
        if self.origins is not None:
            return self.origins.anybody or self._is_own(origin, request) or origin in self.origins
        allowed = self.cors_allowed_origins
        if allowed == []:
            return True  # python-engineio: CORS handling is switched off
        if callable(allowed):
            arguments = (origin, self.environ_of(request))
            return bool(allowed(*arguments[: 2 if takes(allowed, 2) else 1]))
        if allowed is None:
            return self._is_own(origin, request)
        return listed_origin(origin, [allowed] if isinstance(allowed, str) else allowed)

    def _is_own(self, origin: str, request: web.Request) -> bool:
        return same_origin(origin, self.scheme_of(request), self.host_of(request))

    # ------------------------------------------------------------ answers

    def refuse(
        self, request: web.Request, refused: Refused, retry_after: float = 1.0
    ) -> web.Response:
        """An answer that says why not; `retry_after` (seconds) is told where it may help."""
        headers = {"Retry-After": str(ceil(retry_after))} if refused.status == 503 else {}
        return self.answer(request, self.reason_why(refused), refused.status, JSON, headers)

    def reason_why(self, refused: Refused) -> bytes:
        """The body of such an answer, which is JSON."""
        return self.dump({"code": refused.code, "message": refused.message})

    def answer(
        self,
        request: web.Request,
        body: bytes,
        status: int = 200,
        content_type: str = TEXT,
        headers: dict[str, str] | None = None,
    ) -> web.Response:
        """An answer with the headers that each one has, compressed where that is worth it."""
        answer = headers or {}
        answer.update(self.fields_of(request))
        body, coding = self.compressed(body, self.coding_of(request))
        if coding:
            answer["Content-Encoding"] = coding
        answer["Content-Type"] = content_type
        return web.Response(body=body, status=status, headers=answer)

    def fields_of(self, request: web.Request) -> dict[str, str]:
        """The headers of every answer to this request, whatever is in it."""
        fields = self._cors_fields(request)
        fields["Server"] = SOFTWARE
        fields["Cache-Control"] = "no-store"
        fields["X-Content-Type-Options"] = "nosniff"
        return fields

    def _cors_fields(self, request: web.Request) -> dict[str, str]:
        if self.origins is None:
            fields = dict(self._cors_headers(_cors_environ(request)))
            return fields if self.cors_allowed_origins == [] else {**fields, "Vary": "Origin"}
        if self.origins.anybody:
            fields = {"Access-Control-Allow-Origin": "*"}  # which forbids credentials
        else:
            fields = {"Vary": "Origin"}
            if ADMITTED not in request:
                return fields
            fields["Access-Control-Allow-Origin"] = request[ADMITTED]
        if request.method == "OPTIONS":
            fields["Access-Control-Allow-Methods"] = METHODS
            fields["Access-Control-Max-Age"] = PREFLIGHT_AGE
            wanted = request.headers.get("Access-Control-Request-Headers", "")
            if _NAMES.fullmatch(wanted):
                fields["Access-Control-Allow-Headers"] = wanted
        return fields

    def coding_of(self, request: web.Request) -> str:
        """How answers to this request are compressed, when they are; empty: not at all."""
        if not self.http_compression:
            return ""
        accepted = request.headers.get("Accept-Encoding", "").split(",")
        codings = [coding.split(";")[0].strip() for coding in accepted]
        return next((coding for coding in self.compression_methods if coding in codings), "")

    def compressed(self, body: bytes, coding: str) -> tuple[bytes, str]:
        """The body, compressed if that is worth it, and its Content-Encoding or nothing."""
        if coding and len(body) >= self.compression_threshold:
            return getattr(self, "_" + coding)(body), coding
        return body, ""

    @staticmethod
    def dump(value: Any) -> bytes:
        """JSON of the server's own codec."""
        return bytes(engineio.packet.Packet.json.dumps(value, separators=(",", ":")).encode())

    def _cors_allowed_origins(self, environ: dict[str, str]) -> list[str]:
        # python-engineio asks this when it builds the headers; the decision has been made
        return [environ[ORIGIN]] if ORIGIN in environ else []


def _row(request: web.Request, name: str) -> str:
    """A header that each proxy appends to, some of them as a line of its own; "" without it."""
    return ",".join(request.headers.getall(name, ()))


_NAMES: Final = re.compile(r"[a-z0-9-]+(?: *, *[a-z0-9-]+)*", re.ASCII | re.IGNORECASE)


def _cors_environ(request: web.Request) -> dict[str, str]:
    environ = {"REQUEST_METHOD": request.method}
    for header, name in (
        ("Origin", "HTTP_ORIGIN"),
        ("Access-Control-Request-Headers", "HTTP_ACCESS_CONTROL_REQUEST_HEADERS"),
    ):
        if (value := request.headers.get(header)) is not None:
            environ[name] = value
    if ADMITTED in request:
        environ[ORIGIN] = request[ADMITTED]
    return environ


class _LostSignal:
    """Stands in for the (empty) body of a waiting request, to hear of the connection's end."""

    def __init__(self, callback: Callable[[], None]) -> None:
        self._callback = callback

    def set_exception(self, exception: BaseException, cause: BaseException | None = None) -> None:
        """aiohttp tells the body that the connection is lost."""
        self._callback()


def on_connection_lost(request: web.Request, callback: Callable[[], None]) -> None:
    """Call `callback()` when the request's connection is lost while its handler waits.

    aiohttp has no public way to learn it unless the runner cancels handlers, which is not ours to
    decide: what it does do is to hand the error to the request's body, and a GET has none.
    """
    request._payload = _LostSignal(callback)  # type: ignore[assignment]  # no stream, see above


_TAKES: Final[WeakKeyDictionary[Any, dict[int, bool]]] = WeakKeyDictionary()


def takes(handler: Callable[..., Any], count: int) -> bool:
    """Can the handler be called with that many positional arguments?

    It is asked for every client that comes and goes, and to find out takes 30 us.
    """
    function = getattr(handler, "__func__", handler)  # methods are made anew each time
    try:
        known = _TAKES.setdefault(function, {})
    except TypeError:  # it has no hash, or cannot be referred to weakly
        known = {}
    if function is not handler:
        count += 1
    if count not in known:
        known[count] = _takes(function, count)
    return known[count]


def _takes(handler: Callable[..., Any], count: int) -> bool:
    try:
        inspect.signature(handler).bind(*range(count))
    except TypeError:
        return False
    except ValueError:
        return True  # a builtin without a signature
    return True
