"""The examination: all looks at once, each with its time, and what they found in one order.

It knows which look belongs to which judgement, and nothing of what they look at.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import NamedTuple, TypeVar

from sioserver.config import Config
from sioserver.doctor import (
    look_machine,
    look_peers,
    look_redis,
    look_url,
    look_webhooks,
    machine,
    peers,
    proxies,
    redis,
    settings,
    url,
    webhooks,
)
from sioserver.doctor.findings import Finding, fail, skip
from sioserver.engine.base import StoreError
from sioserver.engine.redis_access import NotReady
from sioserver.errors import Refusal

T = TypeVar("T")


class Request(NamedTuple):
    """What is to be examined besides the configuration."""

    url: str = ""
    """Where clients connect; empty: where the configuration listens."""
    nginx: Sequence[tuple[str, str]] = ()
    """Files of nginx: (name, text)."""
    haproxy: Sequence[tuple[str, str]] = ()
    proxy_timeout: float = 0.0
    """Seconds after which a proxy closes a connection on which nothing happens; 0: not told."""
    pid: int = 0
    """The server's process; 0: not told."""
    timeout: float = 5.0
    """Seconds for each look at something that may not answer."""


async def examine(config: Config, request: Request) -> list[Finding]:
    """Everything. Takes a few times `request.timeout` at the longest."""
    groups = await asyncio.gather(
        _machine(config, request),
        _redis(config, request),
        _peers(config, request),
        _webhooks(config, request),
        _url(config, request),
    )
    found = [*settings.findings(config)]
    for group in groups:
        found += group
    return found + list(_proxies(config, request))


async def _machine(config: Config, request: Request) -> Iterable[Finding]:
    look = asyncio.to_thread(look_machine.look, config, pid=request.pid)
    return await _within(
        3 * request.timeout,
        "machine",
        look,
        lambda facts: machine.findings(config, facts),
    )


async def _redis(config: Config, request: Request) -> Iterable[Finding]:
    if not config.redis.url:
        return ()
    return await _within(
        request.timeout,
        "redis.url",
        look_redis.look(config),
        lambda facts: redis.findings(config, facts),
    )


async def _peers(config: Config, request: Request) -> Iterable[Finding]:
    if not config.redis.url:
        return ()

    async def look() -> Sequence[peers.Answer]:
        return await look_peers.look(config, await look_redis.peers(config), request.timeout)

    return await _within(
        3 * request.timeout,
        "cluster.peers",
        look(),
        lambda answers: peers.findings(answers, has_secret=bool(config.cluster.secret)),
    )


async def _webhooks(config: Config, request: Request) -> Iterable[Finding]:
    return await _within(
        2 * request.timeout,
        "webhooks",
        look_webhooks.look(config, request.timeout),
        lambda answers: webhooks.findings(config, answers),
    )


async def _url(config: Config, request: Request) -> Iterable[Finding]:
    if not request.url and not config.server.port:
        return (skip("url", "server.port is 0, so the address is not known", "name it with --url"),)
    return await _within(
        6 * request.timeout,
        "url",
        look_url.look(config, request.url, timeout=request.timeout),
        lambda site: url.findings(config, site),
    )


async def _within(
    seconds: float,
    check: str,
    look: Awaitable[T],
    judge: Callable[[T], Iterable[Finding]],
) -> Iterable[Finding]:
    """What a look leads to, or that it led to nothing."""
    try:
        async with asyncio.timeout(seconds):
            facts = await look
    except TimeoutError:
        return (fail(check, f"no answer within {seconds:g} s", "is it up, and is it reached?"),)
    except (OSError, NotReady, StoreError, Refusal) as error:
        return (fail(check, str(error) or type(error).__name__, "is it up, and is it reached?"),)
    return list(judge(facts))


def _proxies(config: Config, request: Request) -> Iterable[Finding]:
    for name, text in request.nginx:
        yield from proxies.nginx(config, name, text)
    for name, text in request.haproxy:
        yield from proxies.haproxy(config, name, text)
    if request.proxy_timeout:
        yield proxies.timeout(
            config,
            "proxy.timeout",
            "the proxy's time-out",
            request.proxy_timeout,
            plain=config.gateway.enabled,
        )
    elif not (request.nginx or request.haproxy):
        yield skip(
            "proxy.timeout",
            "no proxy was named",
            "if there is one: --nginx FILE, --haproxy FILE or --proxy-timeout SECONDS",
        )
