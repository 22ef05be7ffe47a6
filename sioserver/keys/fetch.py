"""One HTTP request for a key set, bounded in every way.

It must not know when it is made, nor what the bytes mean. The operator's address is asked and no
other: no redirect is followed, no cookie, proxy or password file is used.
"""

from __future__ import annotations

from typing import Final

import aiohttp

from sioserver.keys.files import LARGEST_FILE

TIMEOUT: Final = 5.0
"""Seconds for all of a request."""


class NotFetched(Exception):
    """The key set could not be had; the message says why."""


async def fetch(url: str) -> bytes:
    """What the address answers, at most `LARGEST_FILE` bytes. Raises NotFetched."""
    try:
        async with (
            aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=TIMEOUT),
                cookie_jar=aiohttp.DummyCookieJar(),
                # what is unpacked could be any number of bytes
                auto_decompress=False,
                headers={"Accept": "application/json", "Accept-Encoding": "identity"},
            ) as http,
            http.get(url, allow_redirects=False) as response,
        ):
            if response.status != 200:
                raise NotFetched(f"the answer is {response.status}, 200 was expected")
            return await _read(response.content)
    except TimeoutError:
        raise NotFetched(f"no answer within {TIMEOUT:g} seconds") from None
    except (aiohttp.ClientError, OSError, ValueError) as error:
        # a ValueError of the address or of what is sent in place of HTTP
        raise NotFetched(f"{type(error).__name__}: {error}") from error


async def _read(content: aiohttp.StreamReader) -> bytes:
    data = bytearray()
    async for chunk in content.iter_any():
        data += chunk
        if len(data) > LARGEST_FILE:
            raise NotFetched(f"the answer has more than {LARGEST_FILE} bytes")
    return bytes(data)
