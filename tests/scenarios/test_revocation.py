"""A token is revoked at one node: those who showed it are ended at another, within a second."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import jwt
import pytest

from sioserver import remote
from sioserver.auth.api_keys import BYTES, make
from sioserver.client import Transport
from sioserver.testing import ServerProcess
from sioserver.valkey import Valkey

from ..redis_servers import free_port
from .kit import Bare, nodes, until

SECRET = "correct horse battery staple, and more"
KEY, ENTRY = make("ops", ["admin"], b"o" * BYTES)
PER_KIND = 20


def token(user: str, **claims: Any) -> str:
    now = time.time()
    return jwt.encode({"sub": user, "iat": now - 60, "exp": now + 600, **claims}, SECRET, "HS256")


async def revoke(server: ServerProcess, **wanted: Any) -> float:
    """Revoke at a server; when that was answered."""
    await asyncio.to_thread(remote.ask, server.url, KEY, "POST", "/api/revocations", wanted)
    return time.monotonic()


@pytest.mark.parametrize("transport", ["websocket", "polling"])
async def test_within_a_second_everywhere(
    transport: Transport, tmp_path: Path, record_property: Any
) -> None:
    settings = {"auth.secret": SECRET, "api.keys": str(ENTRY)}
    async with AsyncExitStack() as stack:
        valkey = stack.enter_context(Valkey(tmp_path, port=free_port()))
        a, b = await stack.enter_async_context(nodes(2, valkey.tcp_url, settings=settings))

        async def enter(user: str, **claims: Any) -> Bare:
            client = Bare(b.url, transport, token=token(user, **claims))
            return await stack.enter_async_context(client)

        ann = [await enter("ann") for _ in range(3)]
        stolen, kept = await enter("ben", jti="stolen"), await enter("ben", jti="kept")
        crowd = [await enter(f"user {number}") for number in range(PER_KIND)]
        fresh = await enter("cat", iat=time.time())

        async def ended(*clients: Bare, **wanted: Any) -> None:
            at = await revoke(a, **wanted)
            await until(lambda: all(client.disconnects for client in clients), timeout=5)
            took = time.monotonic() - at
            record_property(f"{next(iter(wanted))} ({len(clients)})", f"{took:.3f} s")
            assert took < 1.0
            told = {(notice["code"], notice["reconnect"]) for c in clients for notice in c.notices}
            assert told == {("token_revoked", False)}

        await ended(*ann, user="ann")
        assert not any(client.disconnects for client in (stolen, kept, *crowd, fresh))
        await ended(stolen, token="stolen")
        assert not any(client.disconnects for client in (kept, *crowd, fresh))
        await ended(kept, *crowd, before=time.time() - 30)
        assert (await fresh.call("message", "still here"))["ok"]
        for server in (a, b):
            with pytest.raises(remote.RemoteError, match="401"):
                await asyncio.to_thread(
                    remote.ask, server.url, "sio_wrong", "GET", "/api/revocations"
                )
            again = Bare(server.url, transport, token=token("ann"))
            with pytest.raises(Exception, match=r"valid token|namespaces"):
                await again.__aenter__()
            await again.__aexit__()
            back = Bare(server.url, transport, token=token("ann", iat=time.time() + 1))
            async with back:
                assert (await back.call("message", "here again"))["ok"]
