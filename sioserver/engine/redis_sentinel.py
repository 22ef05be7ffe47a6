"""Who the master is, as the Sentinels say. It does not know what is done with the answer."""

from __future__ import annotations

import asyncio
from typing import Any

from sioserver.config.schema import Redis as Settings
from sioserver.engine.redis_access import Access, Address, NotReady, ReplyError


class Sentinels:
    """The Sentinels of `settings.sentinels`. They get the URL's user and password where they want
    them, and TLS where the URL says so."""

    def __init__(self, settings: Settings, access: Access) -> None:
        self._service = settings.service
        self._access = access
        self._addresses = [_address(text) for text in settings.sentinels]
        # All of them fit into one attempt to connect.
        self._patience = settings.timeout / (len(self._addresses) + 1)

    async def master(self) -> Address:
        """Ask one after the other, first the one that knew it last; raises NotReady."""
        reasons = []
        for number, address in enumerate(self._addresses):
            try:
                async with asyncio.timeout(self._patience):
                    found = await self._ask(address)
            except TimeoutError:
                reasons.append(f"{address}: no answer within {self._patience:.1f} s")
            except (OSError, UnicodeError, NotReady) as error:
                reasons.append(f"{address}: {error}")
            else:
                if found is not None:
                    self._addresses.insert(0, self._addresses.pop(number))
                    return found
                reasons.append(f"{address}: it knows no master called {self._service}")
        raise NotReady("no Sentinel names the master: " + "; ".join(reasons))

    async def _ask(self, address: Address) -> Address | None:
        question = ("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self._service)
        reply = await self._access.question(address, question)
        if isinstance(reply, ReplyError) and reply.code == "NOAUTH":
            reply = await self._access.question(address, question, authenticate=True)
        if isinstance(reply, ReplyError):
            raise NotReady(str(reply))
        return _master(reply)


def _master(reply: Any) -> Address | None:
    if reply is None:
        return None
    try:
        host, port = reply
        return Address(host.decode(), int(port))
    except (TypeError, ValueError, AttributeError) as error:
        raise NotReady("it does not speak as Sentinels do") from error


def _address(text: str) -> Address:
    host, _, port = text.rpartition(":")
    return Address(host.strip("[]"), int(port))
