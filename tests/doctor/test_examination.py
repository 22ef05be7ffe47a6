"""The whole command against real servers, with nginx and HAProxy before them: what is planted is
found, what is right is not complained of, and no secret is printed."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from sioserver.config import Config
from sioserver.config.schema import Redis, Server
from sioserver.doctor import examination, look_machine
from sioserver.doctor.examination import Request, examine
from sioserver.testing import ServerProcess
from sioserver.valkey import Valkey
from tests import redis_servers
from tests.redis_servers import acl_rules, ask, free_port

from ..programs import needed, running

ROOT = Path(__file__).resolve().parents[2]
SECRET = secrets.token_urlsafe(32)
BUS = secrets.token_urlsafe(32)
PASSWORD = "PASSWORD"

NGINX = """
{user}daemon off; pid {directory}/pid; error_log {directory}/errors; worker_processes 1;
events {{ worker_connections 512; }}
http {{
    access_log {directory}/log;
    client_body_temp_path {directory}/a; proxy_temp_path {directory}/b;
    fastcgi_temp_path {directory}/c; uwsgi_temp_path {directory}/d; scgi_temp_path {directory}/e;
    map $http_upgrade $kind {{ default upgrade; "" ""; }}
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://127.0.0.1:{server};
            proxy_http_version 1.1;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection $kind;
            proxy_set_header Host $http_host;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-Forwarded-Proto $scheme;
            proxy_set_header X-Forwarded-Host $http_host;
            proxy_buffering off;
            proxy_read_timeout 90s;
            proxy_send_timeout 90s;
            proxy_next_upstream off;
        }}
    }}
}}
"""

HAPROXY = """
defaults
    mode http
    timeout connect 3s
    timeout client 90s
    timeout server 90s
    timeout tunnel 90s
    option forwardfor
frontend public
    bind 127.0.0.1:{port}
    http-request set-header X-Forwarded-Proto http
    http-request set-header X-Forwarded-Host %[req.hdr(host)]
    default_backend servers
backend servers
    server one 127.0.0.1:{server}
"""


async def doctor(*arguments: str, settings: dict[str, Any]) -> tuple[int, list[dict[str, str]]]:
    """Run the command: its exit code and what it found."""
    sets = [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
    clean = {name: os.environ[name] for name in os.environ if not name.startswith("SIOSERVER_")}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "sioserver", "doctor", "--json", "--timeout", "20"),
        *(*arguments, *sets),
        cwd=ROOT,
        env=clean,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(120):
        out, errors = await process.communicate()
    assert errors == b"", errors.decode()
    for secret in (SECRET, BUS, PASSWORD):
        assert secret.encode() not in out
    assert process.returncode is not None
    return process.returncode, json.loads(out)


def bad(found: list[dict[str, str]]) -> dict[str, str]:
    """What was complained of, by check; not this machine's own limits."""
    return {
        one["check"]: f"{one['level']}: {one['text']}"
        for one in found
        if one["level"] in ("warn", "fail") and not one["check"].startswith(("machine.", "store."))
    }


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[Valkey]:
    """As docs/operations.md wants it: it keeps what it has, and knows one user."""
    with redis_servers.standalone(tmp_path / "v", fsync="everysec") as server:
        name, rules = acl_rules("chat", "sioserver")
        ask(server, "ACL", "SETUSER", name, *rules)
        yield server


def close(valkey: Valkey) -> None:
    """Let nobody in without a password, the tests included."""
    ask(valkey, "CONFIG", "SET", "requirepass", PASSWORD)


def settings_for(valkey: Valkey, **more: Any) -> dict[str, Any]:
    return {
        "redis.url": valkey.tcp_url.replace("://", f"://chat:{PASSWORD}@"),
        "redis.bus_secret": BUS,
        "cluster.address": f"127.0.0.1:{free_port()}",
        "cluster.secret": SECRET,
        "server.trusted_proxies": '["127.0.0.1"]',
        "limits.connections": 100,
        **more,
    }


@contextmanager
def proxy(kind: str, directory: Path, server: int, *changes: tuple[str, str]) -> Iterator[Any]:
    """The program before the server: (its URL, the option that names its file)."""
    port = free_port()
    text = (NGINX if kind == "nginx" else HAPROXY).format(
        directory=directory,
        port=port,
        server=server,
        **({"user": "user root; " if os.getuid() == 0 else ""} if kind == "nginx" else {}),
    )
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    path = directory / f"{kind}.conf"
    path.write_text(text)
    command = {
        "nginx": ["-e", f"{directory}/errors", "-c", str(path), "-p", str(directory)],
        "haproxy": ["-db", "-f", str(path)],
    }[kind]
    with running([needed(kind), *command], port) as url:
        redis_servers.wait_for(lambda: _listens(port), f"{kind} listens")
        yield url, (f"--{kind}", str(path))


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.parametrize("kind", ["nginx", "haproxy"])
async def test_what_is_right_is_not_complained_of(
    valkey: Valkey, tmp_path: Path, kind: str
) -> None:
    close(valkey)
    settings = settings_for(valkey)
    async with ServerProcess(settings=settings) as server:
        with proxy(kind, tmp_path, server.port) as (url, file):
            code, found = await doctor("--url", url, *file, settings=settings)
        assert bad(found) == {}
        assert code == 0
        assert not any("<hidden>" in line for line in map(str, found))
        checks = {one["check"] for one in found if one["level"] == "ok"}
        peer = next(check for check in checks if check.startswith("cluster.peer."))
        assert {
            *("url.polling", "url.sessions", "url.websocket", "url.origin", "url.buffering"),
            *("redis.access", "redis.persistence", "redis.version", "redis.clock", peer),
        } <= checks


async def test_faults_of_a_proxy_are_found(valkey: Valkey, tmp_path: Path) -> None:
    settings = settings_for(valkey)
    async with ServerProcess(settings=settings) as server:
        changes = (
            ("proxy_set_header Upgrade $http_upgrade;", ""),
            ("$http_host;", "elsewhere.example;"),
            ("proxy_read_timeout 90s", "proxy_read_timeout 20s"),
        )
        with proxy("nginx", tmp_path, server.port, *changes) as (url, file):
            code, found = await doctor("--url", url, *file, settings=settings)
    complaints = bad(found)
    assert code == 1
    assert complaints["url.websocket"].startswith("fail: no WebSocket as such")
    assert complaints["url.origin"].startswith("fail: pages of")
    (location,) = (check for check in complaints if check.startswith("nginx "))
    texts = [one["text"] for one in found if one["check"] == location and one["level"] == "fail"]
    assert any("proxy_read_timeout is 20 s" in text for text in texts)
    assert any("does not pass the upgrade" in text for text in texts)


async def test_faults_of_the_cluster_are_found(valkey: Valkey) -> None:
    """Another secret than the node's, a Redis that keeps nothing and throws things away, and a
    short time-out of an unknown proxy."""
    ask(valkey, "CONFIG", "SET", "appendonly", "no")
    ask(valkey, "CONFIG", "SET", "maxmemory-policy", "allkeys-lru", "maxmemory", "1gb")
    close(valkey)
    settings = settings_for(valkey)
    async with ServerProcess(settings=settings) as server:
        weak = "the quick brown fox jumps over the lazy dog"
        changed = {**settings, "cluster.secret": secrets.token_urlsafe(32), "auth.secret": weak}
        options = ("--url", server.url, "--proxy-timeout", "30", "--pid", str(server.pid))
        code, found = await doctor(*options, settings=changed)
    complaints = bad(found)
    assert code == 1
    (peer,) = (check for check in complaints if check.startswith("cluster.peer."))
    assert "does not believe us" in complaints[peer]
    assert complaints["redis.persistence"].startswith("fail: it writes no append-only file")
    assert complaints["redis.memory"].startswith("fail: maxmemory-policy is allkeys-lru")
    assert complaints["proxy.timeout"].startswith("warn: the proxy's time-out is 30 s")
    assert complaints["auth.secret"].startswith("fail: the secret can be guessed")
    assert set(complaints) == {
        *(peer, "redis.persistence", "redis.memory", "proxy.timeout", "auth.secret"),
    }


async def test_without_a_server_it_says_what_was_left_out(tmp_path: Path) -> None:
    settings = {"server.port": free_port(), "store.path": tmp_path / "s.db"}
    code, found = await doctor(settings=settings)
    assert bad(found) == {}
    assert code == 0
    left_out = {one["check"]: one["text"] for one in found if one["level"] == "skip"}
    assert "nothing answers" in left_out["url"]
    assert "no proxy" in left_out["proxy.timeout"]


async def test_everything_has_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Redis and an address that take connections and say nothing, and a disk that hangs."""
    silent = socket.create_server(("127.0.0.1", 0))  # nobody accepts
    port = silent.getsockname()[1]

    async def stuck(function: Any, *arguments: Any, **named: Any) -> Any:
        assert function is look_machine.look
        await asyncio.Event().wait()

    monkeypatch.setattr(examination.asyncio, "to_thread", stuck)
    config = Config(
        server=Server(port=port), redis=Redis(url=f"redis://127.0.0.1:{port}", timeout=0.2)
    )
    began = time.monotonic()
    found = await examine(config, Request(url=f"http://127.0.0.1:{port}", timeout=0.2))
    assert time.monotonic() - began < 20
    failed = {one.check for one in found if one.level == "fail"}
    assert failed == {"machine", "redis.url", "cluster.peers", "url"}
    silent.close()


def test_findings_come_in_one_order() -> None:
    """Settings first, then the machine: the same at each run, so that two runs can be compared."""
    config = Config(server=Server(port=free_port()))

    async def checks() -> list[str]:
        return [one.check for one in await examine(config, Request(timeout=2))]

    first, second = asyncio.run(checks()), asyncio.run(checks())
    assert first == second
    assert first.index("server.host") < first.index("machine.files") < first.index("url")
