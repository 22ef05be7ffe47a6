"""Gathers the facts of `url`: opens a few sessions there, as clients do, and closes them.

It posts nothing and joins no room. Each request goes out on a connection of its own, so that a
balancer is free to send it anywhere.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp
import orjson

from sioserver.addresses import is_loopback
from sioserver.config import Config
from sioserver.doctor.look_peers import skew_of
from sioserver.doctor.url import Site

LARGEST: Final = 1_000_000
ELSEWHERE: Final = "https://elsewhere.invalid"
NOWHERE: Final = "/@doctor"
"""A namespace that nobody has: to connect to it is answered, and changes nothing."""

ROUNDS: Final = 4
"""Requests of a session on new connections."""

Facts = dict[str, Any]


async def look(config: Config, url: str, *, timeout: float) -> Site:
    """Ask the address; `url` empty: where the configuration listens. `timeout`: seconds for each
    request."""
    given = bool(url)
    url = (url or own_url(config)).rstrip("/")
    parts = urlsplit(url)
    facts: Facts = dict.fromkeys(Site._fields)
    facts.update(
        url=url,
        host=parts.hostname or "",
        https=parts.scheme == "https",
        given=given,
        error="",
        refusal="",
    )
    context: ssl.SSLContext | bool = True
    if not given and parts.scheme == "https":
        context = False  # the certificate has the public name; `machine` looks at it
    visit = _Visit(config, url, context, timeout)
    try:
        async with visit:
            await visit.ask(facts)
    except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
        facts["error"] = str(error) or f"no answer within {timeout:g} s"
    return Site(**facts)


def own_url(config: Config) -> str:
    """Where the configuration listens, as it is reached from this machine."""
    host = config.server.host
    if not is_loopback(host):
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - not bound
    name = f"[{host}]" if ":" in host else host
    return f"{'https' if config.tls.cert else 'http'}://{name}:{config.server.port}"


class _Visit:
    def __init__(
        self, config: Config, url: str, context: ssl.SSLContext | bool, timeout: float
    ) -> None:
        self._url = url
        self._endpoint = f"{url}{config.server.path}/"
        self._transports = config.transport.transports
        self._timeout = timeout
        self._http = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=context, force_close=True),
            timeout=aiohttp.ClientTimeout(total=timeout),
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    async def __aenter__(self) -> None:
        return None

    async def __aexit__(self, *_: object) -> None:
        await self._http.close()

    async def ask(self, facts: Facts) -> None:
        """All there is to ask. Raises what aiohttp does when the address does not answer at all."""
        asked = time.time()
        async with self._http.get(f"{self._url}/", allow_redirects=False) as answer:
            facts["skew"] = skew_of(answer, asked)
            facts["certificate_days"] = _days(answer)
            if answer.status == 200:
                facts["page"] = {name.lower(): value for name, value in answer.headers.items()}
        facts["metrics"] = await self._status(f"{self._url}/metrics")
        if "polling" in self._transports:
            await self._polling(facts)
        if "websocket" in self._transports:
            await self._websocket(facts)

    async def _status(self, url: str, **headers: str) -> int:
        async with self._http.get(url, headers=headers, allow_redirects=False) as answer:
            return answer.status

    # ------------------------------------------------------------ polling

    async def _polling(self, facts: Facts) -> None:
        query = "?EIO=4&transport=polling"
        facts["own_origin"] = await self._origin(query, self._url)
        facts["foreign_origin"] = await self._origin(query, ELSEWHERE)
        status, text = await self._poll(query)
        try:
            if status != 200 or not text.startswith("0"):
                raise ValueError(f"{status} {text[:100]!r}")
            facts["handshake"] = handshake = orjson.loads(text[1:])
            query += f"&sid={handshake['sid']}"
        except (ValueError, KeyError, TypeError) as error:
            facts["refusal"] = f"it is answered with {error}"
            return
        await self._rounds(query, facts)
        if "websocket" in self._transports and not facts["lost"]:
            facts["upgrade"] = await self._upgrade(query.replace("polling", "websocket"))
        await self._post(query, "1")

    async def _rounds(self, query: str, facts: Facts) -> None:
        """Ask for something and poll for the answer, each on a connection of its own."""
        facts["lost"], late = "", 0.0
        for _ in range(ROUNDS):
            waiting = asyncio.ensure_future(self._poll(query))
            try:
                began = time.monotonic()
                status, text = await self._post(query, f"40{NOWHERE},")
                if status == 200:
                    status, text = await waiting
                    late = max(late, time.monotonic() - began)
            except TimeoutError:
                facts["late"] = self._timeout  # the answer is held back, for ever perhaps
                return
            finally:
                waiting.cancel()
                await asyncio.gather(waiting, return_exceptions=True)
            if status != 200:
                facts["lost"] = f"{status} {text[:100]!r}"
                return
        facts["late"] = late

    async def _origin(self, query: str, origin: str) -> int:
        """The status for a page of this origin. The session that it begins is closed."""
        headers = {"Origin": "/".join(origin.split("/")[:3])}
        async with self._http.get(f"{self._endpoint}{query}", headers=headers) as answer:
            text = (await answer.content.read(LARGEST)).decode(errors="replace")
            status = answer.status
        if status == 200 and text.startswith("0{"):
            sid = orjson.loads(text[1:]).get("sid", "")
            async with self._http.post(
                f"{self._endpoint}{query}&sid={sid}", data="1", headers=headers
            ):
                pass
        return status

    async def _poll(self, query: str) -> tuple[int, str]:
        async with self._http.get(f"{self._endpoint}{query}", allow_redirects=False) as answer:
            return answer.status, (await answer.content.read(LARGEST)).decode(errors="replace")

    async def _post(self, query: str, packet: str) -> tuple[int, str]:
        async with self._http.post(
            f"{self._endpoint}{query}",
            data=packet.encode(),
            headers={"Content-Type": "text/plain;charset=UTF-8"},
            allow_redirects=False,
        ) as answer:
            return answer.status, (await answer.content.read(LARGEST)).decode(errors="replace")

    # ------------------------------------------------------------ WebSockets

    async def _websocket(self, facts: Facts) -> None:
        try:
            async with self._http.ws_connect(
                f"{self._endpoint}?EIO=4&transport=websocket", compress=15, max_msg_size=LARGEST
            ) as socket:
                facts["compressed"] = bool(socket.compress)
                text = await socket.receive_str(timeout=self._timeout)
                facts["websocket"] = (
                    "" if text.startswith("0{") else f"it begins with {text[:50]!r}"
                )
                await socket.send_str("1")
        except (aiohttp.ClientError, OSError, TimeoutError, TypeError) as error:
            facts["websocket"] = _reason(error)

    async def _upgrade(self, query: str) -> str:
        try:
            async with self._http.ws_connect(
                f"{self._endpoint}{query}", max_msg_size=LARGEST
            ) as socket:
                await socket.send_str("2probe")
                text = await socket.receive_str(timeout=self._timeout)
                return "" if text == "3probe" else f"the probe is answered with {text[:50]!r}"
        except (aiohttp.ClientError, OSError, TimeoutError, TypeError) as error:
            return _reason(error)


def _reason(error: Exception) -> str:
    if isinstance(error, aiohttp.WSServerHandshakeError):
        return f"it is answered with {error.status}"
    if isinstance(error, TypeError):
        return "it was closed at once"
    return str(error) or "no answer in time"


def _days(answer: aiohttp.ClientResponse) -> float | None:
    """Days until the certificate that was shown expires; None: there is none."""
    connection = answer.connection
    transport = connection.transport if connection is not None else None
    shown = transport.get_extra_info("peercert") if transport is not None else None
    if not shown:
        return None
    return (ssl.cert_time_to_seconds(shown["notAfter"]) - time.time()) / 86400
