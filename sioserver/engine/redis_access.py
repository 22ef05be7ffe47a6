"""How to reach a server, and how to begin with it: what the URL says, TLS, user, and first words.

It opens connections and judges what a server says of itself; it does not know what they are for.
"""

from __future__ import annotations

import asyncio
import logging
import re
import ssl
from collections.abc import Awaitable, Callable, Iterator, Sequence
from random import uniform
from typing import Any, Final, NamedTuple, Protocol, cast

import hiredis
from hiredis import Reader
from redis.asyncio.connection import (
    Connection,
    SSLConnection,
    UnixDomainSocketConnection,
    parse_url,
)
from redis.exceptions import RedisError

from sioserver.config.schema import Redis as Settings

log = logging.getLogger(__name__)

FIRST_PAUSE: Final = 0.05
LONGEST_PAUSE: Final = 1.0
STEADY: Final = 1.0
"""Seconds after which a connection counts as good: the first attempt after it comes at once."""
OLDEST: Final = (6, 2)
"""What `HELLO`, `ZRANGE ... BYLEX` and `SET ... GET` need, and still gets repairs somewhere."""

# The answers to a PING of a server that works, but not for everything.
_WORKS: Final = frozenset({"MISCONF", "OOM"})


_SPEAKS_TLS: Final = "one that speaks TLS needs rediss:// in redis.url"
_SPEAKS_NO_TLS: Final = "one that does not speak TLS needs redis:// in redis.url"


Argument = str | bytes | int | float
Command = tuple[Argument, ...]

pack_command = cast("Callable[[Command], bytes]", hiredis.pack_command)
"""A command as it goes over the wire. (hiredis' own stub takes one of one argument only.)"""


class ReplyError(Exception):
    """An error reply. The text is the server's."""

    @property
    def code(self) -> str:
        """Its first word, such as WRONGTYPE. Errors inside of a script carry their own (before
        Redis 7 only in the text)."""
        text = str(self)
        if text.startswith("ERR Error running script"):
            _, _, inner = text.partition(": -")
            text = inner or text
        return text.partition(" ")[0]


class NotReady(Exception):
    """A server cannot be used now. `hopeless`: nor later, unless somebody changes something."""

    def __init__(self, reason: str, *, hopeless: bool = False, loading: bool = False) -> None:
        super().__init__(reason)
        self.hopeless = hopeless
        self.loading = loading


class Address(NamedTuple):
    """Where a server listens; a port of 0 makes `host` the path of a unix socket."""

    host: str
    port: int

    def __str__(self) -> str:
        if not self.port:
            return self.host
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Hello(NamedTuple):
    """What a server said of itself."""

    master: bool
    cluster: bool
    version: tuple[int, ...]
    """Of Redis; Valkey names the one that it is compatible with elsewhere, and its own here."""
    clock: float
    """Seconds since 1970 when it answered."""


def new_reader() -> Reader:
    """A parser of replies: bytes, int, lists, None, ReplyError; `False` when there is no more."""
    return Reader(replyError=ReplyError, protocolError=ConnectionError, notEnoughData=False)


def pauses(jitter: Callable[[float, float], float] = uniform) -> Iterator[float]:
    """Seconds to wait before each further attempt to connect, for ever."""
    pause = FIRST_PAUSE
    while True:
        yield pause * jitter(0.5, 1.0)
        pause = min(LONGEST_PAUSE, pause * 2)


class User(Protocol):
    """Told of attempts to connect, by `keep_connected`."""

    def on_transport(
        self, transport: asyncio.Transport, hello: Hello, address: Address
    ) -> asyncio.Future[None]:
        """Connected: set a protocol on it now. The future is resolved when it is of no use any
        more."""

    def on_failure(self, address: Address | None, error: Exception) -> None:
        """It did not work, for a reason (OSError, UnicodeError, NotReady); more attempts follow."""


class Access:
    """What `Config.redis` says of reaching the servers. Raises NotReady when that makes no sense.

    `name`: how our connections are called in the server's CLIENT LIST.
    """

    def __init__(self, settings: Settings, name: str) -> None:
        try:
            options: dict[str, Any] = dict(parse_url(settings.url))
            kind = options.pop("connection_class", Connection)
            options.pop("retry_on_timeout", None)
            wanted = kind(**options)
            self.tls: ssl.SSLContext | None = (
                wanted.ssl_context.get() if isinstance(wanted, SSLConnection) else None
            )
        except ValueError as error:
            text = str(error)
            if not text.startswith(("Invalid type for", "Redis URL must")):
                # urllib's own texts quote the URL, and with it a part of the password
                text = "no host and port; in a password write %23 for #, %2F for / and %3F for ?"
            raise NotReady(f"redis.url cannot be used: {text}", hopeless=True) from None
        except (TypeError, OSError, RedisError) as error:
            # The text of a TypeError names the option that does not exist.
            unknown = re.search(r"unexpected keyword argument ('.+')", str(error))
            reason = f"there is no option {unknown[1]}" if unknown else error
            raise NotReady(f"redis.url cannot be used: {reason}", hopeless=True) from error
        if isinstance(wanted, UnixDomainSocketConnection):
            self.address = Address(wanted.path, 0)
        else:
            self.address = Address(wanted.host, int(wanted.port))
        self.username: str | None = wanted.username
        self.password: str | None = wanted.password
        self.database = int(wanted.db or 0)
        # before the caller's is over: a server without TLS is silent, and that is to be said
        self._patience = 0.8 * settings.timeout
        self._name = "".join(sign if sign.isalnum() or sign in "._-:" else "-" for sign in name)

    async def connect(
        self, address: Address, *more: Command
    ) -> tuple[asyncio.Transport, Hello, list[Any]]:
        """A connection that was greeted, what the server said of itself, and its replies to `more`
        (error replies, too). Raises OSError and NotReady. The caller limits the time, and sets a
        protocol on the transport before anything else is awaited."""
        greeter = await self._open(address)
        try:
            greeting = self._greeting()
            replies = await greeter.ask([*greeting, *more])
            hello = _judge(replies[: len(greeting)])
            return greeter.transport, hello, replies[len(greeting) :]
        except ConnectionResetError as error:
            greeter.transport.abort()
            if self.tls is not None or not address.port:
                raise
            raise ConnectionResetError(f"{error} ({_SPEAKS_TLS})") from error
        except BaseException:
            greeter.transport.abort()
            raise

    async def question(
        self, address: Address, command: Command, *, authenticate: bool = False
    ) -> Any:
        """One command to a server that is no Redis, such as a Sentinel: its reply, which may be a
        ReplyError. Raises OSError and NotReady. The caller limits the time."""
        commands = [command]
        if authenticate and self.password:
            user = (self.username,) if self.username else ()
            commands.insert(0, ("AUTH", *user, self.password))
        greeter = await self._open(address)
        try:
            return (await greeter.ask(commands))[-1]
        finally:
            greeter.transport.abort()

    async def _open(self, address: Address) -> _Greeter:
        loop = asyncio.get_running_loop()
        if not address.port:
            _, greeter = await loop.create_unix_connection(_Greeter, address.host)
        else:
            try:
                _, greeter = await loop.create_connection(
                    _Greeter,
                    address.host,
                    address.port,
                    ssl=self.tls,
                    ssl_handshake_timeout=self._patience if self.tls else None,
                )
            except ssl.SSLCertVerificationError:
                raise
            except (ssl.SSLError, ConnectionResetError, ConnectionAbortedError) as error:
                if self.tls is None:
                    raise
                raise ConnectionResetError(f"{error} ({_SPEAKS_NO_TLS})") from error
        return greeter

    def _greeting(self) -> list[Command]:
        hello: Command = ("HELLO", 2)
        if self.password:
            hello += ("AUTH", self.username or "default", self.password)
        commands = [hello, ("CLIENT", "SETNAME", self._name), ("PING",), ("TIME",)]
        if self.database:
            commands.append(("SELECT", self.database))
        return commands


class _Greeter(asyncio.Protocol):
    """Asks some questions, and hands the connection over."""

    transport: asyncio.Transport

    def __init__(self) -> None:
        self._reader = new_reader()
        self._replies: list[Any] = []
        self._wanted = 0
        self._lost = False
        self._done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def ask(self, commands: Sequence[Command]) -> list[Any]:
        self._wanted = len(commands)
        self.transport.write(pack(commands))
        await self._done
        if self._lost:
            raise ConnectionResetError("the connection was closed")
        return self._replies

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def connection_lost(self, error: Exception | None) -> None:
        self._lost = True
        if self._done.done():
            return
        if self._replies and isinstance(self._replies[0], ReplyError):  # why it was closed
            self._done.set_exception(NotReady(str(self._replies[0])))
        else:
            self._done.set_exception(error or ConnectionResetError("the connection was closed"))

    def data_received(self, data: bytes) -> None:
        self._reader.feed(data)
        try:
            while (reply := self._reader.gets()) is not False:
                self._replies.append(reply)
        except ConnectionError as error:
            if not self._done.done():
                self._done.set_exception(
                    NotReady(f"this is not a Redis: {error} ({_SPEAKS_TLS})", hopeless=True)
                )
            return
        if len(self._replies) >= self._wanted and not self._done.done():
            self._done.set_result(None)


def _judge(replies: Sequence[Any]) -> Hello:
    hello, _named, ping, clock, *selected = replies
    if isinstance(hello, ReplyError):
        raise _refused(hello)
    # Being busy or loading is no reason to look at the rest.
    if isinstance(ping, ReplyError) and ping.code not in _WORKS:
        raise NotReady(str(ping), loading=ping.code == "LOADING")
    for reply in (clock, *selected):
        if isinstance(reply, ReplyError):
            raise NotReady(str(reply), hopeless=True)
    try:
        about = dict(zip(hello[::2], hello[1::2], strict=True))
        version, mode, role = about[b"version"].decode(), about[b"mode"], about[b"role"]
        now = seconds(clock)
    except (KeyError, ValueError, TypeError, IndexError, AttributeError) as error:
        raise NotReady(f"it does not greet as Redis does: {error!r}") from error
    if _numbers(version) < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        raise NotReady(f"version {version}, at least {oldest} is needed", hopeless=True)
    if mode == b"sentinel":
        raise NotReady(
            "this is a Sentinel: name it in redis.sentinels, not in redis.url", hopeless=True
        )
    return Hello(
        master=role == b"master",
        cluster=mode == b"cluster",
        version=_numbers(version),
        clock=now,
    )


def risks(persistence: bytes, memory: bytes) -> Iterator[str]:
    """What may become of stored messages, from the server's own words: the sections `persistence`
    and `memory` of INFO."""
    kept, limits = _fields(persistence), _fields(memory)
    if kept.get("aof_enabled") == "0":
        yield (
            "it writes no append-only file: when it dies, messages that were acknowledged are gone "
            "(all, or those since its last snapshot); set appendonly yes there"
        )
    policy = limits.get("maxmemory_policy", "noeviction")
    if policy != "noeviction" and limits.get("maxmemory", "0") != "0":
        yield (
            f"it throws keys away when its memory is full (maxmemory-policy {policy}): rooms may "
            "lose their messages; set maxmemory-policy noeviction there"
        )


def _fields(info: bytes) -> dict[str, str]:
    lines = info.decode(errors="replace").splitlines()
    return {name: value for name, _, value in (line.partition(":") for line in lines)}


async def keep_connected(
    access: Access, where: Callable[[], Awaitable[Address]], user: User, timeout: float
) -> None:
    """Connect to the master that is found by `where`, again and again, until it is cancelled. An
    attempt may last `timeout` seconds."""
    loop = asyncio.get_running_loop()
    waits = pauses()
    while True:
        address = None
        try:
            async with asyncio.timeout(timeout):
                address = await where()
                transport, hello, _ = await access.connect(address)
            if not hello.master:
                transport.abort()
                raise NotReady("it is a replica, and cannot be written to")
        except TimeoutError:
            user.on_failure(address, NotReady(f"no answer within {timeout:g} s"))
        except (OSError, UnicodeError, NotReady) as error:
            user.on_failure(address, error)
        except Exception as error:  # without this task the node would stay without Redis for ever
            log.exception("Redis: an attempt to connect has failed in a way that nobody foresaw")
            user.on_failure(address, error)
        else:
            began = loop.time()
            await user.on_transport(transport, hello, address)
            if loop.time() - began > STEADY:
                waits = pauses()
                continue
        await asyncio.sleep(next(waits))


def pack(commands: Sequence[Command]) -> bytes:
    """Commands as they go over the wire."""
    return b"".join([pack_command(command) for command in commands])


def seconds(clock: Sequence[bytes]) -> float:
    """The reply to TIME, in seconds since 1970."""
    return int(clock[0]) + int(clock[1]) / 1e6


def _refused(error: ReplyError) -> NotReady:
    if error.code in ("NOAUTH", "WRONGPASS"):
        hint = "check user and password in redis.url (user:password@host)"
        return NotReady(f"it does not let us in: {error}; {hint}", hopeless=True)
    if error.code == "ERR" and "HELLO" in str(error):
        return NotReady(f"it is too old: {error}", hopeless=True)
    return NotReady(str(error))


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:2] if part.isdecimal())
