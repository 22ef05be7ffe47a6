"""The traps of the stock libraries, by name, and the proof that the checks can fail.

Each check is a function of a running server: it returns what it saw. Ours must be right, and the
stock server must still be wrong: the day it is not, our way round it can go.
Numbers: B2 of reference/reliability.md, T of reference/features.md section 6, S of
reference/style.md section 8.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import socketio

import sioserver
from sioserver.transport.packet import Packet

from .kit import Site, serve, soon, until


@asynccontextmanager
async def site_of(kind: Any, **options: Any) -> Any:
    if kind is socketio.AsyncServer:
        options["async_mode"] = "aiohttp"
    options.setdefault("ping_interval", 20)
    options.setdefault("ping_timeout", 20)
    async with serve(kind(**options)) as site:
        yield site


async def packets_in_one_post(kind: Any) -> Any:
    """B2-1, T1: more than 16 packets in one POST are dropped, and the answer is 200 OK."""
    seen: list[int] = []
    async with site_of(kind) as site:
        site.server.on("n", lambda sid, n: seen.append(n))
        client = await site.polling()
        await client.join()
        status, _ = await site.post(client.sid, "\x1e".join(f'42["n",{n}]' for n in range(25)))
        assert status == 200
        await site.post(client.sid, '42["n",25]')
        await until(lambda: 25 in seen)
    return seen == list(range(26))


async def segments_of_a_body(kind: Any) -> Any:
    """B2-2: what has not come with the first TCP segment is lost, and the answer is 200 OK."""
    seen: list[int] = []
    async with site_of(kind) as site:
        site.server.on("n", lambda sid, n: seen.append(n))
        client = await site.polling()
        await client.join()
        body = b'42["n",1]\x1e42["n",2]'
        reader, writer = await site.raw()
        head = site.head("POST", site.url(sid=client.sid), f"Content-Length: {len(body)}")
        writer.write(head + body[:9])
        await until(lambda: seen or getattr(site.eio.sockets[client.sid], "posting", False))
        writer.write(body[9:])
        assert b" 200 " in await soon(reader.readline())
        writer.close()
        await site.post(client.sid, '42["n",3]')
        await until(lambda: 3 in seen)
    return seen == [1, 2, 3]


async def not_a_number(kind: Any) -> Any:
    """B2-3: NaN from one client closes all the others, whose parser refuses it."""
    async with site_of(kind) as site:

        async def say(sid: str, value: Any) -> None:
            await site.server.emit("said", value, skip_sid=sid)

        site.server.on("say", say)
        victim, sender = await site.websocket(), await site.websocket()
        await victim.join()
        await sender.join()
        await sender.send('42["say",NaN]')
        other = await site.websocket()
        await other.join()
        await other.send('42["say",1]')
        try:
            json.loads(str(await victim.receive())[2:], parse_constant=int)
        except ValueError:
            return False
        return True


async def reserved_names(kind: Any) -> Any:
    """B2-5, S1: a client runs the application's connect and disconnect handlers."""
    ran: list[Any] = []
    async with site_of(kind) as site:
        site.server.on("connect", lambda sid, environ, auth: ran.append(auth))
        site.server.on("n", lambda sid: ran.append("n"))
        client = await site.websocket()
        await client.join()
        await client.send('42["connect",{"REMOTE_ADDR":"1.2.3.4"},{"token":"evil"}]')
        other = await site.websocket()
        await other.join()
        await other.send('42["n"]')
        await until(lambda: "n" in ran)
    return {"token": "evil"} not in ran


async def sockets_that_never_probe(kind: Any) -> Any:
    """B2-7: any number of WebSockets on one session, for ever."""
    async with site_of(kind) as site:
        client = await site.polling()
        first = await site.websocket(client.sid)
        second = await site.websocket(client.sid)
        try:
            await soon(second.packet(), 0.3)
        except ConnectionError:
            return not first.ws.closed
        except TimeoutError:
            return False


async def order_of_handlers(kind: Any) -> Any:
    """B2-9, S2: each event is a task of its own, and later ones overtake."""
    seen: list[int] = []
    gate = asyncio.Event()

    async def step(sid: str, number: int) -> None:
        if number == 0:
            await gate.wait()
        seen.append(number)

    async with site_of(kind) as site:
        site.server.on("step", step)
        site.server.on("open", lambda sid: gate.set(), namespace="/gate")
        client = await site.websocket()
        await client.join()
        for number in range(3):
            await client.send(f'42["step",{number}]')
        other = await site.websocket()
        await other.join("/gate")
        await other.send('42/gate,["open"]')
        await until(lambda: len(seen) == 3)
    return seen == [0, 1, 2]


async def malformed_frames(kind: Any) -> Any:
    """B2-11, S7: an exception escapes, and the session stays until it times out."""
    async with site_of(kind) as site:
        client = await site.websocket()
        await client.join()
        await client.send("abc")
        await client.closed()
        try:
            await until(lambda: not site.eio.sockets, 0.3)
        except TimeoutError:
            return False
        return True


async def two_polls(kind: Any) -> Any:
    """B2-17: two polls share a session, and each gets a part of the packets."""
    async with site_of(kind) as site:
        client = await site.polling()
        await client.join()
        first = asyncio.create_task(site.get(client.sid))
        await asyncio.sleep(0)
        second = asyncio.create_task(site.get(client.sid))
        done, waiting = await asyncio.wait([first, second], timeout=0.3)
        for task in waiting:
            task.cancel()
        return bool(done)


async def invalid_text(kind: Any) -> Any:
    """B2-17: a POST that is not UTF-8 is answered with 200 OK."""
    async with site_of(kind) as site:
        client = await site.polling()
        status, _ = await site.post(client.sid, b"4\xff")
        return status == 400 and client.sid not in site.eio.sockets


async def compression(kind: Any) -> Any:
    """B2-12, T2: permessage-deflate with every browser, 100 kB per connection."""
    async with site_of(kind) as site:
        ws = await site.http.ws_connect(site.url("websocket"), compress=15)
        await ws.close()
        return ws.compress == 0


async def addresses(kind: Any) -> Any:
    """B2-14: the client's address is always 127.0.0.1."""
    seen: list[str] = []
    options = {} if kind is socketio.AsyncServer else {"trusted_proxies": ["127.0.0.1"]}
    async with site_of(kind, **options) as site:
        site.server.on("connect", lambda sid, environ: seen.append(environ["REMOTE_ADDR"]))
        client = await site.websocket(headers={"X-Forwarded-For": "1.2.3.4"})
        await client.join()
    return seen == ["1.2.3.4"]


async def never_connecting(kind: Any) -> Any:
    """B2-8: a client that joins no namespace stays as long as it likes."""
    options = {} if kind is socketio.AsyncServer else {"connect_timeout": 0.1}
    async with site_of(kind, **options) as site:
        client = await site.websocket()
        try:
            await soon(client.packet(), 0.4)
        except ConnectionError:
            return True
        except TimeoutError:
            return False


async def stopping(kind: Any) -> Any:
    """B2-20, T10: shutdown closes nobody."""
    async with site_of(kind) as site:
        client = await site.websocket()
        await client.join()
        await site.server.shutdown()
        try:
            await soon(client.packet(), 0.3)
        except ConnectionError:
            return True
        except TimeoutError:
            return False


async def type_errors(kind: Any) -> Any:
    """S6: a TypeError inside a handler has it called again with other arguments."""
    calls: list[int] = []

    async def disconnect(*args: Any) -> None:
        calls.append(len(args))
        raise TypeError("mine")

    async with site_of(kind) as site:
        site.server.on("disconnect", disconnect)
        client = await site.websocket()
        await client.join()
        await client.send("41")
        await until(lambda: calls)
        await client.send("40")
        try:
            await client.receive()
        except ConnectionError:
            pass
        return calls == [2]


async def kick_during_connect(kind: Any) -> Any:
    """T5: disconnecting a client whose connect handler still runs does nothing."""
    async with site_of(kind) as site:

        async def connect(sid: str, environ: Any) -> None:
            await site.server.disconnect(sid)

        site.server.on("connect", connect)
        client = await site.websocket()
        await client.join()
        try:
            return await soon(client.receive(), 0.3) == "41"
        except TimeoutError:
            return False


async def call_of_a_client_that_goes(kind: Any) -> Any:
    """T10: a call waits out its time although the client has gone."""
    async with site_of(kind) as site:
        client = await site.websocket()
        sid = (await client.join())["sid"]
        call = asyncio.create_task(site.server.call("q", to=sid, timeout=5))
        await client.receive()
        await client.send("1")
        done, _ = await asyncio.wait([call], timeout=0.3)
        call.cancel()
        return bool(done) and isinstance(call.exception(), socketio.exceptions.DisconnectedError)


async def jsonp(kind: Any) -> Any:
    """B2-16: JSONP is answered, to scripts of any site."""
    async with site_of(kind) as site, site.http.get(site.url(j="0")) as answer:
        return answer.status == 400


async def unfinished_poll(kind: Any) -> Any:
    """A: the pending poll of a client that closes is answered with 200 and a NOOP."""
    async with site_of(kind) as site:
        client = await site.polling()
        await client.join()
        poll = asyncio.create_task(site.get(client.sid))
        await asyncio.sleep(0)
        async with site.http.get(site.url(sid="none")):
            pass  # a round trip: the poll has arrived
        await client.send("1")
        try:
            return await soon(poll, 0.3) == (200, "6")
        except TimeoutError:
            return False


async def refused_namespaces(kind: Any) -> Any:
    """A: the reason of a refused namespace is a text where clients look for an object."""
    async with site_of(kind) as site:
        client = await site.websocket()
        await client.send("40/random")
        return await client.receive() == '44/random,{"message":"Invalid namespace"}'


CHECKS: list[Callable[[Any], Awaitable[Any]]] = [
    packets_in_one_post,
    segments_of_a_body,
    not_a_number,
    reserved_names,
    sockets_that_never_probe,
    order_of_handlers,
    malformed_frames,
    two_polls,
    invalid_text,
    compression,
    addresses,
    never_connecting,
    stopping,
    type_errors,
    kick_during_connect,
    call_of_a_client_that_goes,
    jsonp,
    unfinished_poll,
    refused_namespaces,
]
EACH = pytest.mark.parametrize("check", CHECKS, ids=[check.__name__ for check in CHECKS])


@EACH
async def test_closed(check: Callable[[Any], Awaitable[bool]]) -> None:
    assert await check(sioserver.AsyncServer) is True


@EACH
@pytest.mark.filterwarnings("default")  # the stock server leaves coroutines and sockets behind
async def test_stock_still_needs_us(check: Callable[[Any], Awaitable[bool]]) -> None:
    try:
        right = await check(socketio.AsyncServer)
    except (TimeoutError, ConnectionError, AssertionError, KeyError):
        right = False
    assert right is not True


async def test_a_replayed_attachment_is_no_amplifier() -> None:
    """B2-3, B2-4: one small attachment, named a thousand times, is not sent on a thousand times."""
    place = '{"_placeholder":true,"num":0}'
    text = '51-["say",' + ",".join([place] * 1000) + "]"
    stock = socketio.packet.Packet(encoded_packet=text)
    assert stock.add_attachment(b"x")
    assert len(stock.data) == 1001
    with pytest.raises(ValueError, match="twice"):
        Packet(encoded_packet=text).add_attachment(b"x")


async def test_log_amplification(logged: pytest.LogCaptureFixture) -> None:
    """B2-10: clients that send nonsense fill no log."""
    async with site_of(sioserver.AsyncServer) as site:
        logged.clear()
        for _ in range(20):
            client = await site.websocket()
            await client.send("42" + "[" * 900)
            await client.closed()
        loud = [record for record in logged.records if record.levelname in ("WARNING", "ERROR")]
        assert not loud
        assert "Traceback" not in logged.text
        assert all(len(record.getMessage()) < 400 for record in logged.records)


async def test_isolation(sio: Site) -> None:
    """B3: a victim beside all kinds of malformed traffic notices nothing."""
    sio.server.on("echo", lambda sid, *args: args)
    victim = await sio.websocket()
    await victim.join()

    async def attack(text: str | bytes) -> None:
        attacker = await sio.websocket()
        await attacker.join()
        await attacker.send(text)
        await attacker.closed()

    texts: list[str | bytes] = [
        "4x",
        "",
        "42[",
        '42["connect"]',
        b"x",
        '4511-["a"]',
        "9",
        "0",
        "44",
    ]
    attacks = [asyncio.create_task(attack(text)) for text in texts * 3]
    for number in range(50):
        await victim.send(f'42{number}["echo",{number}]')
        assert await victim.receive() == f"43{number}[{number}]"
    await soon(asyncio.gather(*attacks))
    await until(lambda: list(sio.eio.sockets) == [victim.sid])
