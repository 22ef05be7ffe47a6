"""No sticky sessions: four workers on two hosts, behind a balancer that knows nothing of sessions,
and behind nginx and HAProxy with the samples of deploy/."""

import asyncio
import os
import re
import secrets
import signal
import socket
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import socketio

from sioserver.testing import ServerProcess
from sioserver.transport.routing import host_tag

from ..balancer import Balancer
from ..programs import needed, running
from ..redis_servers import free_port, standalone
from .kit import until

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="needs a second loopback address"),
    pytest.mark.timeout(400),
]

ROOT = Path(__file__).resolve().parents[2]
HOSTS = ("127.0.0.1", "127.0.0.2")
CROWD = 200
ROOM = 10
UNKNOWN = {"code": 1, "message": "Session ID unknown"}


@dataclass
class Cluster:
    """Two hosts with two workers each."""

    hosts: list[ServerProcess]
    internal: list[str]

    @property
    def addresses(self) -> list[tuple[str, int]]:
        return [("127.0.0.1", host.port) for host in self.hosts]

    async def forwarded(
        self, http: aiohttp.ClientSession, name: str = "forwards"
    ) -> dict[str, int]:
        """What all workers have passed on, by kind. Each asked, by its own connection, until all
        four have answered."""
        found: dict[str, dict[str, int]] = {}
        pattern = re.compile(rf'sioserver_{name}_total{{\w+="(\w+)"}} (\d+)')
        alone = {"Connection": "close"}
        for host in self.hosts:
            while not {worker.node for worker in host.workers.values()} <= found.keys():
                async with http.get(host.url + "/metrics", headers=alone) as answer:
                    text = await answer.text()
                    (node,) = re.findall(r'sioserver_node_info{id="(\w+)"}', text)
                    found[node] = {kind: int(count) for kind, count in pattern.findall(text)}
        total: dict[str, int] = {}
        for counts in found.values():
            for kind, count in counts.items():
                total[kind] = total.get(kind, 0) + count
        return total


@pytest.fixture(scope="module")
def store() -> Iterator[str]:
    with tempfile.TemporaryDirectory() as directory:
        server = standalone(Path(directory))
        server.start()
        try:
            yield server.url
        finally:
            server.stop()


@asynccontextmanager
async def cluster(url: str) -> AsyncIterator[Cluster]:
    shared = {
        "redis.url": url,
        "redis.prefix": f"t{secrets.token_hex(4)}",
        "cluster.secret": secrets.token_hex(32),
        "limits.enabled": False,
        "drain.seconds": 0,
        "server.trusted_proxies": '["127.0.0.1"]',
    }
    internal = [f"{host}:{free_ports(host, 3)}" for host in HOSTS]
    async with AsyncExitStack() as stack:
        hosts = [
            await stack.enter_async_context(
                ServerProcess(workers=2, settings={**shared, "cluster.address": address})
            )
            for address in internal
        ]
        yield Cluster(hosts, internal)


def free_ports(host: str, count: int) -> int:
    """The first of so many free ports in a row: the workers' and a replacement's. Not of those that
    the kernel gives to the thousands of connections of this test and its neighbours."""
    while True:
        first = 20_000 + secrets.randbelow(10_000)
        try:
            for port in range(first, first + count):
                with socket.socket() as probe:
                    probe.bind((host, port))
        except OSError:
            continue
        return first


class Person:
    """python-socketio's own client, which does not come back: what fails is seen."""

    def __init__(self, number: int, transports: list[str]) -> None:
        self.name = f"{transports[-1]}-{number}"
        self.transports = transports
        self.namespace = f"/room-{number // ROOM}"
        self.heard: list[str] = []
        self.welcomed = asyncio.Event()
        self.lost = 0
        # one process is all of them: a request of one may well wait five seconds for its turn
        self.sio = socketio.AsyncClient(
            reconnection=False,
            handle_sigint=False,  # type: ignore[arg-type]
            request_timeout=60,
        )
        self.sio.on("message", self._message, namespace=self.namespace)
        self.sio.on("welcome", self._welcome, namespace=self.namespace)
        self.sio.on("disconnect", self._disconnect, namespace=self.namespace)

    def _message(self, payload: dict[str, Any], position: str) -> None:
        self.heard.append(payload["body"])

    def _welcome(self, payload: dict[str, Any], position: str) -> None:
        self.welcomed.set()

    def _disconnect(self, reason: str = "") -> None:
        self.lost += 1

    async def come(self, url: str) -> None:
        await self.sio.connect(
            url,
            auth={"user": self.name},
            namespaces=[self.namespace],
            transports=self.transports,
            wait_timeout=60,
        )
        await asyncio.wait_for(self.welcomed.wait(), 60)

    async def say(self, what: str) -> None:
        answer = await self.sio.call("message", what, namespace=self.namespace, timeout=60)
        assert answer["ok"], answer


async def crowd(url: str, size: int = CROWD) -> list[Person]:
    """As many that poll as that upgrade; all posted, and heard everybody in their room."""
    people = [Person(number, ["polling"]) for number in range(size)]
    people += [Person(number, ["polling", "websocket"]) for number in range(size)]
    for start in range(0, len(people), 50):  # as fast as one process can be so many clients
        await asyncio.gather(*(person.come(url) for person in people[start : start + 50]))
    await until(
        lambda: all(person.sio.transport() == person.transports[-1] for person in people), 60
    )
    await asyncio.gather(*(person.say(f"from {person.name}") for person in people))
    everything = {
        namespace: sorted(
            f"from {person.name}" for person in people if person.namespace == namespace
        )
        for namespace in {person.namespace for person in people}
    }
    await until(
        lambda: all(len(person.heard) >= len(everything[person.namespace]) for person in people), 60
    )
    for person in people:
        assert sorted(person.heard) == everything[person.namespace]
        assert person.lost == 0
    return people


async def test_the_worst_balancer_there_is(store: str) -> None:
    async with (
        cluster(store) as servers,
        Balancer(servers.addresses) as balancer,
        aiohttp.ClientSession() as http,
    ):
        began = time.monotonic()
        people = await crowd(balancer.url)
        took = time.monotonic() - began
        answers = dict(balancer.answers)
        assert balancer.refused == []
        assert balancer.broken == []
        assert answers.keys() == {200, 101}
        assert answers[101] == CROWD
        spread = sum(len(asked) == 2 for asked in balancer.asked.values())
        assert spread > CROWD * 0.9  # who polls was seen at both hosts
        forwarded = await servers.forwarded(http)
        # one in four requests meets its worker by chance, one in four upgrades its host's other one
        assert forwarded["polling"] > answers[200] / 2
        assert forwarded["handoff"] > CROWD / 8
        assert forwarded["relay"] > CROWD / 4
        failures = await servers.forwarded(http, "forward_failures")
        assert set(failures.values()) == {0}
        print(f"{len(people)} clients, {answers} answers, {forwarded} in {took:.1f} s")  # noqa: T201
        await asyncio.gather(*(person.sio.shutdown() for person in people))


async def test_forged_and_stale_ids_get_the_standard_answer_at_once(store: str) -> None:
    async with cluster(store) as servers, aiohttp.ClientSession() as http:
        first, second = servers.hosts
        asked = f"{second.url}/socket.io/?EIO=4&transport=polling&sid="

        async def refused(sid: str, method: str = "GET") -> float:
            began = time.monotonic()
            async with http.request(method, asked + sid) as answer:
                assert (answer.status, await answer.json()) == (400, UNKNOWN)
            return time.monotonic() - began

        async with http.get(f"{first.url}/socket.io/?EIO=4&transport=polling") as answer:
            stale = re.findall(r'"sid":"([^"]+)"', await answer.text())[0]
        node = stale.partition("-")[0]
        tag = host_tag(HOSTS[0])
        assert node.startswith(tag)
        forged = [f"{secrets.token_hex(4)}-{secrets.token_urlsafe(18)}" for _ in range(200)]
        forged += [f"{tag}{secrets.token_hex(4)}-x", f"{node}-{secrets.token_urlsafe(18)}"]
        slowest = {"one by one": max([await refused(sid) for sid in forged])}
        slowest["at once"] = max(await asyncio.gather(*map(refused, forged)))
        slowest["posts"] = max(await asyncio.gather(*(refused(sid, "POST") for sid in forged)))
        (dead,) = (worker for worker in first.workers.values() if worker.node == node)
        os.kill(dead.pid, 9)
        slowest["stale"] = await refused(stale)
        shown = {kind: f"{seconds * 1000:.1f} ms" for kind, seconds in slowest.items()}
        print("slowest refusals:", shown)  # noqa: T201
        assert max(slowest.values()) < 2.0


async def test_a_worker_that_leaves_costs_the_sessions_of_the_others_nothing(store: str) -> None:
    """Also not those whose polls it relays just then."""
    settings = {
        "redis.url": store,
        "redis.prefix": f"t{secrets.token_hex(4)}",
        "drain.seconds": 0.2,
        "presence.grace": 100,  # nothing is told that would answer the polls
    }
    async with (
        ServerProcess(workers=2, settings={**settings, "limits.enabled": False}) as server,
        Balancer([("127.0.0.1", server.port)]) as balancer,
    ):
        people = [Person(number, ["polling"]) for number in range(60)]
        await asyncio.gather(*(person.come(balancer.url) for person in people))
        leaving = server.workers[1]
        staying = [person for person in people if not person.sio.eio.sid.startswith(leaving.node)]
        assert 10 < len(staying) < 50  # the kernel chose
        since = len(server.output)
        os.kill(leaving.pid, signal.SIGTERM)
        await server.printed(f"worker 1, pid {leaving.pid}, has ended", since=since)
        await until(lambda: sum(person.lost for person in people) == 60 - len(staying), 60)
        for person in staying:
            await person.say("still here")
        assert [person.lost for person in staying] == [0] * len(staying)
        sessions = tuple(person.sio.eio.sid for person in staying)
        assert not any(sid in line for line, _, _ in balancer.refused for sid in sessions)
        assert not any(sid in line for line in balancer.broken for sid in sessions)
        await asyncio.gather(*(person.sio.shutdown() for person in people))


# ---------------------------------------------------------------------------- real balancers


def sample(name: str, servers: Cluster, port: int) -> str:
    """The file of deploy/ with the addresses of the test, and nothing else changed."""
    text = (ROOT / "deploy" / name).read_text()
    for number, host in enumerate(HOSTS):
        shown = f"10.0.0.{number + 1}"
        assert f"{shown}:8000" in text
        text = text.replace(f"{shown}:8000", "{}:{}".format(*servers.addresses[number]))
        assert host_tag(shown) in text, f"the tag of {shown} is {host_tag(shown)}"
        text = text.replace(host_tag(shown), host_tag(host))
    text = text.replace("listen 80;", f"listen 127.0.0.1:{port};")
    return text.replace("bind :80", f"bind 127.0.0.1:{port}")


@contextmanager
def nginx(servers: Cluster, directory: Path, port: int) -> Iterator[str]:
    (directory / "sioserver.conf").write_text(sample("nginx.conf", servers, port))
    paths = "".join(
        f"{kind}_temp_path {directory}/{kind};\n"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (directory / "nginx.conf").write_text(
        f"daemon off;\npid {directory}/pid;\nerror_log {directory}/errors;\n"
        "worker_processes 1;\nworker_rlimit_nofile 8192;\n"
        "events { worker_connections 4096; }\n"
        f"http {{\naccess_log {directory}/log;\n{paths}include {directory}/sioserver.conf;\n}}\n"
    )
    if os.getuid() == 0:
        text = (directory / "nginx.conf").read_text()
        (directory / "nginx.conf").write_text("user root;\n" + text)
    command = [needed("nginx"), "-e", f"{directory}/errors", "-c", f"{directory}/nginx.conf"]
    with running([*command, "-p", str(directory)], port) as url:
        yield url


@contextmanager
def haproxy(servers: Cluster, directory: Path, port: int) -> Iterator[str]:
    path = directory / "haproxy.cfg"
    path.write_text(sample("haproxy.cfg", servers, port))
    with running([needed("haproxy"), "-db", "-f", str(path)], port) as url:
        yield url


@pytest.mark.parametrize("balancer", [nginx, haproxy], ids=["nginx", "haproxy"])
async def test_the_samples(store: str, tmp_path: Path, balancer: Any) -> None:
    """Everything works, and the hop between the hosts is saved."""
    needed(balancer.__name__)
    async with cluster(store) as servers, aiohttp.ClientSession() as http:
        with balancer(servers, tmp_path, free_port()) as url:

            async def there() -> bool:
                try:
                    async with http.get(url + "/socket.io/?EIO=4&transport=polling") as answer:
                        return answer.status == 200
                except aiohttp.ClientError:
                    return False

            async with asyncio.timeout(20):
                while not await there():
                    await asyncio.sleep(0.05)
            people = await crowd(url)
            forwarded = await servers.forwarded(http)
            failures = await servers.forwarded(http, "forward_failures")
            print(f"{len(people)} clients behind {balancer.__name__}: {forwarded}")  # noqa: T201
            assert set(failures.values()) == {0}
            assert forwarded["relay"] == 0  # never to the other host
            await asyncio.gather(*(person.sio.shutdown() for person in people))
