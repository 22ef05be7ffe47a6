"""Tokens in every place where a client could put one, with everything logged: the log has none."""

from __future__ import annotations

import base64
import secrets
import time

import aiohttp
import pytest
import socketio

from sioserver.testing import ServerProcess

from ..auth.kit import token
from .kit import Bare

SECRET = base64.b64encode(bytes(range(64))).decode()


def fresh(**claims: object) -> str:
    """A token like no other."""
    now = time.time()
    return token(
        {"sub": "ann", "exp": now + 600, "x": secrets.token_hex(8), **claims}, secret=SECRET
    )


async def refused(url: str, transport: str, **options: object) -> None:
    # a client that is refused leaves its HTTP session open
    async with aiohttp.ClientSession() as http:
        client = socketio.AsyncClient(handle_sigint=False, reconnection=False, http_session=http)
        with pytest.raises(socketio.exceptions.ConnectionError):
            await client.connect(url, transports=[transport], **options)  # type: ignore[arg-type]
        await client.shutdown()


@pytest.mark.parametrize(("format", "allowed"), [("text", False), ("json", True)])
async def test_no_token_is_logged(format: str, allowed: bool) -> None:
    used: list[str] = []

    def one(**claims: object) -> str:
        used.append(fresh(**claims))
        return used[-1]

    settings = {
        "auth.secret": SECRET,
        "auth.allow_query_token": allowed,
        "log.level": "debug",
        "log.format": format,
    }
    async with ServerProcess(settings=settings) as server:
        url = server.url
        for transport in ("polling", "websocket"):
            # good ones, and one on a live connection
            async with Bare(url, transport, token=one()) as ann:  # type: ignore[arg-type]
                assert (await ann.call("auth", {"token": one()}))["ok"]
                for name, body in (("message", one()), (one(), "x"), ("auth", {"toke": one()})):
                    await ann.call(name, body)
            # bad ones: signed by somebody else, expired, cut off, with other claims, misplaced
            spoilt = one()[:-5]
            for bad in (one() + "x", spoilt, one(exp=1), one(sub=7), one(aud=5, exp="never")):
                await refused(url, transport, auth={"token": bad})
                await refused(url, transport, headers={"Authorization": f"Bearer {bad}"})
            await refused(url, transport, auth={"user": one(), "token": 7})
            await refused(url, transport, auth=one())
            await refused(url, transport, namespaces=[f"/{one()}"])
            if not allowed:
                await refused(f"{url}?token={one()}", transport)
                await refused(f"{url}?access_token={one()}", transport, auth={"token": one()})
        async with aiohttp.ClientSession() as http:
            for path in (
                f"/socket.io/?EIO=4&transport=polling&token={one()}",
                f"/socket.io/?EIO=9&transport=polling&token={one()}",
                f"/socket.io/?EIO=4&transport=polling&sid={one()}",
                f"/socket.io/?token={one()}",
                f"/?token={one()}",
                f"/healthz?access_token={one()}",
                f"/nowhere/{one()}?token={one()}",
            ):
                headers = {"Authorization": f"Bearer {one()}", "Cookie": f"token={one()}"}
                async with http.get(url + path, headers=headers) as answer:
                    text = await answer.text()
                    assert not any(part in text for seen in used for part in seen.split(".")[1:])
        await server.printed(r"/nowhere")
    log = "\n".join(server.output)
    assert "a token was refused" in log  # it does say what went on
    assert "Traceback" not in log
    assert len(used) > 40
    for seen in used:
        for part in seen.split(".")[1:]:  # the claims and the signature
            assert part[:24] not in log
