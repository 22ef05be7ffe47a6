"""From what became of a command to what a request is told: waiting for replies, the one place where
a failure of Redis becomes a `Refusal`."""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Final

from sioserver.engine.redis_access import ReplyError
from sioserver.engine.redis_link import Unavailable
from sioserver.errors import Refusal

log = logging.getLogger(__name__)

RETRY_AFTER: Final = 1.0


async def answer(future: asyncio.Future[Any]) -> Any:
    """Wait for a reply; raises Refusal."""
    try:
        return await future
    except (Unavailable, ReplyError) as error:
        raise refusal(error) from error


async def answers(*futures: asyncio.Future[Any]) -> list[Any]:
    """Wait for all of them; raises the Refusal of the first that failed."""
    found = await asyncio.gather(*futures, return_exceptions=True)
    for one in found:
        if isinstance(one, Unavailable | ReplyError):
            raise refusal(one) from one
        if isinstance(one, BaseException):
            raise one
    return found


def refusal(error: Unavailable | ReplyError) -> Refusal:
    """What a request is told when Redis did not answer, or not as expected."""
    if isinstance(error, ReplyError):
        log.error("Redis refused a command: %s", error)
        return Refusal("unavailable", retry_after=RETRY_AFTER)
    return Refusal("unavailable", retry_after=error.retry_after)
