"""What the test-suites of the protocols ask for: Engine.IO v4 and Socket.IO v5.

The names of the tests are those of the suites. Where a suite waits a while, an event is waited for.
"""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import aiohttp
import pytest

from .kit import (
    CLOSE,
    NOOP,
    PING,
    PONG,
    TRANSPORTS,
    Site,
    serve,
    socketio_server,
    soon,
    until,
)

INTERVAL, TIMEOUT = 0.3, 0.2
WS_END = (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED)


async def refused(site: Site, method: str, url: str, **options: Any) -> int:
    async with site.http.request(method, url, **options) as answer:
        return answer.status


async def no_websocket(site: Site, url: str) -> None:
    with pytest.raises(aiohttp.WSServerHandshakeError) as error:
        await site.http.ws_connect(url)
    assert error.value.status == 400


class TestHandshake:
    async def test_polling_successfully_opens_a_session(self, engine: Site) -> None:
        status, text = await engine.get()
        assert status == 200
        assert text[0] == "0"
        opened = json.loads(text[1:])
        assert isinstance(opened.pop("sid"), str)
        assert opened == {
            "upgrades": ["websocket"],
            "pingInterval": 300,
            "pingTimeout": 200,
            "maxPayload": 1000000,
        }

    async def test_websocket_successfully_opens_a_session(self, engine: Site) -> None:
        async with engine.http.ws_connect(engine.url("websocket")) as ws:
            data = (await soon(ws.receive())).data
        opened = json.loads(data[1:])
        assert (data[0], opened["upgrades"], opened["pingInterval"]) == ("0", [], 300)
        assert (opened["pingTimeout"], opened["maxPayload"]) == (200, 1000000)

    @pytest.mark.parametrize("version", [None, "abc", "3", "5"])
    async def test_fails_with_an_invalid_eio_query_parameter(
        self, engine: Site, version: str | None
    ) -> None:
        for transport in TRANSPORTS:
            url = engine.url(transport, EIO=version)  # type: ignore[arg-type]
            assert await refused(engine, "GET", url) == 400
        await no_websocket(engine, engine.url("websocket", EIO=version))  # type: ignore[arg-type]

    async def test_the_version_is_named_as_the_reason(self, engine: Site) -> None:
        for headers in ({}, {"Upgrade": "websocket", "Connection": "Upgrade"}):
            transport = "websocket" if headers else "polling"
            url = engine.url(transport, EIO="3")
            async with engine.http.get(url, headers=headers) as answer:
                assert await answer.json() == {
                    "code": 5,
                    "message": "Unsupported protocol version",
                }

    @pytest.mark.parametrize("transport", [None, "abc", "webtransport"])
    async def test_fails_with_an_invalid_transport_query_parameter(
        self, engine: Site, transport: str | None
    ) -> None:
        assert await refused(engine, "GET", engine.url(transport)) == 400
        await no_websocket(engine, engine.url(transport))

    @pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "HEAD", "PATCH"])
    async def test_fails_with_an_invalid_request_method(self, engine: Site, method: str) -> None:
        assert await refused(engine, method, engine.url()) == 400
        client = await engine.polling()
        if method != "POST":
            assert await refused(engine, method, engine.url(sid=client.sid)) == 400
        assert (await engine.get(client.sid))[0] == 200

    async def test_an_unknown_sid_is_refused(self, engine: Site) -> None:
        for method in ("GET", "POST"):
            async with engine.http.request(method, engine.url(sid="zzz")) as answer:
                assert answer.status == 400
                assert await answer.json() == {"code": 1, "message": "Session ID unknown"}
        await no_websocket(engine, engine.url("websocket", "zzz"))


class TestMessage:
    async def test_polling_sends_and_receives_a_payload_with_one_packet(self, echo: Site) -> None:
        client = await echo.polling()
        assert await echo.post(client.sid, "4hello") == (200, "ok")
        assert await echo.get(client.sid) == (200, "4hello")

    async def test_polling_sends_and_receives_a_payload_with_several_packets(
        self, echo: Site
    ) -> None:
        client = await echo.polling()
        assert await echo.post(client.sid, "4test1\x1e4test2\x1e4test3") == (200, "ok")
        packets: list[str] = []
        while len(packets) < 3:
            packets += await client.poll()
        assert packets == ["4test1", "4test2", "4test3"]

    async def test_polling_sends_and_receives_a_payload_with_plain_text_and_binary_packets(
        self, echo: Site
    ) -> None:
        client = await echo.polling()
        assert await echo.post(client.sid, "4hello\x1ebAQIDBA==") == (200, "ok")
        assert [await client.receive(), await client.receive()] == ["4hello", b"\1\2\3\4"]

    async def test_polling_closes_the_session_upon_invalid_packet_format(
        self, engine: Site
    ) -> None:
        client = await engine.polling()
        assert (await engine.post(client.sid, "abc"))[0] == 400
        assert (await engine.get(client.sid))[0] == 400

    async def test_polling_closes_the_session_upon_duplicate_poll_requests(
        self, engine: Site
    ) -> None:
        client = await engine.polling()
        first = asyncio.create_task(engine.get(client.sid))
        await until(lambda: engine.eio.sockets[client.sid]._poll is not None)
        assert (await engine.get(client.sid))[0] == 400
        assert await soon(first) == (200, CLOSE)
        assert (await engine.get(client.sid))[0] == 400

    async def test_polling_closes_the_session_upon_cancelled_polling_request(
        self, engine: Site
    ) -> None:
        client = await engine.polling()
        _, writer = await engine.raw()
        writer.write(engine.head("GET", engine.url(sid=client.sid)))
        await until(lambda: engine.eio.sockets[client.sid]._poll is not None)
        writer.transport.abort()
        await until(lambda: client.sid not in engine.eio.sockets)
        assert (await engine.post(client.sid, "4hello"))[0] == 400

    async def test_websocket_sends_and_receives_a_plain_text_packet(self, echo: Site) -> None:
        client = await echo.websocket()
        await client.send("4hello")
        assert await client.receive() == "4hello"

    async def test_websocket_sends_and_receives_a_binary_packet(self, echo: Site) -> None:
        client = await echo.websocket()
        await client.send(b"\1\2\3\4")
        assert await client.receive() == b"\1\2\3\4"

    @pytest.mark.parametrize("packet", ["abc", "", "7", "0", "2probe"])
    async def test_websocket_closes_the_session_upon_invalid_packet_format(
        self, engine: Site, packet: str
    ) -> None:
        client = await engine.websocket()
        await client.send(packet)
        await client.closed()
        await until(lambda: client.sid not in engine.eio.sockets)


class TestHeartbeat:
    async def test_polling_sends_ping_pong_packets(self, engine: Site) -> None:
        client = await engine.polling()
        for _ in range(3):
            assert await client.packet() == PING
            await client.send(PONG)

    async def test_polling_closes_the_session_upon_ping_timeout(self, engine: Site) -> None:
        client = await engine.polling()
        await until(lambda: client.sid not in engine.eio.sockets)
        assert (await engine.get(client.sid))[0] == 400

    async def test_websocket_sends_ping_pong_packets(self, engine: Site) -> None:
        client = await engine.websocket()
        for _ in range(3):
            assert await client.packet() == PING
            await client.send(PONG)

    @pytest.mark.parametrize("transport", TRANSPORTS)
    async def test_closes_at_interval_and_timeout(self, engine: Site, transport: str) -> None:
        ends: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        eio = engine.eio
        ended = eio.ended

        def told(session: Any, reason: str, code: str, **flags: Any) -> None:
            ended(session, reason, code, **flags)
            if not ends.done():
                assert (reason, code) == ("ping timeout", "ping_timeout")
                ends.set_result(time.monotonic())

        eio.ended = told
        begin = time.monotonic()
        client = await engine.connect(transport)
        took = await soon(ends) - begin
        assert INTERVAL + TIMEOUT <= took < INTERVAL + TIMEOUT + 0.5
        await client.closed()


class TestClose:
    async def test_polling_forcefully_closes_the_session(self, engine: Site) -> None:
        client = await engine.polling()
        pending = asyncio.create_task(engine.get(client.sid))
        await until(lambda: engine.eio.sockets[client.sid]._poll is not None)
        assert await engine.post(client.sid, CLOSE) == (200, "ok")
        assert await soon(pending) == (200, NOOP)
        assert (await engine.get(client.sid))[0] == 400

    async def test_websocket_forcefully_closes_the_session(self, engine: Site) -> None:
        client = await engine.websocket()
        await client.send(CLOSE)
        message = await soon(client.ws.receive())
        assert message.type in WS_END


class TestUpgrade:
    async def test_successfully_upgrades_from_polling_to_websocket(self, echo: Site) -> None:
        client = await echo.polling()
        upgraded = await echo.websocket(client.sid)
        await upgraded.send("2probe")
        assert await upgraded.packet() == "3probe"
        await upgraded.send("5")
        await upgraded.send("4hello")
        assert await upgraded.packet() == "4hello"  # and no 6 before it

    async def test_ignores_http_requests_with_same_sid_after_upgrade(self, engine: Site) -> None:
        client = await engine.polling()
        upgraded = await engine.websocket(client.sid)
        await upgraded.send("2probe")
        assert await upgraded.packet() == "3probe"
        await upgraded.send("5")
        await until(lambda: engine.eio.sockets[client.sid].upgraded)
        assert (await engine.get(client.sid))[0] == 400
        assert (await engine.post(client.sid, "4x"))[0] == 400
        assert await upgraded.packet() == PING  # it lives

    async def test_ignores_websocket_connection_with_same_sid_after_upgrade(
        self, engine: Site
    ) -> None:
        client = await engine.polling()
        upgraded = await engine.websocket(client.sid)
        await upgraded.send("2probe")
        assert await upgraded.packet() == "3probe"
        await upgraded.send("5")
        second = await engine.websocket(client.sid)
        await second.closed()
        assert await upgraded.packet() == PING  # it lives

    async def test_a_pending_poll_is_let_go_of(self, engine: Site) -> None:
        client = await engine.polling()
        pending = asyncio.create_task(engine.get(client.sid))
        await until(lambda: engine.eio.sockets[client.sid]._poll is not None)
        upgraded = await engine.websocket(client.sid)
        await upgraded.send("2probe")
        assert await upgraded.packet() == "3probe"
        assert await soon(pending) == (200, NOOP)
        await upgraded.send("5")
        assert await upgraded.packet() == PING


@pytest.mark.parametrize("transport", TRANSPORTS)
class TestSocketIO:
    async def test_connection_to_the_main_namespace(self, suite: Site, transport: str) -> None:
        client = await suite.connect(transport)
        await client.send("40")
        assert await client.receive() == '42["auth",{}]'
        handshake = await client.receive()
        assert isinstance(handshake, str)
        assert handshake.startswith("40")
        assert list(json.loads(handshake[2:])) == ["sid"]
        assert json.loads(handshake[2:])["sid"] != client.sid

    async def test_connection_with_a_payload(self, suite: Site, transport: str) -> None:
        client = await suite.connect(transport)
        await client.send('40{"token":"123"}')
        assert await client.receive() == '42["auth",{"token":"123"}]'

    async def test_connection_to_a_custom_namespace(self, suite: Site, transport: str) -> None:
        client = await suite.connect(transport)
        await client.send('40/custom,{"token":"abc"}')
        assert await client.receive() == '42/custom,["auth",{"token":"abc"}]'
        handshake = await client.receive()
        assert str(handshake).startswith('40/custom,{"sid":')

    async def test_disallows_an_unknown_namespace(self, suite: Site, transport: str) -> None:
        client = await suite.connect(transport)
        await client.send("40/random")
        assert await client.receive() == '44/random,{"message":"Invalid namespace"}'

    async def test_disallows_an_invalid_handshake(self, suite: Site, transport: str) -> None:
        client = await suite.connect(transport)
        with_error = asyncio.create_task(client.closed())
        try:
            await client.send("4abc")
        except ConnectionError:
            pass
        await soon(with_error)

    async def test_closes_the_connection_if_no_handshake_is_received(self, transport: str) -> None:
        server = socketio_server(connect_timeout=0.2, ping_interval=20)
        async with serve(server) as site:
            client = await site.connect(transport)
            await client.closed()
            assert server.eio.sockets == {}

    async def test_disconnects_from_a_namespace(self, suite: Site, transport: str) -> None:
        client = await suite.connect(transport)
        await client.join()
        await client.join("/custom")
        await client.send("41/custom")
        await client.send("42" + '["message","message to main"]')
        assert await client.receive() == '42["message-back","message to main"]'

    async def test_plain_text_packets(self, suite: Site, transport: str) -> None:
        client = await suite.connect(transport)
        await client.join()
        await client.send('42["message",1,"2",{"3":[true]}]')
        assert await client.receive() == '42["message-back",1,"2",{"3":[true]}]'

    async def test_binary_packets(self, suite: Site, transport: str) -> None:
        client = await suite.connect(transport)
        await client.join()
        await client.send(
            '452-["message",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]'
        )
        await client.send(b"\1\2\3")
        await client.send(b"\4\5\6")
        assert await client.receive() == (
            '452-["message-back",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]'
        )
        assert [await client.receive(), await client.receive()] == [b"\1\2\3", b"\4\5\6"]

    async def test_plain_text_packets_with_ack(self, suite: Site, transport: str) -> None:
        client = await suite.connect(transport)
        await client.join()
        await client.send('42456["message-with-ack",1,"2",{"3":[false]}]')
        assert await client.receive() == '43456[1,"2",{"3":[false]}]'

    async def test_binary_packets_with_ack(self, suite: Site, transport: str) -> None:
        client = await suite.connect(transport)
        await client.join()
        await client.send(
            '452-789["message-with-ack",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]'
        )
        await client.send(b"\1\2\3")
        await client.send(b"\4\5\6")
        assert await client.receive() == (
            '462-789[{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]'
        )
        assert [await client.receive(), await client.receive()] == [b"\1\2\3", b"\4\5\6"]

    @pytest.mark.parametrize(
        "packet",
        ["4abc", "42{}", "42abc", '42["message"', "420", '421-["message"]', '45["message"]'],
        ids=["type", "object", "no-json", "open", "number", "attachments", "no-count"],
    )
    async def test_closes_upon_an_invalid_format(
        self, suite: Site, transport: str, packet: str
    ) -> None:
        client = await suite.connect(transport)
        await client.join()
        try:
            await client.send(packet)
        except ConnectionError:
            pass
        await client.closed()
        await until(lambda: client.sid not in suite.eio.sockets)

    async def test_closes_upon_an_unexpected_attachment(self, suite: Site, transport: str) -> None:
        client = await suite.connect(transport)
        await client.join()
        try:
            await client.send(b"\1\2")
        except ConnectionError:
            pass
        await client.closed()
