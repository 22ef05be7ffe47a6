"""Asks the other nodes, each at its internal address, for a session that nobody has.

What they answer shows whether they are reached and whether they believe our proof. It judges
nothing.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Sequence
from email.utils import parsedate_to_datetime

import aiohttp

from sioserver.config import Config
from sioserver.doctor.peers import Answer
from sioserver.model import Peer
from sioserver.transport.caller import Caller, Seal

AT_ONCE = 20


async def look(config: Config, peers: Sequence[Peer], timeout: float) -> list[Answer]:
    """Ask them all; `timeout`: seconds for each."""
    gate = asyncio.Semaphore(AT_ONCE)
    seal = Seal(config.cluster.secret, time.time)
    limit = aiohttp.ClientTimeout(total=timeout)
    async with aiohttp.ClientSession(timeout=limit, trust_env=False) as http:

        async def ask(peer: Peer) -> Answer:
            if not peer.address:
                return Answer(peer.id, "", 0, "", None)
            path = (
                f"{config.server.path}/?EIO=4&transport=polling"
                f"&sid={peer.id}{secrets.token_urlsafe(12)}"
            )
            began = time.time()
            headers = seal.headers("GET", path, Caller("127.0.0.1", "http"))
            try:
                async with (
                    gate,
                    http.get(
                        f"http://{peer.address}{path}", headers=headers, allow_redirects=False
                    ) as answer,
                ):
                    return Answer(peer.id, peer.address, answer.status, "", skew_of(answer, began))
            except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
                reason = str(error) or f"nothing within {timeout:g} s"
                return Answer(peer.id, peer.address, 0, reason, None)

        return await asyncio.gather(*map(ask, peers))


def skew_of(answer: aiohttp.ClientResponse, began: float) -> float | None:
    """Seconds by which the clock of who answered is ahead of ours at the least, when it was asked
    at `began` (RFC 9110, section 6.6.1); None: it does not say."""
    try:
        said = parsedate_to_datetime(answer.headers["Date"]).timestamp()
    except (KeyError, ValueError, TypeError):
        return None
    return ahead(said, began - 1.0, time.time())  # it is cut to whole seconds


def ahead(said: float, earliest: float, latest: float) -> float:
    """By how many seconds a clock is ahead of ours at the least, which said this at some moment
    between the two; negative: it is behind."""
    return said - latest if said > latest else min(0.0, said - earliest)
