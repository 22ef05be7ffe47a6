"""The Engine.IO server: requests, refusals, the end of sessions."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import aiohttp
import engineio
import msgspec
import pytest
from aiohttp import web

from sioserver.admission import Admission
from sioserver.config.schema import Limits
from sioserver.transport.engineio import EngineServer

from .kit import CLOSE, TRANSPORTS, Site, engineio_server, frame, serve, soon, until


async def test_it_is_the_stock_class(echo: Site) -> None:
    assert isinstance(echo.eio, engineio.AsyncServer)
    client = await echo.polling()
    assert isinstance(echo.eio.sockets[client.sid], engineio.async_socket.AsyncSocket)
    assert echo.eio.transport(client.sid) == "polling"


async def test_a_body_in_several_tcp_segments(echo: Site) -> None:
    client = await echo.polling()
    body = b"4one\x1e4two\x1e4three"
    reader, writer = await echo.raw()
    writer.write(echo.head("POST", echo.url(sid=client.sid), f"Content-Length: {len(body)}"))
    for piece in (body[:5], body[5:8], body[8:]):
        await writer.drain()
        writer.write(piece)
        await asyncio.sleep(0)  # a segment of its own
    assert b" 200 " in await soon(reader.readline())
    writer.close()
    assert [await client.receive() for _ in range(3)] == ["4one", "4two", "4three"]


async def test_half_a_body_ends_the_session(echo: Site) -> None:
    client = await echo.polling()
    _, writer = await echo.raw()
    writer.write(echo.head("POST", echo.url(sid=client.sid), "Content-Length: 50") + b"4half")
    await until(lambda: echo.eio.sockets[client.sid].posting)
    writer.transport.abort()
    await until(lambda: client.sid not in echo.eio.sockets)


async def test_a_malformed_chunked_body_is_refused(echo: Site) -> None:
    client = await echo.polling()
    reader, writer = await echo.raw()
    writer.write(
        echo.head("POST", echo.url(sid=client.sid), "Transfer-Encoding: chunked") + b"ZZ\r\nabc\r\n"
    )
    assert b" 400 " in await soon(reader.readline())
    writer.close()
    await until(lambda: client.sid not in echo.eio.sockets)


async def test_a_chunked_body_counts_too() -> None:
    async with serve(engineio_server(max_http_buffer_size=100), "engine.io") as site:
        client = await site.polling()

        async def pieces() -> Any:
            for _ in range(30):
                yield b"4" + b"x" * 10

        headers = {"Content-Type": "text/plain"}
        url = site.url(sid=client.sid)
        async with site.http.post(url, data=pieces(), headers=headers) as answer:
            assert answer.status == 413
        await until(lambda: client.sid not in site.eio.sockets)


@pytest.mark.parametrize("size", [1_000_000, 1_000_001])
async def test_max_payload_to_the_byte(echo: Site, size: int) -> None:
    client = await echo.polling()
    status, _ = await echo.post(client.sid, "4" + "x" * (size - 1))
    assert status == (200 if size == 1_000_000 else 413)
    assert (client.sid in echo.eio.sockets) is (size == 1_000_000)


async def test_octet_stream_is_answered_and_closed(echo: Site) -> None:
    client = await echo.polling()
    headers = {"Content-Type": "application/octet-stream"}
    assert (await echo.post(client.sid, b"\1\2", headers=headers))[0] == 400
    assert (await echo.get(client.sid))[0] == 400


async def test_two_posts_at_the_same_time(echo: Site) -> None:
    client = await echo.polling()
    _, writer = await echo.raw()
    writer.write(echo.head("POST", echo.url(sid=client.sid), "Content-Length: 6") + b"4one")
    await until(lambda: echo.eio.sockets[client.sid].posting)
    assert (await echo.post(client.sid, "4two"))[0] == 400
    assert client.sid not in echo.eio.sockets
    writer.close()


async def test_jsonp_is_refused(echo: Site) -> None:
    async with echo.http.get(echo.url(j="0")) as answer:
        assert answer.status == 400
        assert "___eio" not in await answer.text()


async def test_answers_carry_no_more_than_they_must(echo: Site) -> None:
    async with echo.http.get(echo.url(sid="<script>")) as answer:
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Cache-Control"] == "no-store"
        assert "script" not in await answer.text()


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_the_connect_handler_may_refuse(transport: str) -> None:
    eio = engineio_server()
    eio.on("connect", lambda sid, environ: {"not": "today"})
    async with serve(eio, "engine.io") as site:
        headers = (
            {"Upgrade": "websocket", "Connection": "Upgrade"} if transport != "polling" else {}
        )
        async with site.http.get(site.url(transport), headers=headers) as answer:
            assert answer.status == 401
            assert await answer.json() == {"not": "today"}
        assert eio.sockets == {}
        assert len(eio.wheel) == 0


async def test_a_fault_in_the_connect_handler_refuses(logged: pytest.LogCaptureFixture) -> None:
    eio = engineio_server()

    async def connect(sid: str, environ: Any) -> None:
        raise TypeError("mine")

    eio.on("connect", connect)
    async with serve(eio, "engine.io") as site:
        assert (await site.get())[0] == 401
    assert logged.text.count("TypeError: mine") == 1


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_what_the_connect_handler_sends_comes_after_the_opening(transport: str) -> None:
    eio = engineio_server()

    async def connect(sid: str, environ: Any) -> None:
        await eio.send(sid, "early")
        await asyncio.sleep(0)
        await eio.send(sid, b"early")

    eio.on("connect", connect)
    async with serve(eio, "engine.io") as site:
        client = await site.connect(transport)
        assert [await client.receive(), await client.receive()] == ["4early", b"early"]


async def test_cancelled_while_the_connect_handler_runs() -> None:
    eio = engineio_server()
    begun = asyncio.Event()

    async def connect(sid: str, environ: Any) -> None:
        begun.set()
        await asyncio.sleep(60)

    eio.on("connect", connect)
    async with serve(eio, "engine.io", handler_cancellation=True) as site:
        _, writer = await site.raw()
        writer.write(site.head("GET", site.url()))
        await soon(begun.wait())
        writer.transport.abort()
        await until(lambda: not eio.sockets)


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_stopped_while_the_connect_handler_runs(transport: str) -> None:
    eio = engineio_server()
    begun, gate = asyncio.Event(), asyncio.Event()

    async def connect(sid: str, environ: Any) -> None:
        begun.set()
        await gate.wait()

    eio.on("connect", connect)
    async with serve(eio, "engine.io") as site:
        headers = (
            {"Upgrade": "websocket", "Connection": "Upgrade"} if transport != "polling" else {}
        )

        async def ask() -> int:
            async with site.http.get(site.url(transport), headers=headers) as answer:
                return answer.status

        asked = asyncio.create_task(ask())
        await soon(begun.wait())
        await eio.shutdown()
        gate.set()
        assert await soon(asked) == 503
        assert eio.sockets == {}


async def test_a_poll_after_the_end_fetches_what_was_left(echo: Site) -> None:
    client = await echo.polling()
    await echo.eio.send(client.sid, "last")
    await echo.eio.disconnect(client.sid)
    assert await client.poll() == ["4last", CLOSE]
    assert echo.eio.sockets == {}
    assert (await echo.get(client.sid))[0] == 400


async def test_a_poll_that_is_repeated_gets_its_answer_again(echo: Site) -> None:
    """As HTTP clients do by themselves when a connection breaks before the answer has come. It is
    no proof of anything either."""
    proofs: list[Any] = []
    echo.eio.hooks.written = lambda session: "written"
    echo.eio.hooks.proven = lambda session, what: proofs.append(what)
    client = await echo.polling()

    async def poll(mark: str) -> str:
        async with echo.http.get(echo.url("polling", client.sid) + f"&t={mark}") as answer:
            assert answer.status == 200
            return await answer.text()

    await echo.eio.send(client.sid, "one")
    assert await poll("a") == "4one"
    known = list(proofs)
    await echo.eio.send(client.sid, "two")
    assert [await poll("a"), await poll("a")] == ["4one", "4one"]
    assert proofs == known
    assert await poll("b") == "4two"
    assert proofs == [*known, "written"]
    await echo.eio.send(client.sid, "three")
    assert await client.poll() == ["4three"]  # without a mark nobody can tell
    await echo.eio.send(client.sid, "four")
    assert await client.poll() == ["4four"]


async def test_more_connections_than_allowed() -> None:
    async with serve(engineio_server(max_connections=2, ping_interval=20), "engine.io") as site:
        clients = [await site.polling(), await site.websocket()]
        async with site.http.get(site.url()) as answer:
            assert (answer.status, answer.headers["Retry-After"]) == (503, "5")
            assert await answer.json() == {"code": 3, "message": "No more connections just now"}
        with pytest.raises(aiohttp.WSServerHandshakeError, match="503"):
            await site.websocket()  # before the upgrade
        await clients[1].leave()
        await until(lambda: len(site.eio.sockets) == 1)
        await site.websocket()


async def test_a_body_has_to_be_whole_in_time_wherever_it_is_mounted() -> None:
    eio = engineio_server(body_timeout=0.1, ping_interval=20)
    async with serve(eio, "engine.io") as site:
        client = await site.polling()
        reader, writer = await site.raw()
        writer.write(site.head("POST", site.url(sid=client.sid), "Content-Length: 9") + b"4")
        assert b" 408 " in await soon(reader.readuntil(b"}"))
        assert client.sid not in eio.sockets
        writer.close()


PROXIED = {"trusted_proxies": ["127.0.0.1"], "ping_interval": 20}


def admitting(**limits: float) -> tuple[Any, list[str]]:
    hits: list[str] = []
    settings = msgspec.convert(limits, Limits)
    return engineio_server(admission=Admission(settings, hits.append), **PROXIED), hits


@pytest.mark.parametrize(
    ("limits", "there", "elsewhere", "message", "wait"),
    [
        ({"connections": 2}, 503, 503, "No more connections just now", "5"),
        ({"address_connections": 2}, 503, 200, "Too many connections from this address", "5"),
        (
            {"accept_rate": 0.01, "accept_burst": 2},
            *(503, 503),
            *("Too many new connections just now", "100"),
        ),
        (
            {"address_accept_rate": 0.01, "address_accept_burst": 2},
            *(503, 200),
            *("Too many new connections from this address", "100"),
        ),
    ],
)
async def test_who_finds_no_place_is_told_so_at_the_door(
    limits: dict[str, float], there: int, elsewhere: int, message: str, wait: str
) -> None:
    eio, hits = admitting(**limits)
    async with serve(eio, "engine.io") as site:

        async def come(address: str) -> tuple[int, str | None, str]:
            headers = {"X-Forwarded-For": address}
            async with site.http.get(site.url(), headers=headers) as answer:
                return answer.status, answer.headers.get("Retry-After"), await answer.text()

        assert [(await come("2001:db8::1"))[0] for _ in range(2)] == [200, 200]
        status, retry_after, body = await come("2001:db8::2")  # of the same network
        assert (status, retry_after) == (there, wait)
        assert json.loads(body)["message"] == message
        assert (await come("2001:db8:0:1::1"))[0] == elsewhere
        refused = 1 + (elsewhere == 503)
        assert hits == [next(iter(limits))] * refused
        assert eio.admission.connections.taken == len(eio.sockets) == 4 - refused


async def test_who_guesses_sessions_is_slowed_down_and_who_has_one_is_not() -> None:
    eio, hits = admitting(unknown_session_rate=0.01, unknown_session_burst=2)
    async with serve(eio, "engine.io") as site:

        async def ask(sid: str, address: str = "203.0.113.1") -> tuple[int, str | None, str]:
            headers = {"X-Forwarded-For": address}
            url = site.url(sid=sid)
            async with site.http.post(url, headers=headers, data="3") as answer:
                body = await answer.text()
                return answer.status, answer.headers.get("Retry-After"), body

        headers = {"X-Forwarded-For": "203.0.113.1"}
        async with site.http.get(site.url(), headers=headers) as answer:
            own = json.loads((await answer.text())[1:])["sid"]
        unknown = (400, None, '{"code":1,"message":"Session ID unknown"}')
        assert [await ask(f"guess{number}") for number in range(2)] == [unknown] * 2
        status, retry_after, body = await ask("guess2")
        assert (status, retry_after) == (503, "100")
        assert "Too many unknown sessions from this address" in body
        assert hits == ["unknown_session_rate"]
        assert await ask(own) == (200, None, "ok")
        assert await ask("guess3", "203.0.113.2") == unknown
        assert await ask("guess4", "127.0.0.1") == unknown
        assert own in eio.sockets


async def test_a_half_open_upgrade_counts() -> None:
    eio, _ = admitting(connections=2)
    async with serve(eio, "engine.io") as site:
        client = await site.polling()
        probe = await site.websocket(client.sid)
        await probe.send("2probe")
        assert await probe.packet() == "3probe"
        assert eio.admission.connections.taken == 2
        assert (await site.get())[0] == 503
        await probe.leave()
        await until(lambda: eio.admission.connections.taken == 1)
        assert (await site.get())[0] == 200


async def test_a_refused_session_has_no_place() -> None:
    eio, _ = admitting(connections=1)
    eio.on("connect", lambda sid, environ: False)
    async with serve(eio, "engine.io") as site:
        assert [(await site.get())[0] for _ in range(3)] == [401] * 3
        assert eio.admission.connections.taken == 0


async def test_middlewares_and_access_logs_see_a_taken_over_request(
    logged: pytest.LogCaptureFixture,
) -> None:
    @web.middleware
    async def middleware(request: web.Request, handler: Any) -> web.StreamResponse:
        response: web.StreamResponse = await handler(request)
        response.headers["X-Seen"] = "yes"
        await asyncio.sleep(0)
        return response

    eio = engineio_server()
    app = web.Application(middlewares=[middleware])
    eio.attach(app)
    runner = web.AppRunner(app, access_log_format="%r %s %b")
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/engine.io/?EIO=4&transport=websocket"
    async with aiohttp.ClientSession() as http, http.ws_connect(url) as ws:
        await soon(ws.receive())
        await ws.send_str("4x")
        assert (await soon(ws.receive())).data == "4x"
    await runner.cleanup()
    assert "Traceback" not in logged.text


async def test_a_malformed_upgrade_is_answered() -> None:
    eio = engineio_server()
    opened: list[Any] = []
    eio.hooks.on_opened = opened.append  # type: ignore[method-assign]
    closed: list[Any] = []
    eio.hooks.on_closed = closed.append  # type: ignore[method-assign]
    async with serve(eio, "engine.io") as site:
        reader, writer = await site.raw()
        writer.write(
            site.head("GET", site.url("websocket"), "Upgrade: websocket", "Connection: Upgrade")
        )
        assert b" 400 " in await soon(reader.readline())
        writer.close()
        await until(lambda: not eio.sockets)
        assert opened == closed == []


async def test_frames_right_behind_the_upgrade_request(echo: Site) -> None:
    reader, writer = await echo.raw()
    writer.write(
        echo.upgrade_head(echo.url("websocket")) + b"".join(frame(1, b"4%d" % n) for n in range(50))
    )
    await soon(reader.readuntil(b"\r\n\r\n"))
    got = b""
    while b"449" not in got:
        got += await soon(reader.read(4096))
    writer.close()


async def test_options_and_custom_json() -> None:
    class Codec:
        dumps = staticmethod(lambda value, **_: json.dumps(value, indent=1))
        loads = staticmethod(json.loads)

    eio = EngineServer(json=Codec, ping_interval=(2.5, 1.5))
    async with serve(eio, "engine.io") as site:
        _, text = await site.get()
        assert "\n" in text
        assert json.loads(text[1:])["pingInterval"] == 4000


# ---------------------------------------------------------------------------- what is counted


BAD_FRAME = frame(3, b"")  # an opcode that does not exist


async def upgrade_of(site: Site, *data: bytes, sid: str | None = None) -> bytes:
    """Everything that comes back over a WebSocket on which this is sent, to its end."""
    reader, writer = await site.raw()
    writer.write(site.upgrade_head(site.url("websocket", sid)) + b"".join(data))
    answer = await soon(reader.read())
    writer.close()
    return answer


async def test_each_client_that_breaks_the_protocol_is_counted_once(echo: Site) -> None:
    site = echo
    counted: list[tuple[str, str]] = []
    site.eio.hooks.count = lambda *what: counted.append(what)

    async def expect(*wanted: tuple[str, str]) -> None:
        await until(lambda: [each for each in counted if each[0] != "pings"] == list(wanted))
        counted.clear()

    told = await upgrade_of(site, BAD_FRAME)
    assert told.endswith(b"\x03\xeanot a frame that may come here")
    await expect(("disconnects", "parse_error"))
    told = await upgrade_of(site, frame(1, b"nonsense"))
    assert told.endswith((3005).to_bytes(2, "big") + b"the client broke the protocol")
    await expect(("disconnects", "parse_error"))

    # answered 400 too, but that is the same
    client = await site.polling()
    assert (await site.post(client.sid, "nonsense"))[0] == 400
    await expect(("disconnects", "parse_error"))
    assert (await site.post(client.sid, "4late"))[0] == 400
    await expect(("requests", "Session ID unknown"))
    client = await site.polling()
    polls = [asyncio.create_task(site.get(client.sid)) for _ in "12"]
    assert sorted([(await soon(poll))[0] for poll in polls]) == [200, 400]
    await expect(("disconnects", "parse_error"))


async def test_each_upgrade_that_is_none_is_counted_and_its_session_goes_on(echo: Site) -> None:
    site = echo
    counted: list[tuple[str, str]] = []
    site.eio.hooks.count = lambda *what: counted.append(what)
    client = await site.polling()
    for data in ([BAD_FRAME], [frame(1, b"5")], [frame(2, b"x")], [frame(1, b"2probe")] * 2):
        told = await upgrade_of(site, *data, sid=client.sid)
        assert told.endswith(b"\x03\xeanot a frame that may come here")
        await until(lambda: not site.eio.sockets[client.sid].upgrading)
        assert counted.pop() == ("requests", "Bad upgrade")
    first = await site.websocket(client.sid)
    assert (await upgrade_of(site, sid=client.sid)).endswith(b"not a frame that may come here")
    assert counted.pop() == ("requests", "Bad upgrade")
    await first.send("2probe")
    assert await first.packet() == "3probe"
    reader, writer = await site.raw()
    head = site.upgrade_head(site.url("websocket")).replace(b"Version: 13", b"Version: 99")
    writer.write(head)
    assert (await soon(reader.read())).startswith(b"HTTP/1.1 400 ")
    writer.close()
    assert ("requests", "Bad WebSocket handshake") in counted
