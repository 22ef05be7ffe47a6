"""How the server is reached and how it runs: addresses, TLS, transports, compression, the log.

Who may come in once it is reached is not said here.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, field

from sioserver.config.sections.settings import Count, Port, Positive, Seconds, Section, about


class Server(Section, frozen=True):
    """Where the server listens and whom it believes."""

    host: Annotated[
        str, about("Address to listen on. Other than loopback needs tokens: [auth].")
    ] = "127.0.0.1"
    port: Annotated[Port, about("Port to listen on; 0 takes a free one and prints it.")] = 8000
    path: Annotated[str, about("Path of the Socket.IO endpoint, the same as in the clients.")] = (
        "/socket.io"
    )
    origins: Annotated[
        list[str],
        about(
            "Origins of pages on other sites that may connect, besides those from this server: "
            '"https://app.example", "https://*.example.com" (all sub-domains, not example.com '
            'itself), "http://localhost:*" (any port).'
        ),
    ] = []
    insecure_any_origin: Annotated[
        bool,
        about(
            "Let pages of every site connect: any page that somebody looks at can then reach this "
            "server from where they are."
        ),
    ] = False
    hosts: Annotated[
        list[str],
        about(
            "Names under which the server may be asked, without port: "
            '"chat.example", "*.example.com" (all sub-domains). Empty: any; but where `host` is '
            "loopback, only addresses, localhost and names without a dot, unless a trusted proxy "
            "asks."
        ),
    ] = []
    trusted_proxies: Annotated[
        list[str],
        about(
            "Addresses or networks of reverse proxies whose X-Forwarded-For/-Proto/-Host "
            "headers are believed."
        ),
    ] = []
    web: Annotated[bool, about("Serve the page at /.")] = True
    metrics: Annotated[
        Literal["open", "admin"],
        about(
            "Who may read /metrics: everybody, or who shows an API key (for metrics, or for "
            "everything) or a token that permits admin."
        ),
    ] = "open"
    frame_ancestors: Annotated[
        list[str],
        about(
            "Origins of pages that may show the page in a frame, written like `origins`; "
            '"self" is this server. Empty: none.'
        ),
    ] = []
    hsts: Annotated[
        Seconds,
        about(
            "Over TLS (also a trusted proxy's), browsers are told to come back over TLS only for "
            "this long (HSTS); it holds for all ports of the host. 0: they are not told."
        ),
    ] = 30 * 86400.0
    workers: Annotated[
        Annotated[int, Meta(ge=1, le=1024)],
        about(
            "Processes that serve. More than one without a redis.url: they share a private Valkey, "
            "whose data lie beside the store."
        ),
    ] = 1


class Tls(Section, frozen=True):
    """Encryption at server.host and server.port: https:// and wss:// without a proxy in front."""

    cert: Annotated[
        str,
        about(
            "PEM file with the server's certificate, then those that it was signed with. Empty: "
            "no TLS."
        ),
    ] = ""
    key: Annotated[
        str, about("PEM file with the certificate's private key. Empty: it is in `cert` too.")
    ] = ""
    password: Annotated[str, about("Password of an encrypted key.", secret=True)] = ""
    min_version: Annotated[
        Literal["1.2", "1.3"], about("Oldest version of TLS that clients may speak.")
    ] = "1.2"


class Transport(Section, frozen=True):
    """How Engine.IO carries the packets."""

    ping_interval: Annotated[Positive, about("Pause between two pings.")] = 25.0
    ping_timeout: Annotated[Positive, about("A ping has to be answered within this time.")] = 20.0
    transports: Annotated[
        list[Literal["polling", "websocket"]], about("Transports that are offered.")
    ] = field(default_factory=lambda: ["polling", "websocket"])
    loop: Annotated[
        Literal["auto", "uvloop", "asyncio"],
        about("Event loop; auto takes uvloop where it is installed."),
    ] = "auto"
    websocket: Annotated[
        Literal["auto", "picows", "aiohttp"],
        about("Who reads WebSocket frames; auto is best."),
    ] = "auto"


class Deflate(Section, frozen=True):
    """Compression of WebSocket messages (permessage-deflate), with the parameters of Node's ws."""

    enabled: Annotated[
        bool,
        about(
            "Compress, with clients that can do so. Saves network, costs CPU; polling answers are "
            "not concerned."
        ),
    ] = False
    threshold: Annotated[Count, about("Smaller messages are not compressed.")] = 1024
    level: Annotated[
        Annotated[int, Meta(ge=1, le=9)], about("From 1, the fastest, to 9, the smallest.")
    ] = 6
    mem_level: Annotated[
        Annotated[int, Meta(ge=1, le=9)],
        about("Memory of a compressor besides its window: 2^(this + 9) bytes."),
    ] = 8
    server_max_window_bits: Annotated[
        Annotated[int, Meta(ge=9, le=15)],
        about("How far our messages refer back, 2^this bytes; a compressor has four times that."),
    ] = 15
    client_max_window_bits: Annotated[
        Annotated[int, Meta(ge=9, le=15)],
        about(
            "The same of messages of clients. With less than 15 clients that do not let us choose "
            "are not compressed."
        ),
    ] = 15
    server_no_context_takeover: Annotated[
        bool,
        about(
            "Each of our messages begins anew. Otherwise what goes to one client refers to what it "
            "had before; what goes to many never does."
        ),
    ] = True
    client_no_context_takeover: Annotated[
        bool,
        about(
            "Clients begin each message anew. Otherwise each one that sends large messages costs "
            "40 KiB all the time."
        ),
    ] = True
    concurrency: Annotated[
        Annotated[int, Meta(ge=1, le=256)],
        about("Large messages that are compressed or inflated at a time, each by a thread."),
    ] = 4


class Gateway(Section, frozen=True):
    """The door for plain WebSockets, for clients without a Socket.IO library."""

    enabled: Annotated[bool, about("Let plain WebSockets in.")] = True
    path: Annotated[str, about("Where they connect.")] = "/ws"
    heartbeat: Annotated[
        Seconds,
        about(
            "A client of the tutorial's dialect is asked this often whether it is there, and cut "
            "off when it has not answered by the next time; 0: WebSocket pings do that, as for "
            "other clients."
        ),
    ] = 5.0


class Drain(Section, frozen=True):
    """How the server stops."""

    seconds: Annotated[Seconds, about("Time over which the connections are closed.")] = 1.0


class Log(Section, frozen=True):
    """What the server prints."""

    level: Annotated[
        Literal["debug", "info", "warning", "error"], about("Least level that is printed.")
    ] = "info"
    format: Annotated[Literal["text", "json"], about("Shape of a line.")] = "text"
