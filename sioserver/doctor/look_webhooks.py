"""Posts to each webhook what it gets when there is nothing to tell: no events, signed.

It judges nothing.
"""

from __future__ import annotations

import asyncio
import time

from sioserver.config import Config
from sioserver.config.schema import Webhook
from sioserver.webhooks import payload
from sioserver.webhooks.post import Answer, Poster


async def look(config: Config, timeout: float) -> list[Answer]:
    """Ask them all, in their order; `timeout`: seconds for each."""

    async def ask(endpoint: Webhook) -> Answer:
        poster = Poster(endpoint.url, timeout=min(timeout, endpoint.timeout), concurrency=1)
        body = payload.body(endpoint.name, [])
        try:
            return await poster.post(body, payload.headers(endpoint.secret, time.time(), body))
        finally:
            await poster.close()

    return await asyncio.gather(*map(ask, config.webhooks.endpoints))
