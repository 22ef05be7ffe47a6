"""Gathers the facts of `redis`, and the list of the nodes that lies there.

It connects as the server does and reads; the only thing that it leaves is a name in CLIENT LIST.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

import msgspec

from sioserver.config import Config
from sioserver.config.schema import Redis as Settings
from sioserver.doctor.look_peers import ahead
from sioserver.doctor.redis import Server
from sioserver.engine.redis_access import Access, Address, NotReady, ReplyError
from sioserver.engine.redis_keys import Keys
from sioserver.engine.redis_nodes import RedisNodes
from sioserver.engine.redis_sentinel import Sentinels
from sioserver.engine.redis_servers import Redis
from sioserver.model import Peer

NAME: Final = "sioserver-doctor"


async def look(config: Config) -> Server:
    """Ask the server, or the master of the Sentinels. Raises OSError and NotReady. The caller
    limits the time."""
    settings = config.redis
    access = Access(settings, NAME)
    address = access.address
    if settings.sentinels:
        address = await Sentinels(settings, access).master()
    began = time.time()
    transport, hello, replies = await access.connect(
        address, ("INFO",), ("CONFIG", "GET", "appendfsync")
    )
    skew = ahead(hello.clock, began, time.time())
    transport.abort()
    return Server(
        where=str(address),
        host=address.host if address.port else "",
        encrypted=access.tls is not None,
        password=bool(access.password),
        open=await _lets_anybody_in(settings, address),
        skew=skew,
        info=_fields(replies[0]),
        appendfsync=_value(replies[1]),
        sentinels=len(settings.sentinels),
    )


async def peers(config: Config) -> list[Peer]:
    """The nodes that are alive, as they are found by each other. Raises StoreError and Refusal."""
    keys = Keys(config.redis.prefix)
    redis = Redis(config.redis, name=NAME, on_connected=lambda: None, on_lost=lambda reason: None)
    nodes = RedisNodes(redis, keys, Peer("doctor"), on_event=lambda *_: None)
    await redis.start()
    try:
        await nodes.refresh()
        return sorted(nodes.peers().values(), key=lambda peer: peer.id)
    finally:
        nodes.stop()
        await redis.stop()


async def _lets_anybody_in(settings: Settings, address: Address) -> bool | None:
    """Whether it answers who shows no password."""
    parts = urlsplit(settings.url)
    if parts.scheme == "unix":
        return True
    nobody = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2] or "localhost"))
    try:
        access = Access(msgspec.structs.replace(settings, url=nobody), NAME)
        transport, _, _ = await access.connect(address)
    except NotReady:
        return False  # NOAUTH, or NOPERM
    except OSError:
        return None
    transport.abort()
    return True


def _fields(reply: Any) -> Mapping[str, str] | None:
    if isinstance(reply, ReplyError):
        return None
    lines = reply.decode(errors="replace").splitlines()
    return {name: value for name, _, value in (line.partition(":") for line in lines)}


def _value(reply: Any) -> str:
    if isinstance(reply, ReplyError) or len(reply) < 2:
        return ""
    value: str = reply[1].decode(errors="replace")
    return value
