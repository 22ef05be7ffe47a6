"""Real servers for tests: one alone, a cluster, a master with replica and Sentinel, TLS before one.

All on loopback, on ports that no other test process takes. Servers are `sioserver.valkey.Valkey`;
they start and end synchronously, so that a fixture of any scope can hold them.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import random
import re
import secrets
import socket
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, Self

import redis
import trustme

from sioserver.config.schema import Redis as Settings
from sioserver.valkey import Valkey

Fsync = Literal["always", "everysec"] | None

# Below the ports that the kernel hands out to outgoing connections, also 10 000 higher, where the
# nodes of a cluster talk to each other.
PORTS: Final = range(12_000, 22_000)
SLOTS: Final = 16_384
SLOW: Final = 30.0
"""Seconds in which everything has happened that a test waits for, however loaded the machine."""

_reserved: list[int] = []  # open files whose locks say that the ports are ours


def free_port() -> int:
    """A port that is free, and stays ours as long as this process lives: servers can be killed and
    started again on it."""
    directory = Path(tempfile.gettempdir()) / f"sioserver-test-ports-{os.getuid()}"
    directory.mkdir(mode=0o700, exist_ok=True)
    for port in random.sample(PORTS, 200):
        lock = os.open(directory / str(port), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for number in (port, port + 10_000):
                with socket.socket() as probe:
                    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    probe.bind(("127.0.0.1", number))
        except OSError:
            os.close(lock)
        else:
            _reserved.append(lock)
            return port
    raise AssertionError("no port is free")


def wait_for(condition: Callable[[], Any], what: str, within: float = SLOW) -> None:
    """Look every few milliseconds until the condition holds."""
    until = time.monotonic() + within
    while not condition():
        assert time.monotonic() < until, f"it never came to this: {what}"
        time.sleep(0.01)


def standalone(directory: Path, *, fsync: Fsync = None, arguments: Sequence[str] = ()) -> Valkey:
    """A server, not started yet, with a unix socket (`url`) and a TCP port (`tcp_url`)."""
    return Valkey(
        directory,
        socket=directory / "valkey.sock",
        port=free_port(),
        fsync=fsync,
        arguments=arguments,
    )


def settings(server: Valkey | Cluster | Watched | str, **more: Any) -> Settings:
    """`Config.redis` for a server (or an URL), with a prefix of its own unless one is given."""
    options: dict[str, Any] = {"prefix": f"t{secrets.token_hex(4)}"}
    if isinstance(server, Watched):
        options |= {"sentinels": server.sentinels, "service": server.service}
    options["url"] = server if isinstance(server, str) else server.url
    return Settings(**options | more)


def ask(server: Valkey, *command: str | bytes | int, timeout: float = 5.0) -> Any:
    """One command to exactly this server, from outside of what is tested. Error replies raise."""
    with admin(server, timeout) as client:
        return client.execute_command(*command)


def acl_rules(user: str, prefix: str) -> tuple[str, list[str]]:
    """The user's name and the rules that docs/operations.md has for it, with another prefix."""
    text = (Path(__file__).parent.parent / "docs" / "operations.md").read_text()
    found = re.search(rf"^    ACL SETUSER ({user}) (.+(?:\n      .+)*)", text, re.M)
    assert found is not None, f"no ACL for {user}"
    rules = found[2].split()
    if prefix != "sioserver":
        others = {"&socketio": f"&{prefix}", "&socket.io#*": f"&{prefix}#*"}
        others["&socket.io-request#*"] = f"&{prefix}-request#*"
        rules = [others.get(rule, rule.replace("sioserver", prefix)) for rule in rules]
    return found[1], rules


def admin(server: Valkey, timeout: float = 5.0) -> redis.Redis:
    """A plain client for exactly this server: RESP2, no decoding."""
    where = server.tcp_url if server.port else server.url
    return redis.Redis.from_url(where, protocol=2, socket_timeout=timeout)


def _linked(name: str, address: str, flags: str, *rest: str) -> bool:
    """Does a line of CLUSTER NODES tell of a node that has been met and can be sent to?"""
    return rest[4] == "connected" and not {"handshake", "noaddr"} & set(flags.split(","))


class Cluster:
    """Three masters that share the slots evenly (the first has the lowest). `url` names the first.

    Kill, pause and start the `nodes` as you like. The other slots work while one node is away.
    """

    def __init__(self, directory: Path, *, fsync: Fsync = None) -> None:
        options = {
            "--cluster-enabled": "yes",
            "--cluster-node-timeout": "2000",
            "--cluster-require-full-coverage": "no",
        }
        self.nodes = [
            Valkey(
                directory / f"node{number}",
                port=free_port(),
                fsync=fsync,
                arguments=[part for option in options.items() for part in option],
            )
            for number in range(3)
        ]

    @property
    def url(self) -> str:
        return self.nodes[0].tcp_url.removesuffix("/0")

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self) -> None:
        try:
            for node in self.nodes:
                node.start()
            self._form()
        except BaseException:
            self.kill()
            raise

    def kill(self) -> None:
        for node in self.nodes:
            node.kill()

    def _form(self) -> None:
        bounds = [SLOTS * number // 3 for number in range(4)]
        for number, node in enumerate(self.nodes):
            if not ask(node, "CLUSTER", "SLOTS"):  # or it was started before
                ask(node, "CLUSTER", "SET-CONFIG-EPOCH", number + 1)
                ask(node, "CLUSTER", "ADDSLOTSRANGE", bounds[number], bounds[number + 1] - 1)
            ask(self.nodes[0], "CLUSTER", "MEET", node.host, node.port)
        wait_for(self.agreed, "all nodes know of all slots")

    def agreed(self) -> bool:
        """Every node is up, says that every slot is served, and is connected to all others: what is
        published before that does not reach them."""
        for node in self.nodes:
            info = ask(node, "CLUSTER", "INFO").decode()
            if "cluster_state:ok" not in info or "cluster_slots_ok:16384" not in info:
                return False
            known = [
                line.split(" ") for line in ask(node, "CLUSTER", "NODES").decode().splitlines()
            ]
            if len(known) != 3 or not all(_linked(*other) for other in known):
                return False
        return True

    def slot(self, key: str) -> int:
        return int(ask(self.nodes[0], "CLUSTER", "KEYSLOT", key))

    def owner(self, slot: int) -> Valkey:
        """Who serves a slot now."""
        for first, last, (_, port, *_), *_ in ask(self.nodes[0], "CLUSTER", "SLOTS"):
            if first <= slot <= last:
                return next(node for node in self.nodes if node.port == port)
        raise AssertionError(f"nobody serves slot {slot}")

    def begin_move(self, slot: int, target: Valkey) -> None:
        """From now on the owner answers ASK for keys that it does not have."""
        source = self.owner(slot)
        ask(target, "CLUSTER", "SETSLOT", slot, "IMPORTING", self._id(source))
        ask(source, "CLUSTER", "SETSLOT", slot, "MIGRATING", self._id(target))

    def move_keys(self, slot: int, target: Valkey) -> None:
        """Between `begin_move` and `finish_move`."""
        source = self.owner(slot)
        while keys := ask(source, "CLUSTER", "GETKEYSINSLOT", slot, 100):
            ask(source, "MIGRATE", target.host, target.port, "", 0, 5000, "KEYS", *keys)

    def finish_move(self, slot: int, target: Valkey) -> None:
        """From now on everybody but `target` answers MOVED."""
        for node in (target, *(node for node in self.nodes if node is not target)):
            ask(node, "CLUSTER", "SETSLOT", slot, "NODE", self._id(target))

    def move(self, slot: int, target: Valkey) -> None:
        """Give a slot with its keys to another node."""
        self.begin_move(slot, target)
        self.move_keys(slot, target)
        self.finish_move(slot, target)

    def _id(self, node: Valkey) -> str:
        return str(ask(node, "CLUSTER", "MYID").decode())


class Watched:
    """A master, its replica, and one Sentinel that makes the replica the master half a second after
    the master is gone."""

    service: Final = "mymaster"

    def __init__(self, directory: Path, *, fsync: Fsync = None) -> None:
        quick = ("--repl-diskless-sync-delay", "0", "--shutdown-timeout", "0")
        self.first = Valkey(directory / "first", port=free_port(), fsync=fsync, arguments=[*quick])
        self.second = Valkey(
            directory / "second",
            port=free_port(),
            fsync=fsync,
            arguments=[*quick, "--replicaof", f"127.0.0.1 {self.first.port}"],
        )
        self._sentinel_file = directory / "sentinel" / "sentinel.conf"
        self.sentinel = Valkey(
            directory / "sentinel",
            port=free_port(),
            config_file=self._sentinel_file,
            arguments=["--sentinel"],
        )

    @property
    def url(self) -> str:
        """Says that there is no user, password or TLS."""
        return "redis://"

    @property
    def sentinels(self) -> list[str]:
        return [f"{self.sentinel.host}:{self.sentinel.port}"]

    @property
    def master(self) -> Valkey:
        """Who is the master, as the Sentinel says."""
        _, port = ask(self.sentinel, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", self.service)
        return next(node for node in (self.first, self.second) if node.port == int(port))

    @property
    def replica(self) -> Valkey:
        return self.second if self.master is self.first else self.first

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self) -> None:
        try:
            self.first.start()
            self.second.start()
            self._sentinel_file.parent.mkdir(parents=True, exist_ok=True)
            self._sentinel_file.write_text(
                f"sentinel monitor {self.service} 127.0.0.1 {self.first.port} 1\n"
                f"sentinel down-after-milliseconds {self.service} 500\n"
                f"sentinel failover-timeout {self.service} 4000\n"
            )
            self.sentinel.start()
            wait_for(self._complete, "the Sentinel knows master and replica")
        except BaseException:
            self.kill()
            raise

    def kill(self) -> None:
        for node in (self.sentinel, self.second, self.first):
            node.kill()

    def _complete(self) -> bool:
        found = ask(self.sentinel, "SENTINEL", "REPLICAS", self.service)
        states = [dict(zip(fields[::2], fields[1::2], strict=True)) for fields in found]
        return any(state[b"master-link-status"] == b"ok" for state in states)

    def fail_over(self) -> Valkey:
        """Kill the master -9 and wait for the new one; the dead one is returned."""
        dead = self.master
        dead.kill()
        wait_for(lambda: self.master is not dead, "the replica is the master")
        return dead


@dataclass
class TlsProxy:
    """TLS on `port` before a plain server."""

    port: int
    ca_file: Path
    connections: int = 0

    @property
    def url(self) -> str:
        """With the authority that vouches for it."""
        return f"rediss://localhost:{self.port}/0?ssl_ca_certs={self.ca_file}"


@asynccontextmanager
async def tls_proxy(
    server: Valkey, directory: Path, *, client_certificates: bool = False
) -> AsyncIterator[TlsProxy]:
    """Speak TLS for a server. `directory` gets ca.pem, and client.pem and client.key, which a
    client must show if `client_certificates`."""
    import ssl

    directory.mkdir(parents=True, exist_ok=True)
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(directory / "ca.pem"))
    client = authority.issue_cert("client@example.org")
    client.private_key_pem.write_to_path(str(directory / "client.key"))
    client.cert_chain_pems[0].write_to_path(str(directory / "client.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    if client_certificates:
        context.verify_mode = ssl.CERT_REQUIRED
        authority.configure_trust(context)
    writers: set[asyncio.StreamWriter] = set()

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
        except OSError:
            pass  # the other side is gone, and so is this one
        finally:
            writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        proxy.connections += 1
        there, back = await asyncio.open_connection(server.host, server.port)
        writers.update((writer, back))
        try:
            await asyncio.gather(pump(reader, back), pump(there, writer))
        finally:
            writers.difference_update((writer, back))

    listener = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    proxy = TlsProxy(listener.sockets[0].getsockname()[1], directory / "ca.pem")
    try:
        yield proxy
    finally:
        listener.close()
        for writer in list(writers):
            writer.close()
