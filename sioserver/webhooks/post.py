"""One HTTP request to an endpoint, bounded in every way.

It must not know when it is made, nor what the bytes mean. The operator's address is asked and no
other: no redirect is followed, no cookie, proxy or password file is used; certificates are
verified.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import aiohttp
import msgspec

MOST_READ: Final = 65_536
"""Bytes of an answer that are read, so that the connection can be used again."""


class Answer(msgspec.Struct, frozen=True):
    """What became of a request."""

    result: str
    """"ok", or why not: "status", "timeout", "unreachable"."""
    detail: str = ""
    """For the log."""
    retry_after: float = 0.0
    """Seconds that the endpoint asks for."""


class Poster:
    """The connections to one endpoint."""

    def __init__(self, url: str, *, timeout: float, concurrency: int) -> None:
        """`timeout`: seconds for all of a request."""
        self._url = url
        self._timeout = timeout
        self._concurrency = concurrency
        self._http: aiohttp.ClientSession | None = None

    async def post(self, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Send it. Never raises."""
        http = self._http or self._connect()
        try:
            async with http.post(
                self._url, data=body, headers=headers, allow_redirects=False
            ) as response:
                await response.content.read(MOST_READ)
                if 200 <= response.status < 300:
                    return Answer("ok")
                wait = response.headers.get("Retry-After", "")
                return Answer(
                    "status",
                    f"the answer is {response.status}",
                    float(wait) if wait.isascii() and wait.isdigit() and len(wait) < 7 else 0.0,
                )
        except TimeoutError:
            return Answer("timeout", f"no answer within {self._timeout:g} seconds")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            # a ValueError of what is sent in place of HTTP
            return Answer("unreachable", f"{type(error).__name__}: {error}")

    def _connect(self) -> aiohttp.ClientSession:
        self._http = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=self._timeout),
            connector=aiohttp.TCPConnector(limit=self._concurrency),
            cookie_jar=aiohttp.DummyCookieJar(),
            # what is unpacked could be any number of bytes
            auto_decompress=False,
            headers={"Accept-Encoding": "identity"},
        )
        return self._http

    async def close(self) -> None:
        """Let go of the connections."""
        if self._http is not None:
            await self._http.close()
