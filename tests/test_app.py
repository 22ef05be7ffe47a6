"""The whole put together, as an application that somebody mounts."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import http_parser, web
from aiohttp.test_utils import make_mocked_request

from sioserver import __version__
from sioserver.app import (
    METRICS,
    NODE,
    ROOMS,
    SERVER,
    create_app,
    mount,
)
from sioserver.config import Config
from sioserver.config.schema import Auth
from sioserver.engine import create_engine
from sioserver.engine.base import StoreError
from sioserver.errors import Refusal
from sioserver.hooks import Hooks, Joining, Left, Posting
from sioserver.metrics import Metrics
from sioserver.model import Peer
from sioserver.node import Node
from sioserver.rooms import RoomService
from sioserver.startup import CannotStart
from sioserver.transport.namespace import RoomServer

from .app_kit import EVIL, PATIENCE, POLLING, Http, WebSocket, client_of, configured, metrics_of


@pytest.fixture
async def http() -> AsyncIterator[Http]:
    async with client_of(create_app(configured())) as client:
        yield client


# ---------------------------------------------------------------------------- the application


async def test_the_parts_can_be_found() -> None:
    app = create_app(configured())
    assert isinstance(app[NODE], Node)
    assert isinstance(app[ROOMS], RoomService)
    assert isinstance(app[SERVER], RoomServer)
    assert isinstance(app[METRICS], Metrics)


async def test_it_runs_without_a_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    async with client_of(create_app()) as http:
        assert (await http.get("/readyz")).status == 200
    assert list(tmp_path.rglob("sioserver.db"))


async def test_a_page_that_has_its_name_point_here_gets_nothing() -> None:
    """DNS rebinding: for the browser it is a page of this server."""
    async with client_of(create_app(configured(), served=True)) as http:
        for path in ("/", POLLING, "/metrics", "/nothing"):
            async with http.get(path, headers=EVIL) as answer:
                assert answer.status == 421, path
                text = await answer.text()
                assert "evil" not in text
                assert "add it to server.hosts" in text
        with pytest.raises(aiohttp.WSServerHandshakeError, match="421"):
            await http.ws_connect("/socket.io/?EIO=4&transport=websocket", headers=EVIL)
        samples = await metrics_of(http)
        assert samples['refusals_total{code="forbidden"}'] == 5
        for host in ("localhost:8000", "127.0.0.1", "[::1]:8000", "laptop"):
            assert (await http.get(POLLING, headers={"Host": host})).status == 200
        # and polls still go past the HTTP library
        assert http.app is not None
        assert http.app[SERVER].eio.bypass.spares([http.app])


@pytest.mark.parametrize(
    ("server", "served", "status"),
    [
        ({}, False, 200),  # mounted: whoever mounts it knows where it stands
        ({"host": "0.0.0.0"}, True, 200),
        ({"trusted_proxies": ["127.0.0.1"]}, True, 200),
        ({"hosts": ["chat.example"]}, True, 421),
        ({"hosts": ["chat.example"]}, False, 421),
        ({"hosts": ["evil.example"]}, True, 200),
        ({"hosts": ["chat.example"], "trusted_proxies": ["127.0.0.1"]}, True, 421),
    ],
)
async def test_who_answers_to_any_name(server: dict[str, Any], served: bool, status: int) -> None:
    async with client_of(create_app(configured(server=server), served=served)) as http:
        assert (await http.get(POLLING, headers={"Host": "evil.example"})).status == status
        assert (await http.get("/readyz", headers={"Host": "evil.example"})).status in (200, status)


async def test_the_name_in_an_absolute_target_counts() -> None:
    async with client_of(create_app(configured(), served=True)) as http:
        for host, status in (("evil.example", b"421"), ("localhost", b"200")):
            reader, writer = await asyncio.open_connection("127.0.0.1", http.port)
            head = f"GET http://{host}/metrics HTTP/1.1\r\nHost: localhost\r\n\r\n"
            writer.write(head.encode())
            assert (await reader.readline()).split()[1] == status
            writer.close()


async def test_a_proxy_tells_the_name_that_it_was_asked_by() -> None:
    server = {"hosts": ["chat.example"], "trusted_proxies": ["127.0.0.1"]}
    async with client_of(create_app(configured(server=server))) as http:
        headers = {"Host": "inner", "X-Forwarded-Host": "chat.example"}
        assert (await http.get(POLLING, headers=headers)).status == 200
        headers = {"Host": "chat.example", "X-Forwarded-Host": "evil.example"}
        assert (await http.get(POLLING, headers=headers)).status == 421


async def test_where_memory_is_short_nobody_new_comes_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sioserver.node.MEMORY_PAUSE", 0.01)
    app = create_app(configured())
    async with client_of(app) as http:

        async def until_it_is(ready: dict[str, Any]) -> None:
            async with asyncio.timeout(PATIENCE):
                while await (await http.get("/readyz")).json() != ready:
                    await asyncio.sleep(0.01)

        member = await WebSocket.open(http)
        mark = app[NODE]._watermark
        assert mark.used < mark.most  # of what this machine has
        usual, mark.most = mark.most, 1
        await until_it_is({"ready": False, "reasons": ["memory"]})
        answer = await http.get("/socket.io/?EIO=4&transport=polling")
        assert (answer.status, answer.headers["Retry-After"]) == (503, "10")
        assert (await member.call("message", "hello"))["ok"]
        samples = await metrics_of(http)
        assert samples['limit_hits_total{limit="memory"}'] == 1
        assert samples["memory_limit_bytes"] == usual
        assert samples["memory_bytes"] > 10_000_000
        mark.most = usual
        await until_it_is({"ready": True})
        await WebSocket.open(http)


async def test_health(http: Http) -> None:
    answer = await http.get("/healthz")
    assert answer.status == 200
    assert await answer.json() == {"ok": True, "version": __version__}
    answer = await http.get("/readyz")
    assert answer.status == 200
    assert await answer.json() == {"ready": True}
    answer = await http.get("/metrics")
    assert answer.content_type == "text/plain"
    assert "sioserver_connections" in await answer.text()


MACHINES = ("/healthz", "/readyz", "/metrics", "/nowhere", "/..%2f", "/<script>alert(1)</script>")
SOCKET = "/socket.io/?EIO=4&transport=polling"


async def test_what_every_answer_says_to_browsers() -> None:
    """At every door, with every method, whatever the answer is."""
    hostile = {"Origin": "https://a.example", "Accept": "text/html", "Referer": "<script>"}
    async with client_of(create_app(configured(server={"origins": ["https://a.example"]}))) as http:
        async with http.get(SOCKET) as answer:
            sid = json.loads((await answer.text())[1:])["sid"]
        ours = [SOCKET, f"{SOCKET}&sid={sid}", f"{SOCKET}&sid=<script>", f"{SOCKET}&j=<script>"]
        for path in (*MACHINES, "/", "/favicon.svg", *ours):
            for method in ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"):
                if (method, path) == ("GET", ours[1]):
                    continue  # it would wait
                asked = http.request(method, path, headers=hostile, data=b"<script>")
                async with asked as answer:
                    where, fields, body = (method, path), answer.headers, await answer.text()
                assert fields["X-Content-Type-Options"] == "nosniff", where
                assert "Set-Cookie" not in fields, where
                assert "Strict-Transport-Security" not in fields, where
                assert "<script>" not in body.replace('<script type="module"', ""), where
                if path not in ours:
                    assert "default-src 'none'" in fields["Content-Security-Policy"], where
                    assert not [name for name in fields if name.startswith("Access-Control")]
                    assert fields["Cross-Origin-Resource-Policy"] == "same-origin"


@pytest.mark.parametrize(
    ("server", "proto", "told"),
    [
        ({}, "https", None),  # anybody can say so
        ({"trusted_proxies": ["127.0.0.1"]}, "https", "max-age=2592000"),
        # from the right: what stands to the left of the proxy's word is the client's
        ({"trusted_proxies": ["127.0.0.1"]}, "http, https", "max-age=2592000"),
        ({"trusted_proxies": ["127.0.0.1"]}, "https, http", None),
        ({"trusted_proxies": ["127.0.0.1"]}, "http", None),
        ({"trusted_proxies": ["127.0.0.1"]}, None, None),
        ({"trusted_proxies": ["127.0.0.1"], "hsts": 60.0}, "https", "max-age=60"),
        ({"trusted_proxies": ["127.0.0.1"], "hsts": 0.0}, "https", None),
    ],
)
async def test_only_over_tls_browsers_are_told_to_stay_with_it(
    server: dict[str, Any], proto: str | None, told: str | None
) -> None:
    headers = {} if proto is None else {"X-Forwarded-Proto": proto}
    async with client_of(create_app(configured(server=server))) as http:
        for path in ("/", *MACHINES, SOCKET):
            answer = await http.get(path, headers=headers)
            assert answer.headers.get("Strict-Transport-Security") == told, path


async def test_not_ready_before_the_start() -> None:
    app = create_app(configured())
    request = make_mocked_request("GET", "/readyz")
    match = await app.router.resolve(request)
    answer = await match.handler(request)
    assert isinstance(answer, web.Response)
    assert answer.status == 503
    assert json.loads(answer.body) == {"ready": False, "reasons": ["starting"]}  # type: ignore[arg-type]


async def test_not_ready_while_draining(http: Http) -> None:
    app = http.app
    client = await WebSocket.open(http)
    app[NODE].drain()
    await app[SERVER].drain(0.0)
    answer = await http.get("/readyz")
    assert answer.status == 503
    assert await answer.json() == {"ready": False, "reasons": ["draining"]}
    assert (await http.get("/healthz")).status == 200  # alive all the same
    while (message := await client.ws.receive()).type is aiohttp.WSMsgType.TEXT:
        pass
    assert (message.type, message.data) == (aiohttp.WSMsgType.CLOSE, 1001)


async def test_while_draining_connections_are_not_kept(http: Http) -> None:
    """The next request shall go to somebody who stays; so shall new sessions."""
    answer = await http.get("/healthz")
    assert "Connection" not in answer.headers
    http.app[NODE].drain()
    await http.app[SERVER].drain(0.0)
    answer = await http.get("/healthz")
    assert (answer.status, answer.headers["Connection"]) == (200, "close")
    query = {"EIO": "4", "transport": "polling"}
    answer = await http.get("/socket.io/", params=query)
    assert (answer.status, answer.headers["Connection"]) == (503, "close")
    assert answer.headers["Retry-After"] == "1"
    assert "stopping" in (await answer.json())["message"]


class Poller:
    """A polling client that uses one connection for everything."""

    def __init__(self, http: Http, app: web.Application, monkeypatch: pytest.MonkeyPatch) -> None:
        self.http = http
        self.address = "/socket.io/?EIO=4&transport=polling"
        self.handled = self.asked = 0
        eio = app[SERVER].eio
        admit = eio.admit_origin

        def noted(request: web.Request) -> Any:
            self.handled += 1
            return admit(request)

        monkeypatch.setattr(eio, "admit_origin", noted)

    async def open(self) -> None:
        async with self.http.get(self.address) as answer:
            self.address += "&sid=" + json.loads((await answer.text())[1:])["sid"]
        await self.post("40")
        await self.until('"welcome"')
        for _ in range(3):  # so that the server knows how this client asks
            await self.post("3")
            await self.call()
        self.handled = self.asked = 0

    async def post(self, packet: str) -> None:
        self.asked += 1
        async with self.http.post(self.address, data=packet) as answer:
            assert (answer.status, await answer.text()) == (200, "ok")

    async def until(self, wanted: str) -> None:
        async with asyncio.timeout(PATIENCE):
            text = ""
            while wanted not in text:
                self.asked += 1
                async with self.http.get(self.address) as answer:
                    assert answer.status == 200
                    text = await answer.text()

    async def call(self) -> None:
        """Ask something, and poll for the answer."""
        await self.post('421["members"]')
        await self.until("431")


async def test_polls_pass_the_middleware_by_and_are_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    app = create_app(configured())
    async with client_of(app) as http:
        client = Poller(http, app, monkeypatch)
        await client.open()
        before = app[METRICS].http_requests["2xx"]
        for _ in range(3):
            await client.call()
        assert client.handled == 0
        assert app[METRICS].http_requests["2xx"] == before + client.asked


async def test_with_a_line_for_each_request_they_do_not(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "sioserver.access")
    app = create_app(configured())
    async with client_of(app) as http:
        client = Poller(http, app, monkeypatch)
        await client.open()
        caplog.clear()
        await client.call()
        assert client.handled == client.asked
        lines = [line.split(" ")[1] for line in caplog.messages]
        assert lines == ["POST", *["GET"] * (client.asked - 1)]


@pytest.mark.parametrize("path", ["/ws", "/socket.io/?EIO=4&transport=websocket"])
async def test_a_websocket_is_counted_and_logged_as_what_it_was_answered(
    path: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "sioserver.access")
    app = create_app(configured())
    upgrade = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13"}
    async with client_of(app) as http:
        await (await http.ws_connect(path)).close()
        assert (await http.get(path, headers=upgrade)).status == 400  # no Sec-WebSocket-Key
    counted = app[METRICS].http_requests
    assert (counted["1xx"], counted["2xx"], counted["4xx"]) == (1, 0, 1)
    assert [line.split(" ")[3] for line in caplog.messages] == ["101", "400"]
    # anybody can come and go a thousand times: not a line for each where the level is as usual
    assert {record.levelno for record in caplog.records} == {logging.DEBUG}


async def test_a_poll_that_waits_while_draining_is_answered_and_its_connection_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    app = create_app(configured())
    async with client_of(app) as http:
        client = Poller(http, app, monkeypatch)
        await client.open()
        poll = asyncio.create_task(http.get(client.address))
        [session] = app[SERVER].eio.sockets.values()
        async with asyncio.timeout(PATIENCE):
            while not session.polling:
                await asyncio.sleep(0)
        app[NODE].drain()
        await app[SERVER].drain(0.0)
        answer = await poll
        assert (answer.status, answer.headers["Connection"]) == (200, "close")
        assert client.handled == 0


@pytest.mark.parametrize(
    ("auth", "says"),
    [
        ({"public_keys": ["nowhere.pem"]}, r"auth\.public_keys: nowhere\.pem cannot be read"),
        ({"secret": "short"}, r"auth\.secret: a secret has at least 32 bytes"),
    ],
)
def test_it_is_not_made_with_keys_that_are_none(auth: dict[str, Any], says: str) -> None:
    with pytest.raises(CannotStart, match=says):
        create_app(Config(auth=Auth(**auth)))


def test_it_is_not_made_where_aiohttp_reads_by_python_code(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(http_parser, "HttpRequestParser", http_parser.HttpRequestParserPy)
    with pytest.raises(CannotStart, match="parser in Python"):
        create_app()


async def test_other_nodes_come_in_before_they_can_find_it() -> None:
    config, engine = configured(), create_engine(configured())
    with tempfile.TemporaryDirectory(prefix="s") as directory:
        peer = Peer("0badcafe", directory)
        found: list[list[str]] = []
        start = engine.start

        async def noted(listener: Any) -> None:
            found.append(sorted(os.listdir(directory)))
            await start(listener)

        engine.start = noted  # type: ignore[method-assign]
        async with client_of(create_app(config, engine=engine, peer=peer)) as http:
            query = {"EIO": "4", "transport": "polling"}
            answer = await http.get("/socket.io/", params=query)
            assert '"sid":"0badcafe-' in await answer.text()
            assert (await metrics_of(http))['node_info{id="0badcafe"}'] == 1
        assert found == [["0badcafe.fd", "0badcafe.sock"]]
        assert os.listdir(directory) == []


async def test_an_internal_address_that_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        peer = Peer("0badcafe", "", f"127.0.0.1:{other.getsockname()[1]}")
        runner = web.AppRunner(create_app(configured(), peer=peer))
        with pytest.raises(
            CannotStart, match=rf"nodes: .*in use.*; look at cluster\.address \({peer.address}\)"
        ):
            await runner.setup()
        await runner.cleanup()


async def test_not_ready_without_its_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    config = configured()
    engine = create_engine(config)
    async with client_of(create_app(config, engine=engine)) as http:
        monkeypatch.setattr(engine, "ready", lambda: "the disk is full")
        answer = await http.get("/readyz")
        assert answer.status == 503
        assert await answer.json() == {"ready": False, "reasons": ["the disk is full"]}
        monkeypatch.undo()
        assert (await http.get("/readyz")).status == 200


@pytest.mark.parametrize("prefix", ["/chat", "/a/b"])
async def test_mounted_below_a_path(prefix: str) -> None:
    async def own(request: web.Request) -> web.Response:
        return web.Response(text="the host's own")

    outer = web.Application()
    outer.router.add_get("/", own)
    inner = create_app(configured())
    outer.add_subapp(prefix, inner)
    async with client_of(outer) as http:
        assert await (await http.get("/")).text() == "the host's own"
        assert (await http.get(f"{prefix}/healthz")).status == 200
        assert (await http.get(f"{prefix}/readyz")).status == 200
        assert (await http.get("/healthz")).status == 404
        client = await WebSocket.open(http, f"{prefix}/socket.io/", {"user": "alice"})
        assert (await client.call("message", "hi"))["offset"] == 1
        answer = await http.get(f"{prefix}/socket.io/", params={"EIO": "4", "transport": "polling"})
        assert (await answer.text()).startswith("0{")
        samples = await metrics_of(http, prefix)
        assert samples['connections{transport="websocket"}'] == 1
        assert samples['connections{transport="polling"}'] == 1
    # the end of the host is the end of what it mounted
    assert inner[SERVER].eio.sockets == {}
    assert "draining" in inner[NODE].ready()


async def test_hooks_of_an_embedder() -> None:
    hooks, left = Hooks(), asyncio.Event()

    @hooks.on_message
    async def no_links(posting: Posting) -> Posting:
        await asyncio.sleep(0)  # past where our own handlers have no task
        if "http://" in posting.body:
            raise Refusal("forbidden", "no links here")
        return posting.with_body(posting.body.upper())

    @hooks.on_join
    def not_everybody(joining: Joining) -> None:
        if joining.user.id == "mallory":
            raise Refusal("forbidden", "not you")

    @hooks.on_leave
    async def gone(event: Left) -> None:
        left.set()

    async with client_of(create_app(configured(), hooks=hooks)) as http:
        alice = await WebSocket.open(http, auth={"user": "alice"})
        assert (await alice.call("message", "hello"))["offset"] == 1
        assert any('"body":"HELLO"' in text for text in alice.passed)
        answer = await alice.call("message", "http://spam.example")
        assert answer["error"]["message"] == "no links here"
        mallory = await http.ws_connect("/socket.io/?EIO=4&transport=websocket")
        await mallory.send_str('40{"user":"mallory"}')
        told = [await mallory.receive_str() for _ in range(2)]
        assert told[1].startswith('44{"message":"not you"')
        await alice.ws.close()
        await asyncio.wait_for(left.wait(), PATIENCE)
        samples = await metrics_of(http)
    assert samples['hooks_total{hook="message",result="refused"}'] == 1
    assert samples['hooks_total{hook="join",result="refused"}'] == 1
    assert samples['hook_seconds_count{hook="message"}'] == 2


@pytest.mark.parametrize("path", ["/chat", "chat/", "/a/b"])
async def test_mount(path: str, caplog: pytest.LogCaptureFixture) -> None:
    hooks, asked = Hooks(), []
    hooks.on_join(asked.append)
    outer = web.Application()
    inner = mount(outer, path, configured(), hooks=hooks)
    below = "/" + path.strip("/")
    assert f"{below}: anybody who can reach it may join" in caplog.text
    async with client_of(outer) as http:
        answer = await http.get(f"{below}?name=Ann", allow_redirects=False)
        assert answer.status == 307
        assert answer.headers["Location"] == below.rpartition("/")[2] + "/?name=Ann"
        answer = await http.get(below)
        assert answer.url.path == f"{below}/"
        assert answer.status in (200, 503)  # 503: it is not built
        await WebSocket.open(http, f"{below}/socket.io/", {"user": "alice"})
        plain = await http.ws_connect(f"{below}/ws")
        await plain.send_str('{"event":"login","name":"Bob","uid":"bob"}')
        async with asyncio.timeout(PATIENCE):
            while (await plain.receive_json())["event"] != "login":
                pass
        await plain.close()
    users = [joining.user for joining in asked]
    # who hears others before a login is asked for as the guest that they are until then
    assert ["guest" if user.guest else user.id for user in users] == ["alice", "guest", "bob"]
    assert inner[SERVER].eio.sockets == {}


@pytest.mark.parametrize(
    "auth", [{"secret": "s3cr-et" * 5 + "xyz0189"}, {"insecure_anonymous": True}]
)
def test_mount_warns_of_nothing_where_it_was_decided(
    auth: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    mount(web.Application(), "/chat", Config(auth=Auth(**auth)))
    assert caplog.text == ""


@pytest.mark.parametrize("path", ["", "/", "/{room}", "/a b"])
def test_a_path_that_is_none(path: str) -> None:
    with pytest.raises(ValueError, match="expected a path such as"):
        mount(web.Application(), path)


async def test_two_of_them_in_one_process() -> None:
    outer = web.Application()
    outer.add_subapp("/a", create_app(configured()))
    outer.add_subapp("/b", create_app(configured(server={"path": "/rt"})))
    async with client_of(outer) as http:
        one = await WebSocket.open(http, "/a/socket.io/")
        other = await WebSocket.open(http, "/b/rt/")
        assert (await one.call("message", "x"))["offset"] == 1
        assert (await other.call("message", "x"))["offset"] == 1


async def test_without_the_page() -> None:
    async with client_of(create_app(configured(server={"web": False}))) as http:
        assert (await http.get("/")).status == 404
    async with client_of(create_app(configured())) as http:
        assert (await http.get("/")).status in (200, 503)  # 503: it is not built


async def test_what_was_posted_is_there_after_the_next_start(tmp_path: Path) -> None:
    config = configured(store={"path": str(tmp_path / "store.db")})
    auth = {"user": "alice"}
    async with client_of(create_app(config)) as http:
        client = await WebSocket.open(http, auth=auth)
        assert (await client.call("message", "kept"))["offset"] == 1
    async with client_of(create_app(config)) as http:
        client = await WebSocket.open(http, auth=auth)
        page = await client.call("history")
        assert [item["body"] for item in page["items"]] == ["kept"]


async def test_a_start_that_fails_lets_go_of_everything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = configured(store={"path": str(tmp_path / "store.db")})
    engine = create_engine(config)

    async def broken(name: str) -> bytes:
        raise StoreError("the secret is gone")

    monkeypatch.setattr(engine, "secret", broken)  # after the engine has started
    app = create_app(config, engine=engine)
    runner = web.AppRunner(app)
    with pytest.raises(StoreError, match="the secret is gone"):
        await runner.setup()
    await runner.cleanup()
    tasks = {task.get_name() for task in asyncio.all_tasks()}
    assert not tasks & {"sweep", "lag"}
    async with client_of(create_app(config)) as http:  # the store is free again
        assert (await http.get("/readyz")).status == 200


# ---------------------------------------------------------------------------- what is counted


async def test_the_counters_move() -> None:
    app = create_app(configured(limits={"max_body": 10}))
    async with client_of(app) as http:
        before = await metrics_of(http)
        alice = await WebSocket.open(http, auth={"user": "alice"})
        bob = await WebSocket.open(http, auth={"user": "bob"})
        assert (await alice.call("message", "hi"))["ok"]
        assert not (await alice.call("message", "x" * 11))["ok"]
        assert not (await alice.call("nonsense"))["ok"]
        await bob.until('42["message"')
        while not (await metrics_of(http))["pings_total"]:  # that prove what has arrived
            await alice.call("typing", True)
        now = await metrics_of(http)
        moved = {name: now[name] - before.get(name, 0.0) for name in now}
        assert moved['connections{transport="websocket"}'] == 2
        assert moved["connections_opened_total"] == 2
        assert moved["clients"] == 2
        assert moved["messages_published_total"] == 1
        assert moved["deliveries_total"] >= 2  # and whatever presence there was
        assert moved['events_total{event="message"}'] == 2
        assert moved['events_total{event="other"}'] == 1
        assert moved['refusals_total{code="too_large"}'] == 1
        assert moved['refusals_total{code="unknown_event"}'] == 1
        assert moved['limit_hits_total{limit="max_body"}'] == 1
        assert moved['recoveries_total{verdict="fresh"}'] == 2
        assert moved["publish_seconds_count"] == 1
        assert moved["pings_total"] >= 1
        assert moved['http_requests_total{status="2xx"}'] >= 1
        assert any(name.startswith("engine_") for name in now)
        await bob.ws.close()
        await alice.call("typing", True)
        while (now := await metrics_of(http))['connections{transport="websocket"}'] != 1:
            await alice.call("typing", True)
        assert now["clients"] == 1
        assert now['disconnects_total{code="transport_close"}'] == 1


async def test_connections_are_counted_by_transport_also_after_an_upgrade(http: Http) -> None:
    query = {"EIO": "4", "transport": "polling"}
    answer = await http.get("/socket.io/", params=query)
    sid = json.loads((await answer.text())[1:])["sid"]
    samples = await metrics_of(http)
    assert samples['connections{transport="polling"}'] == 1
    ws = await http.ws_connect(f"/socket.io/?EIO=4&transport=websocket&sid={sid}")
    await ws.send_str("2probe")
    assert await ws.receive_str() == "3probe"
    await ws.send_str("5")
    await ws.send_str("40")
    await ws.receive_str()
    samples = await metrics_of(http)
    assert samples['connections{transport="polling"}'] == 0
    assert samples['connections{transport="websocket"}'] == 1
    assert samples["connections_opened_total"] == 1
    await ws.close()


async def test_bytes_that_wait_are_counted(http: Http) -> None:
    query = {"EIO": "4", "transport": "polling"}
    answer = await http.get("/socket.io/", params=query)
    sid = json.loads((await answer.text())[1:])["sid"]
    assert (await metrics_of(http))["queue_bytes"] == 0
    await http.post("/socket.io/", params={**query, "sid": sid}, data="40")
    other = await WebSocket.open(http)
    await other.call("message", "x" * 10_000)
    assert (await metrics_of(http))["queue_bytes"] > 10_000


async def test_recoveries_are_counted_by_verdict(http: Http) -> None:
    """That of the stock client: it comes back with what CONNECT and the events told it."""
    http_any: Any = http
    first = WebSocket(await http_any.ws_connect("/socket.io/?EIO=4&transport=websocket"))
    await first.next()
    await first.ws.send_str('40{"user":"alice"}')
    pid = json.loads((await first.until("40"))[2:])["pid"]
    offset = json.loads((await first.until("42"))[2:])[-1]
    await first.ws.close()
    for auth, verdict in (
        ({"pid": pid, "offset": offset}, "recovered"),
        ({"position": offset}, "replayed"),
        ({"position": "elsewhere.5"}, "gap"),
        ({}, "fresh"),
    ):
        before = await metrics_of(http)
        client = await WebSocket.open(http, auth={"user": "alice", **auth})
        now = await metrics_of(http)
        name = f'recoveries_total{{verdict="{verdict}"}}'
        assert now[name] - before[name] == 1, verdict
        await client.ws.close()
