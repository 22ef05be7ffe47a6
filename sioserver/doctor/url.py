"""What clients find at the server's address: both transports, sessions without stickiness, who is
let in from where, and what a browser is told.

Pure: facts in, findings out; `look_url` gathers them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from sioserver.addresses import is_loopback
from sioserver.config import Config
from sioserver.doctor.findings import Finding, fail, ok, skip, warn
from sioserver.doctor.redis import clock

SLOW_POLL: Final = 3.0
"""Seconds after which an answer is late that was due at once; who holds answers back does so for
longer."""

SOON: Final = 14.0
"""Days that a certificate should still have."""


class Site(NamedTuple):
    """Facts of an address. `None`: it was not asked, since something before it failed."""

    url: str
    host: str
    https: bool
    given: bool
    """Somebody named it; else it is what the configuration listens at."""
    error: str
    """Why nothing could be asked; empty: it answers."""
    handshake: Mapping[str, Any] | None
    """What the server said at the beginning of a session."""
    refusal: str
    """Or why there was none, in words."""
    late: float | None
    """Seconds from an event to the answer of the poll that waits for it."""
    lost: str | None
    """What a request of the session was answered with that came on another connection; empty: all
    were answered."""
    upgrade: str | None
    """Why the session did not become a WebSocket; empty: it did."""
    websocket: str | None
    """Why there is no WebSocket from the start; empty: there is."""
    compressed: bool | None
    """permessage-deflate was agreed upon."""
    own_origin: int | None
    """The status for a page of the address itself."""
    foreign_origin: int | None
    """The status for a page of another site."""
    page: Mapping[str, str] | None
    """The headers of the page, by names in lower case; None: there is none."""
    metrics: int | None
    """The status of /metrics."""
    certificate_days: float | None
    skew: float | None


def findings(config: Config, site: Site) -> Iterator[Finding]:
    """All of them."""
    if site.error:
        if site.given:
            yield fail("url", f"{site.url}: {site.error}", "is it the right address, and is it up?")
        else:
            yield skip(
                "url",
                f"nothing answers at {site.url} ({site.error}): what clients find was left out",
                "start the server, or name the address with --url",
            )
        return
    yield from _encryption(site)
    yield from _session(config, site)
    yield from _websocket(config, site)
    yield from _origins(config, site)
    if site.given:
        yield from _page(config, site)
        yield from _metrics(site)
    if site.skew is not None:
        yield from clock("url.clock", f"the clock of {site.host}", site.skew)


def _encryption(site: Site) -> Iterator[Finding]:
    days = site.certificate_days
    if not site.https and site.given and not is_loopback(site.host):
        yield warn("url.tls", f"{site.url} is not encrypted", "https://, by tls.cert or by a proxy")
    elif site.https and days is not None:
        words = f"the certificate is good for {days:.0f} more days"
        report = ok("url.tls", words) if days > SOON else warn("url.tls", words, "renew it")
        yield report


def _session(config: Config, site: Site) -> Iterator[Finding]:
    if "polling" not in config.transport.transports:
        return
    if site.handshake is None:
        yield fail(
            "url.polling",
            f"no session: {site.refusal}",
            "does the proxy pass on what is below server.path, as it is?",
        )
        return
    told, meant = site.handshake.get("pingInterval"), config.transport.ping_interval * 1000
    if told != meant:
        yield warn(
            "url.polling",
            f"the server there pings every {told} ms, this configuration says {meant:g}",
            "is it the configuration that is in force there?",
        )
    else:
        yield ok("url.polling", "sessions begin")
    if site.lost:
        yield fail(
            "url.sessions",
            f"a request of a session on another connection was answered with {site.lost}",
            "nodes must reach each other: cluster.address and cluster.secret on several hosts",
        )
    elif site.lost is not None:
        yield ok("url.sessions", "need not be sticky: requests on new connections are answered")
    if site.late is not None and site.late > SLOW_POLL:
        yield fail(
            "url.buffering",
            f"an event took {site.late:.1f} s to the poll that waited for it",
            "proxy_buffering off; and no buffering or scanning of answers on the way",
        )
    elif site.late is not None:
        yield ok("url.buffering", "answers are not held back")


def _websocket(config: Config, site: Site) -> Iterator[Finding]:
    if "websocket" not in config.transport.transports:
        return
    for what, reason in (("as such", site.websocket), ("from a session", site.upgrade)):
        if reason:
            yield fail(
                "url.websocket",
                f"no WebSocket {what}: {reason}",
                "the proxy has to pass Upgrade and Connection on, by HTTP/1.1",
            )
            return
    if site.websocket is not None:
        yield ok("url.websocket", "as such, and from a session")
    if config.deflate.enabled and site.compressed is False:
        yield warn(
            "url.compression",
            "deflate.enabled is set, and is not agreed upon: something on the way takes it out",
            "have the proxy pass Sec-WebSocket-Extensions on",
        )
    elif site.compressed is not None:
        yield ok("url.compression", "compressed" if site.compressed else "not compressed")


def _origins(config: Config, site: Site) -> Iterator[Finding]:
    if site.own_origin is not None and site.own_origin != 200:
        yield fail(
            "url.origin",
            f"pages of {site.url} are refused ({site.own_origin}): the server takes it for another "
            "site, because it does not believe what the proxy says of host and protocol",
            "have the proxy set Host and X-Forwarded-Proto, and name it in server.trusted_proxies",
        )
    elif site.own_origin is not None:
        yield ok("url.origin", f"pages of {site.url} may connect")
    if site.foreign_origin == 200:
        yield warn(
            "url.foreign_origin",
            "pages of every other site may connect",
            "list sites in server.origins instead",
        )
    elif site.foreign_origin is not None:
        yield ok("url.foreign_origin", "pages of other sites are refused")


def _page(config: Config, site: Site) -> Iterator[Finding]:
    headers = site.page
    if headers is None or not config.server.web:
        return
    missing = [
        name
        for name in ("content-security-policy", "x-content-type-options", "referrer-policy")
        if name not in headers
    ]
    if site.https and "strict-transport-security" not in headers:
        missing.append("strict-transport-security")
    if missing:
        yield warn(
            "url.headers",
            f"the page comes without {', '.join(missing)}",
            "have the proxy pass the server's headers on, and X-Forwarded-Proto to it",
        )
    else:
        yield ok("url.headers", "the page is told what it may do")


def _metrics(site: Site) -> Iterator[Finding]:
    if site.metrics == 200 and not is_loopback(site.host):
        yield warn(
            "url.metrics",
            "/metrics is open to everybody there",
            "have the proxy answer 404 for /metrics, /healthz and /readyz",
        )
    elif site.metrics is not None:
        yield ok("url.metrics", f"/metrics answers {site.metrics} there")
