"""An identity provider with a key set: keys change, it is away, and clients come and stay, on both
transports."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
import socketio
from aiohttp import web
from aiohttp.test_utils import TestServer

from sioserver.client import Transport
from sioserver.testing import ServerProcess

from ..auth.kit import b64, jwk, key_set, public_token, token
from .kit import Bare, becomes, status

TRANSPORTS: tuple[Transport, ...] = ("polling", "websocket")
COOLDOWN = 0.2
PATIENCE = 30
"""Seconds for whatever has to come, however busy the machine."""


class Provider:
    """What answers at the address of the key set; it begins with being out of order."""

    def __init__(self) -> None:
        self.keys: dict[str, str] = {}
        """kid -> the kind of the key."""
        self.well = False
        app = web.Application()
        app.router.add_get("/keys", self._keys)
        self.server = TestServer(app)

    async def _keys(self, request: web.Request) -> web.Response:
        if not self.well:
            return web.Response(status=503)
        return web.Response(body=self.key_set, content_type="application/json")

    @property
    def key_set(self) -> bytes:
        return key_set(*(jwk(kind, kid=kid, use="sig") for kid, kind in self.keys.items()))

    @property
    def url(self) -> str:
        return str(self.server.make_url("/keys"))


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    provider = Provider()
    await provider.server.start_server()
    yield provider
    await provider.server.close()


def claims(user: str, **more: Any) -> dict[str, Any]:
    now = time.time()
    return {"sub": user, "iat": now, "exp": now + 600, "aud": "chat", "iss": "us", **more}


def signed(user: str, kind: str, algorithm: str, kid: str | None, **more: Any) -> str:
    return public_token(claims(user, **more), kind, algorithm, {} if kid is None else {"kid": kid})


async def refusal(url: str, transport: Transport, text: str) -> dict[str, Any]:
    """What a client is told that comes with this token."""
    told: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
    client = socketio.AsyncClient(handle_sigint=False, reconnection=False, request_timeout=PATIENCE)
    client.on("connect_error", told.set_result, namespace="/lobby")
    try:
        with pytest.raises(socketio.exceptions.ConnectionError):
            # who gives up earlier is told nothing
            await client.connect(
                url,
                auth={"token": text},
                namespaces=["/lobby"],
                transports=[transport],
                wait_timeout=PATIENCE,
            )
        error = await told
    finally:
        await client.shutdown()
    data: dict[str, Any] = error["data"]
    return data


async def settled(url: str, transport: Transport, text: str) -> dict[str, Any]:
    """The refusal, when the server has asked the issuer about it."""
    async with asyncio.timeout(PATIENCE):
        while (found := await refusal(url, transport, text))["code"] == "unavailable":
            assert found["temporary"]
            await asyncio.sleep(found["retry_after"])
    return found


@asynccontextmanager
async def entered(url: str, transport: Transport, text: str) -> AsyncIterator[Bare]:
    """A client that is let in, when the server has asked the issuer about its token."""
    async with asyncio.timeout(PATIENCE):
        while True:
            client = Bare(url, transport, token=text)
            try:
                await client.__aenter__()
                break
            except socketio.exceptions.ConnectionError:
                await client.__aexit__()
    try:
        yield client
    finally:
        await client.__aexit__()


async def metric(url: str, name: str) -> float:
    async with aiohttp.ClientSession() as http, http.get(f"{url}/metrics") as response:
        lines = (await response.text()).splitlines()
    return next(float(line.split()[-1]) for line in lines if line.startswith(f"{name} "))


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_keys_change_and_the_issuer_is_away(provider: Provider, transport: Transport) -> None:
    settings = {
        "auth.jwks": provider.url,
        "auth.jwks_cooldown": COOLDOWN,
        "auth.jwks_refresh": 3600,
        "auth.audience": "chat",
        "auth.issuer": "us",
        "auth.leeway": 1,
    }
    async with ServerProcess(settings=settings) as server:
        url = server.url
        # not there yet: nobody can be let in, and that is said
        first = signed("ann", "p256", "ES256", "1")
        assert await status(f"{url}/readyz") == 503
        early = await refusal(url, transport, first)
        assert (early["code"], early["temporary"]) == ("unavailable", True)
        provider.keys, provider.well = {"1": "p256"}, True
        await becomes(200, f"{url}", within=10)

        async with Bare(url, transport, token=first) as ann:
            # a key comes: the first token that names it is let in
            provider.keys = {"1": "p256", "2": "rsa"}
            for number, algorithm in enumerate(("RS256", "RS512", "PS384")):
                text = signed(f"ben{number}", "rsa", algorithm, "2")
                async with entered(url, transport, text) as ben:
                    assert (await ben.call("message", "hi"))["ok"]

            # a key goes: who is here stays, whoever comes with it does not get in
            provider.keys = {"2": "rsa"}
            other = signed("eve", "p384", "ES384", "3")
            assert (await settled(url, transport, other))["code"] == "unauthorized"
            assert (await settled(url, transport, first))["code"] == "unauthorized"
            assert (await ann.call("message", "still here"))["ok"]
            stale = await ann.call("auth", {"token": signed("ann", "p256", "ES256", "1")})
            assert stale["error"]["code"] in ("unauthorized", "unavailable")
            assert (await ann.call("auth", {"token": signed("ann", "rsa", "PS256", "2")}))["ok"]

            # what is not the issuer's signature
            shared = token(claims("ann"), secret=provider.key_set)
            header = {"alg": "RS256", "kid": "2", "jwk": jwk("rsa2"), "jku": provider.url}
            own = public_token(claims("ann"), "rsa2", "RS256", header)
            unsigned = f"{b64(b'{}')}.{b64(json.dumps(claims('ann')).encode())}."
            for text in (shared, own, unsigned, signed("ann", "rsa", "RS256", "2", aud="mail")):
                answer = await settled(url, transport, text)
                assert (answer["code"], answer["message"]) == (
                    "unauthorized",
                    "a valid token is needed",
                )

            # the issuer is away: its last keys count, what is new waits
            provider.well = False
            unknown = signed("cat", "ed25519", "EdDSA", "4")
            failures = await metric(url, 'sioserver_key_fetches_total{result="failed"}')
            async with asyncio.timeout(PATIENCE):
                while await metric(url, 'sioserver_key_fetches_total{result="failed"}') == failures:
                    assert (await refusal(url, transport, unknown))["code"] == "unavailable"
            assert await status(f"{url}/readyz") == 200
            async with Bare(url, transport, token=signed("dan", "rsa", "RS384", "2")) as dan:
                assert (await dan.call("message", "hi"))["ok"]

            # and comes back, with a key of another kind
            provider.keys["4"], provider.well = "ed25519", True
            async with entered(url, transport, unknown) as cat:
                assert (await cat.call("message", "hi"))["ok"]

            # a live connection ends with its token, whoever has signed it
            brief = signed("ann", "ed25519", "EdDSA", "4", exp=time.time() + 3)
            assert (await ann.call("auth", {"token": brief}))["ok"]
            async with asyncio.timeout(PATIENCE):
                while not ann.disconnects:
                    await asyncio.sleep(0.01)
            assert ann.notices[-1]["code"] == "token_expired"
        assert "Traceback" not in "\n".join(server.output)
        assert not any("eyJ" in line for line in server.output)
