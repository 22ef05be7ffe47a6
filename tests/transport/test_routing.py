"""Any node can be asked for any session."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from sioserver.errors import DISCONNECTS
from sioserver.metrics.exposition import render
from sioserver.model import Peer
from sioserver.origins import Origins
from sioserver.transport import routing

from .cluster import (
    Cluster,
    Member,
    at,
    directory,
    free_address,
    on_both_loops,
    owned_by_a_page,
)
from .kit import Polling, Site, WebSocket, frame, soon, until

UNKNOWN = '{"code":1,"message":"Session ID unknown"}'
UPGRADE = {
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


async def two(nodes: Cluster, kind: str, **options: Any) -> tuple[Member, Member]:
    """The owner of the sessions, and the node that is asked for them."""
    if kind == "one host":
        return await nodes.add("a", **options), await nodes.add("a", **options)
    owner = await nodes.add("a", address=free_address(), **options)
    return owner, await nodes.add("b", address=free_address(), **options)


HOSTS = pytest.mark.parametrize("hosts", ["one host", "two hosts"])


async def opened(owner: Member) -> Polling:
    return await owner.site.polling()


async def elsewhere(owner: Member, entry: Member) -> Polling:
    """A client whose session was opened at its owner, and whose requests now reach another."""
    client = await opened(owner)
    client.site = at(owner.site, entry)
    return client


# ---------------------------------------------------------------------------- session ids


@on_both_loops
async def test_the_id_of_a_session_begins_with_its_nodes(nodes: Cluster) -> None:
    member = await nodes.add("a")
    polling, websocket = await member.site.polling(), await member.site.websocket()
    for client in (polling, websocket):
        assert client.sid.startswith(member.peer.id + "-")
        assert len(client.sid) == 8 + 1 + 24


async def test_without_a_node_id_they_are_as_ever(echo: Site) -> None:
    client = await echo.polling()
    assert len(client.sid) == 24


# ---------------------------------------------------------------------------- polls and posts


@HOSTS
@on_both_loops
async def test_a_polling_client_that_never_meets_its_owner_again(
    nodes: Cluster, hosts: str
) -> None:
    owner, entry = await two(nodes, hosts)
    client = await elsewhere(owner, entry)
    for number in range(30):
        await client.send(f"4hello {number}")
        assert await client.receive() == f"4hello {number}"
    await client.send(b"\0\1binary")
    assert await client.receive() == b"\0\1binary"
    assert entry.metrics.forwards["polling"] >= 62
    assert entry.eio.sockets == {}
    assert set(entry.metrics.forward_failures.values()) == {0}
    await client.send("1")
    await until(lambda: client.sid not in owner.eio.sockets)


@HOSTS
@on_both_loops
async def test_everything_of_an_answer_comes_back(nodes: Cluster, hosts: str) -> None:
    owner, entry = await two(nodes, hosts, cors_allowed_origins="http://a.example")
    answers = []
    for member in (owner, entry):
        client = await opened(owner)
        owned_by_a_page(owner, client, "http://a.example")
        await owner.eio.send(client.sid, "x" * 5000)
        headers = {"Origin": "http://a.example", "Accept-Encoding": "gzip"}
        url = member.site.url(sid=client.sid)
        async with member.site.http.get(url, headers=headers, compress=False) as answer:
            fields = {name: value for name, value in answer.headers.items() if name != "Date"}
            answers.append((answer.status, answer.reason, fields, await answer.text()))
    assert answers[0] == answers[1]
    assert answers[0][2]["Content-Encoding"] == "gzip"
    assert answers[0][2]["Access-Control-Allow-Origin"] == "http://a.example"
    assert len(gzip.compress(b"x" * 5000)) < int(answers[0][2]["Content-Length"]) < 1000


@HOSTS
@on_both_loops
async def test_refusals_are_the_owners(nodes: Cluster, hosts: str) -> None:
    owner, entry = await two(nodes, hosts)
    client = await elsewhere(owner, entry)
    refused = [
        (await client.site.post(client.sid, "9nonsense")),
        (await client.site.get(client.sid)),
    ]
    assert refused[0] == (400, '{"code":3,"message":"Bad request"}')
    assert refused[1][0] in (200, 400)  # the CLOSE packet, or nothing any more
    await until(lambda: client.sid not in owner.eio.sockets)
    assert await client.site.get(client.sid) == (400, UNKNOWN)
    wrong = entry.site.url(sid=client.sid).replace("EIO=4", "EIO=3")
    async with entry.site.http.get(wrong) as answer:
        assert answer.status == 400
    async with entry.site.http.put(entry.site.url(sid=client.sid), data=b"") as answer:
        assert await answer.text() == UNKNOWN


@HOSTS
@on_both_loops
async def test_two_polls_at_the_same_time_are_too_many_from_wherever(
    nodes: Cluster, hosts: str
) -> None:
    owner, entry = await two(nodes, hosts)
    client = await elsewhere(owner, entry)
    first = asyncio.create_task(client.site.get(client.sid))
    await until(lambda: owner.session(client.sid)._poll)
    assert (await owner.site.get(client.sid))[0] == 400
    assert await soon(first) == (200, "1")  # closed


@HOSTS
@on_both_loops
async def test_a_lost_poll_ends_the_session(nodes: Cluster, hosts: str) -> None:
    owner, entry = await two(nodes, hosts)
    client = await elsewhere(owner, entry)
    gone: list[str] = []
    owner.eio.on("disconnect", lambda sid, reason: gone.append(reason))
    _reader, writer = await entry.site.raw()
    writer.write(entry.site.head("GET", entry.site.url(sid=client.sid)))
    await until(lambda: owner.session(client.sid)._poll)
    writer.transport.abort()
    await until(lambda: gone)
    assert gone == [owner.eio.reason.TRANSPORT_ERROR]
    await until(lambda: entry.router._requests == 0)
    assert set(entry.metrics.forward_failures.values()) == {0}


@HOSTS
@on_both_loops
async def test_a_post_that_did_not_come_ends_the_session(nodes: Cluster, hosts: str) -> None:
    """As at its own node: the client has to know that what it sent was lost."""
    owner, entry = await two(nodes, hosts)
    client = await elsewhere(owner, entry)
    gone: list[str] = []
    owner.eio.on("disconnect", lambda sid, reason: gone.append(reason))
    _reader, writer = await entry.site.raw()
    head = entry.site.head("POST", entry.site.url(sid=client.sid), "Content-Length: 100")
    writer.write(head + b"4half")
    await until(lambda: [c for c in entry.connections if c._current_request is not None])
    writer.transport.abort()
    await until(lambda: gone)
    assert gone == [owner.eio.reason.TRANSPORT_ERROR]


@HOSTS
@pytest.mark.parametrize("chunked", [False, True])
@on_both_loops
async def test_a_body_that_is_too_large(nodes: Cluster, hosts: str, chunked: bool) -> None:
    owner, entry = await two(nodes, hosts, max_http_buffer_size=5000)
    client = await elsewhere(owner, entry)
    body = b"4" + b"x" * 5000

    async def pieces() -> AsyncIterator[bytes]:
        yield body[:2000]
        yield body[2000:]

    data: Any = pieces() if chunked else body
    url, headers = entry.site.url(sid=client.sid), {"Content-Type": "text/plain"}
    async with entry.site.http.post(url, data=data, headers=headers) as answer:
        assert answer.status == 413
    await until(lambda: client.sid not in owner.eio.sockets)


@HOSTS
@on_both_loops
async def test_a_body_that_comes_too_slowly(nodes: Cluster, hosts: str) -> None:
    owner, entry = await two(nodes, hosts, body_timeout=0.1)
    client = await elsewhere(owner, entry)
    reader, writer = await entry.site.raw()
    head = entry.site.head("POST", entry.site.url(sid=client.sid), "Content-Length: 100")
    writer.write(head + b"4half")
    assert b" 408 " in await soon(reader.readuntil(b"}"))
    await until(lambda: client.sid not in owner.eio.sockets)
    writer.close()


@HOSTS
@on_both_loops
async def test_a_malformed_body(nodes: Cluster, hosts: str) -> None:
    owner, entry = await two(nodes, hosts)
    client = await elsewhere(owner, entry)
    headers = {"Content-Encoding": "gzip", "Content-Type": "text/plain"}
    url, body = entry.site.url(sid=client.sid), b"nonsense"
    async with entry.site.http.post(url, data=body, headers=headers) as answer:
        assert (answer.status, await answer.json()) == (400, {"code": 3, "message": "Bad request"})
    await until(lambda: client.sid not in owner.eio.sockets)


@HOSTS
@on_both_loops
async def test_a_compressed_body(nodes: Cluster, hosts: str) -> None:
    """It is unpacked where it comes in."""
    owner, entry = await two(nodes, hosts)
    client = await elsewhere(owner, entry)
    headers = {"Content-Encoding": "gzip", "Content-Type": "text/plain"}
    url, body = entry.site.url(sid=client.sid), gzip.compress(b"4hello")
    async with entry.site.http.post(url, data=body, headers=headers) as answer:
        assert (answer.status, await answer.text()) == (200, "ok")
    assert await client.receive() == "4hello"


@on_both_loops
async def test_too_many_at_once(nodes: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routing, "MAX_REQUESTS", 1)
    owner, entry = await two(nodes, "one host")
    first, second = await elsewhere(owner, entry), await elsewhere(owner, entry)
    waiting = asyncio.create_task(first.site.get(first.sid))
    await until(lambda: owner.session(first.sid)._poll)
    async with entry.site.http.get(entry.site.url(sid=second.sid)) as answer:
        assert answer.status == 503
        assert answer.headers["Retry-After"] == "1"
    assert entry.metrics.forward_failures["busy"] == 1
    await owner.eio.send(first.sid, "there")
    assert await soon(waiting) == (200, "4there")


@on_both_loops
async def test_a_poll_is_never_asked_for_twice(nodes: Cluster) -> None:
    """aiohttp sends a GET again when a connection that it had kept breaks. But the packets of the
    first time are lost then, and the client would not know."""
    with directory() as path:
        asked: list[bytes] = []

        async def serve_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            asked.append(await reader.readuntil(b"\r\n\r\n"))
            if len(asked) == 1:
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n6")
                asked.append(await reader.readuntil(b"\r\n\r\n"))
            writer.transport.abort()

        node = "ffffffff"
        listener = await asyncio.start_unix_server(serve_once, f"{path}/{node}.sock")
        nodes.hosts["a"] = path
        entry = await nodes.add("a")
        nodes.nodes.peers[node] = Peer(node, path)
        assert await entry.site.get(f"{node}-x") == (200, "6")
        assert await entry.site.get(f"{node}-x") == (400, UNKNOWN)
        assert len(asked) == 2
        listener.close()
        await entry.router.stop()


# ---------------------------------------------------------------------------- stopping


@HOSTS
@on_both_loops
async def test_a_node_that_stops_lets_go_of_the_polls_of_others(nodes: Cluster, hosts: str) -> None:
    """Breaking them off would end the sessions, which live on elsewhere."""
    owner, entry = await two(nodes, hosts)
    client = await elsewhere(owner, entry)
    poll = asyncio.create_task(client.site.get(client.sid))
    await until(lambda: owner.session(client.sid)._poll)
    entry.eio.stopping = True
    for end in entry.eio.carried():
        end()
    assert await soon(poll) == (200, "6")
    # one that comes now is not waited for
    assert await soon(client.site.get(client.sid)) == (200, "6")
    assert await client.site.post(client.sid, "4x") == (200, "ok")
    client.site = owner.site
    assert await client.receive() == "4x"
    await until(lambda: not entry.router._tasks)
    assert entry.eio.carried() == []


@on_both_loops
async def test_a_node_that_stops_closes_its_relays(nodes: Cluster) -> None:
    owner, entry = await two(nodes, "two hosts")
    client = await elsewhere(owner, entry)
    ws = await client.site.websocket(client.sid)
    await upgraded(ws)
    await until(lambda: owner.session(client.sid).upgraded)
    (end,) = entry.eio.carried()
    end()
    await ws.closed()
    await until(lambda: not owner.eio.sockets)


@on_both_loops
async def test_an_owner_that_cannot_be_asked_to_let_go(nodes: Cluster) -> None:
    owner, entry = await two(nodes, "one host")
    client = await elsewhere(owner, entry)
    poll = asyncio.create_task(client.site.get(client.sid))
    await until(lambda: owner.session(client.sid)._poll)
    (end,) = entry.eio.carried()
    Path(owner.peer.directory, owner.peer.id + ".sock").unlink()
    end()
    await until(lambda: not entry.router._tasks)
    await owner.eio.send(client.sid, "x")
    assert await soon(poll) == (200, "4x")


# ---------------------------------------------------------------------------- who it was


class Seen:
    """What the owner believes of a request."""

    def __init__(self, owner: Member) -> None:
        self.environs: list[dict[str, Any]] = []

        def allowed(origin: str, environ: dict[str, Any]) -> bool:
            self.environs.append(environ)
            return True

        owner.eio.cors_allowed_origins = allowed

    @property
    def last(self) -> tuple[str, str]:
        return self.environs[-1]["REMOTE_ADDR"], self.environs[-1]["wsgi.url_scheme"]


@HOSTS
@on_both_loops
async def test_the_owner_knows_the_clients_address(nodes: Cluster, hosts: str) -> None:
    owner, entry = await two(nodes, hosts, trusted_proxies=["127.0.0.1"], cors_allowed_origins="*")
    client, seen = await elsewhere(owner, entry), Seen(owner)
    headers = {
        "Origin": "http://a.example",
        "X-Forwarded-For": "6.6.6.6, 9.8.7.6",
        "X-Forwarded-Proto": "https",
    }
    await owner.eio.send(client.sid, "x")
    await client.site.get(client.sid, headers=headers)
    assert seen.last == ("9.8.7.6", "https")
    environ = seen.environs[-1]
    assert environ["HTTP_HOST"] == f"127.0.0.1:{entry.site.port}"
    assert "HTTP_ACCEPT" in environ
    assert environ["QUERY_STRING"] == entry.site.url(sid=client.sid).partition("?")[2]


@HOSTS
@on_both_loops
async def test_nobody_can_say_it_for_himself(nodes: Cluster, hosts: str) -> None:
    owner, entry = await two(nodes, hosts, cors_allowed_origins="*")
    client, seen = await elsewhere(owner, entry), Seen(owner)
    owned_by_a_page(owner, client, "http://a.example")
    forged = {
        "Origin": "http://a.example",
        "Sioserver-Caller": "6.6.6.6 https -",
        "Sioserver-Proof": "1 x",
        "X-Forwarded-For": "6.6.6.6",
    }
    for site in (entry.site, owner.site):
        await owner.eio.send(client.sid, "x")
        await site.get(client.sid, headers=forged)
        assert seen.last == ("127.0.0.1", "http")
    ws = await client.site.websocket(client.sid, headers=forged)
    await ws.send("2probe")
    assert await ws.packet() == "3probe"
    assert seen.last == ("127.0.0.1", "http")


@HOSTS
@on_both_loops
async def test_pages_are_refused_or_let_in_wherever_they_ask(nodes: Cluster, hosts: str) -> None:
    owner, entry = await two(nodes, hosts, origins=Origins(["https://*.a.example"]))
    client = await opened(owner)
    owned_by_a_page(owner, client, "https://b.a.example")
    await owner.eio.send(client.sid, "x")
    for origin in ("https://a.example", "https://evil.example", "null"):
        headers = {"Origin": origin}
        for url in (entry.site.url(sid=client.sid), entry.site.url("websocket", client.sid)):
            upgrade = UPGRADE if "websocket" in url else {}
            async with entry.site.http.get(url, headers={**headers, **upgrade}) as answer:
                assert answer.status == 400
                assert "not allowed" in await answer.text()
                assert "Access-Control-Allow-Origin" not in answer.headers
    headers = {"Origin": "https://b.a.example"}
    async with entry.site.http.get(entry.site.url(sid=client.sid), headers=headers) as answer:
        assert (answer.status, await answer.text()) == (200, "4x")
        assert answer.headers.getall("Access-Control-Allow-Origin") == ["https://b.a.example"]
        assert answer.headers.getall("Vary") == ["Origin"]
    ws = await entry.site.websocket(client.sid, headers=headers)
    await ws.send("2probe")
    assert await ws.packet() == "3probe"


@HOSTS
@on_both_loops
async def test_a_page_of_the_site_itself(nodes: Cluster, hosts: str) -> None:
    """The origin is compared with the address that the client used, not with the owner's."""
    owner, entry = await two(nodes, hosts)
    client = await elsewhere(owner, entry)
    await owner.eio.send(client.sid, "x")
    status, _ = await client.site.get(client.sid, headers={"Origin": entry.site.origin})
    assert status == 200
    status, _ = await client.site.get(client.sid, headers={"Origin": "http://evil.example"})
    assert status == 400


# ---------------------------------------------------------------------------- forged and stale


FORGED = [
    "ffffffff-AAAAAAAAAAAAAAAAAAAAAAAA",  # well-formed, and nobody's
    "FFFFFFFF-x",
    "ffffffff",
    "ffffffff-",
    "-x",
    "../../etc/passwd-x",
    "%2e%2e%2fx-y",
    "0" * 5000 + "-x",
    "a" * 33 + "-x",
]


@pytest.mark.parametrize("sid", FORGED)
@on_both_loops
async def test_a_forged_id_gets_the_standard_answer(nodes: Cluster, sid: str) -> None:
    entry = await nodes.add("a", address=free_address())
    own = f"{entry.peer.id}-AAAAAAAAAAAAAAAAAAAAAAAA"
    for forged in (sid, own):
        assert await entry.site.get(forged) == (400, UNKNOWN)
        assert await entry.site.post(forged, "4x") == (400, UNKNOWN)
    assert set(nodes.nodes.asked) <= {"ffffffff"}
    assert entry.metrics.forward_failures["unknown"] == len(nodes.nodes.asked)


@HOSTS
@on_both_loops
async def test_another_nodes_session_that_is_over(nodes: Cluster, hosts: str) -> None:
    owner, entry = await two(nodes, hosts)
    sid = f"{owner.peer.id}-AAAAAAAAAAAAAAAAAAAAAAAA"
    assert await entry.site.get(sid) == (400, UNKNOWN)
    with pytest.raises(Exception, match="400"):
        await entry.site.websocket(sid)


@HOSTS
@on_both_loops
async def test_a_dead_owner_gets_the_standard_answer(nodes: Cluster, hosts: str) -> None:
    """Also while the others still believe that it lives."""
    owner, entry = await two(nodes, hosts)
    client = await elsewhere(owner, entry)
    await client.send("4x")
    await owner.router.stop()
    assert await client.site.get(client.sid) == (400, UNKNOWN)
    assert await client.site.post(client.sid, "4x") == (400, UNKNOWN)
    with pytest.raises(Exception, match="400"):
        await client.site.websocket(client.sid)
    failed = entry.metrics.forward_failures
    assert failed["unreachable"] + failed["unknown"] == 3


@HOSTS
@on_both_loops
async def test_an_owner_that_dies_in_the_middle_of_a_poll(nodes: Cluster, hosts: str) -> None:
    owner, entry = await two(nodes, hosts)
    client = await elsewhere(owner, entry)
    waiting = asyncio.create_task(client.site.get(client.sid))
    await until(lambda: owner.session(client.sid)._poll)
    for runner in owner.router._doors._runners:
        assert runner.server is not None
        for connection in runner.server.connections:
            assert connection.transport is not None
            connection.transport.abort()
    assert await soon(waiting) == (400, UNKNOWN)
    assert entry.metrics.forward_failures["unreachable"] == 1


@on_both_loops
async def test_a_node_to_which_there_is_no_way_is_told_of_once(
    nodes: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    """Two servers that share a Redis, and nothing else."""
    owner, other = await nodes.add("a"), await nodes.add("b")
    entry, secretless = await nodes.add("c"), await nodes.add("d", secret="")
    with_address = await nodes.add("e", address=free_address())
    for _ in range(2):
        for member in (owner, other):
            sid = (await opened(member)).sid
            assert await entry.site.get(sid) == (400, UNKNOWN)
    assert entry.metrics.forward_failures["no_way"] == 4
    assert entry.metrics.forward_failures["unknown"] == 0
    one, two = (record.getMessage() for record in caplog.records)
    assert one.startswith(f"node {owner.peer.id} serves the same rooms but has no cluster.address:")
    assert two.startswith(f"node {other.peer.id} ")
    assert "set cluster.address and cluster.secret on every host" in one
    caplog.clear()
    sid = (await opened(with_address)).sid
    assert await secretless.site.get(sid) == (400, UNKNOWN)
    (record,) = caplog.records
    assert "but this one has no cluster.secret: " in record.getMessage()


@on_both_loops
async def test_the_log_tells_of_so_many_nodes_only(
    nodes: Cluster, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routing, "MAX_TOLD", 1)
    entry = await nodes.add("a")
    for host in "bc":
        sid = (await opened(await nodes.add(host))).sid
        assert await entry.site.get(sid) == (400, UNKNOWN)
    assert entry.metrics.forward_failures["no_way"] == 2
    assert len(caplog.records) == 1


@on_both_loops
async def test_an_owner_that_never_answers(nodes: Cluster, monkeypatch: Any) -> None:
    owner, entry = await two(nodes, "one host")
    client = await elsewhere(owner, entry)
    entry.router._limit = 0.05
    assert await soon(client.site.get(client.sid)) == (400, UNKNOWN)


@on_both_loops
async def test_no_more_than_one_hop(nodes: Cluster) -> None:
    """Two nodes that each take the other for the owner."""
    one, other = await two(nodes, "one host")
    sid = "ffffffff-x"
    nodes.nodes.peers["ffffffff"] = other.peer
    assert await one.site.get(sid) == (400, UNKNOWN)
    assert one.metrics.forwards["polling"] == 1  # asked, and answered so
    assert other.metrics.forwards["polling"] == 0


@on_both_loops
async def test_an_opening_request_is_never_passed_on(nodes: Cluster) -> None:
    one, _other = await two(nodes, "one host")
    client = await one.site.polling()
    assert client.sid in one.eio.sockets
    assert nodes.nodes.asked == []


@on_both_loops
async def test_without_a_common_directory_or_an_address(nodes: Cluster) -> None:
    owner, entry = await nodes.add("a"), await nodes.add("b")
    client = await opened(owner)
    assert await entry.site.get(client.sid) == (400, UNKNOWN)
    assert entry.metrics.forward_failures["no_way"] == 1


@on_both_loops
async def test_without_the_secret_nothing_goes_to_an_address(nodes: Cluster) -> None:
    owner = await nodes.add(address=free_address())
    entry = await nodes.add(address=free_address(), secret="")
    client = await opened(owner)
    assert await entry.site.get(client.sid) == (400, UNKNOWN)
    assert owner.metrics.forward_failures["denied"] == 0


@on_both_loops
async def test_with_another_secret(nodes: Cluster) -> None:
    owner = await nodes.add(address=free_address())
    entry = await nodes.add(address=free_address(), secret="another secret of at least 32 bytes.")
    client = await opened(owner)
    assert await entry.site.get(client.sid) == (400, UNKNOWN)
    with pytest.raises(Exception, match="400"):
        await entry.site.websocket(client.sid)
    assert owner.metrics.forward_failures["denied"] == 2
    assert entry.metrics.forward_failures["distrusted"] == 2
    assert client.sid in owner.eio.sockets


@on_both_loops
async def test_nodes_that_have_gone_are_let_go(nodes: Cluster) -> None:
    owner, entry = await two(nodes, "one host")
    client = await elsewhere(owner, entry)
    await client.send("4x")
    assert [*entry.router._sessions] == [owner.peer.id]
    await client.site.websocket(client.sid)
    assert [*entry.router._senders] == [owner.peer.id]
    Path(owner.peer.directory, owner.peer.id + ".sock").unlink()
    assert await client.site.get(client.sid) == (400, UNKNOWN)
    successor = await nodes.add("a")
    client = await elsewhere(successor, entry)
    await client.send("4x")
    assert [*entry.router._sessions] == [successor.peer.id]
    assert not entry.router._senders


@on_both_loops
async def test_a_client_that_has_gone_before_its_node_was_found(nodes: Cluster) -> None:
    """Its poll is not relayed: nobody would tell that it was lost, and it would take packets."""
    owner, entry = await two(nodes, "one host")
    client = await elsewhere(owner, entry)
    find, finding = nodes.nodes.peer, asyncio.Event()

    async def slowly(node: str) -> Peer | None:
        asked.set()
        await finding.wait()
        return await find(node)

    asked = asyncio.Event()
    entry.router._find = slowly
    _reader, writer = await entry.site.raw()
    writer.write(entry.site.head("GET", entry.site.url(sid=client.sid)))
    await soon(asked.wait())
    writer.transport.abort()
    await until(lambda: not [c for c in entry.connections if c.transport is not None])
    finding.set()
    await until(lambda: not entry.connections)
    await owner.eio.send(client.sid, "x")
    assert await owner.site.get(client.sid) == (200, "4x")


# ---------------------------------------------------------------------------- upgrades


@HOSTS
@on_both_loops
async def test_an_upgrade_at_another_node(nodes: Cluster, hosts: str) -> None:
    owner, entry = await two(nodes, hosts)
    client = await elsewhere(owner, entry)
    poll = asyncio.create_task(client.site.get(client.sid))
    await until(lambda: owner.session(client.sid)._poll)
    ws = await client.site.websocket(client.sid)
    await upgraded(ws)
    assert await soon(poll) == (200, "6")
    for number in range(20):
        await ws.send(f"4hello {number}")
        assert await ws.receive() == f"4hello {number}"
    await ws.send(b"\0\1")
    assert await ws.receive() == b"\0\1"
    assert owner.session(client.sid).upgraded
    kind = "handoff" if hosts == "one host" else "relay"
    assert entry.metrics.forwards[kind] == 1
    assert len(entry.router._relays) == (kind == "relay")
    await until(lambda: len(entry.connections) == 1)  # that of the polls
    await ws.send("1")
    await ws.closed()
    await until(lambda: not entry.router._relays)
    await until(lambda: client.sid not in owner.eio.sockets)


async def upgraded(ws: WebSocket) -> None:
    await ws.send("2probe")
    assert await ws.packet() == "3probe"
    await ws.send("5")


@HOSTS
@on_both_loops
async def test_the_owner_closes_an_upgraded_client(nodes: Cluster, hosts: str) -> None:
    owner, entry = await two(nodes, hosts)
    client = await elsewhere(owner, entry)
    ws = await client.site.websocket(client.sid)
    await upgraded(ws)
    await until(lambda: owner.session(client.sid).upgraded)
    await owner.eio.disconnect(client.sid)
    message = await soon(ws.ws.receive())
    assert message.data == DISCONNECTS["kicked"].number
    await until(lambda: not entry.router._relays)


@HOSTS
@on_both_loops
async def test_an_upgraded_client_vanishes(nodes: Cluster, hosts: str) -> None:
    owner, entry = await two(nodes, hosts)
    client = await elsewhere(owner, entry)
    ws = await client.site.websocket(client.sid)
    await upgraded(ws)
    await until(lambda: owner.session(client.sid).upgraded)
    await ws.leave()
    await until(lambda: client.sid not in owner.eio.sockets)
    await until(lambda: not entry.router._relays)


@HOSTS
@on_both_loops
async def test_frames_right_behind_the_request(nodes: Cluster, hosts: str) -> None:
    """Some of them were read together with it, the rest is still in the kernel."""
    owner, entry = await two(nodes, hosts)
    client = await elsewhere(owner, entry)
    reader, writer = await entry.site.raw()
    frames = [b"2probe", b"5", *(b"4%d" % number for number in range(2000))]
    head = entry.site.upgrade_head(entry.site.url("websocket", client.sid))
    writer.write(head + b"".join(frame(1, text) for text in frames))
    answer = await soon(reader.readuntil(b"\r\n\r\n"))
    assert b" 101 " in answer
    expected = b"\x81\x063probe" + b"".join(
        frame(1, b"4%d" % number, mask=False) for number in range(2000)
    )
    assert await soon(reader.readexactly(len(expected))) == expected
    writer.transport.abort()
    await until(lambda: not owner.eio.sockets)


@HOSTS
@on_both_loops
async def test_a_refused_upgrade_leaves_nothing_behind(nodes: Cluster, hosts: str) -> None:
    """What a client sends behind an upgrade that is refused is never read as a node's request."""
    owner, entry = await two(nodes, hosts, cors_allowed_origins="*")
    client, seen = await opened(owner), Seen(owner)
    reader, writer = await entry.site.raw()
    forged = owner.site.head(
        "GET",
        owner.site.url(sid=client.sid),
        "Sioserver-Caller: 6.6.6.6 https -",
        "Origin: http://a.example",
    )
    url = entry.site.url("websocket", f"{owner.peer.id}-nobody")
    writer.write(entry.site.upgrade_head(url) + forged)
    assert b" 400 " in await soon(reader.readline())
    writer.write(forged)
    await owner.eio.send(client.sid, "x")
    rest = asyncio.create_task(reader.read())
    await until(lambda: seen.environs or rest.done())
    rest.cancel()
    assert all(environ["REMOTE_ADDR"] != "6.6.6.6" for environ in seen.environs)
    writer.transport.abort()


@on_both_loops
async def test_too_many_relays(nodes: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routing, "MAX_RELAYS", 1)
    owner, entry = await two(nodes, "two hosts")
    first, second = await elsewhere(owner, entry), await elsewhere(owner, entry)
    await upgraded(await first.site.websocket(first.sid))
    with pytest.raises(Exception, match="503"):
        await second.site.websocket(second.sid)
    assert entry.metrics.forward_failures["busy"] == 1


@on_both_loops
async def test_the_metric_of_relays(nodes: Cluster) -> None:
    owner, entry = await two(nodes, "two hosts")
    client = await elsewhere(owner, entry)
    await upgraded(await client.site.websocket(client.sid))
    await until(lambda: owner.session(client.sid).upgraded)
    assert b"sioserver_relays 1.0" in render(entry.metrics)[0]
    await entry.router.stop()
    await until(lambda: not entry.router._relays)
    await until(lambda: not owner.eio.sockets)


def test_the_tag_of_a_host() -> None:
    """As an operator computes it: printf %s 10.0.0.1 | sha256sum | cut -c1-4."""
    assert routing.host_tag("10.0.0.1") == "f504"
    assert routing.host_tag("") == ""
