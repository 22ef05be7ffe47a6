"""What a real server answers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sioserver.config import Config
from sioserver.doctor import look_redis
from sioserver.engine.redis_access import NotReady
from sioserver.valkey import Valkey
from tests import redis_servers
from tests.redis_servers import acl_rules, ask

from ..engine.redis_node import nodes


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[Valkey]:
    with redis_servers.standalone(tmp_path / "v", fsync="everysec") as server:
        yield server


def config(url: str, **redis: str) -> Config:
    return Config(redis=redis_servers.settings(url, **redis))


async def test_one_without_a_password(valkey: Valkey) -> None:
    found = await look_redis.look(config(valkey.tcp_url))
    assert found.where == f"127.0.0.1:{valkey.port}"
    assert (found.host, found.encrypted, found.password, found.open) == (
        *("127.0.0.1", False),
        *(False, True),
    )
    assert abs(found.skew) < 1
    assert found.info is not None
    assert found.info["aof_enabled"] == "1"
    assert found.appendfsync == "everysec"
    assert len(found.version) == 3


async def test_by_its_socket(valkey: Valkey) -> None:
    found = await look_redis.look(config(valkey.url))
    assert (found.host, found.open) == ("", True)


async def test_one_with_a_password(valkey: Valkey) -> None:
    ask(valkey, "CONFIG", "SET", "requirepass", "swordfish")
    url = valkey.tcp_url.replace("://", "://:swordfish@")
    found = await look_redis.look(config(url))
    assert (found.password, found.open) == (True, False)
    assert "swordfish" not in repr(found)
    with pytest.raises(NotReady, match="does not let us in"):
        await look_redis.look(config(valkey.tcp_url))


async def test_with_the_least_rights(valkey: Valkey) -> None:
    name, rules = acl_rules("chat", "sioserver")
    ask(valkey, "ACL", "SETUSER", name, *rules)
    url = valkey.tcp_url.replace("://", f"://{name}:PASSWORD@")
    found = await look_redis.look(config(url, prefix="sioserver"))
    assert found.info is not None
    assert found.appendfsync == ""  # CONFIG is forbidden
    ask(valkey, "ACL", "SETUSER", name, "-info")
    assert (await look_redis.look(config(url, prefix="sioserver"))).info is None
    assert await look_redis.peers(config(url, prefix="sioserver")) == []


async def test_the_master_of_sentinels(tmp_path: Path) -> None:
    with redis_servers.Watched(tmp_path) as watched:
        settings = redis_servers.settings(watched)
        found = await look_redis.look(Config(redis=settings))
        assert found.where == f"127.0.0.1:{watched.master.port}"
        assert (found.sentinels, found.info is not None) == (1, True)
        assert found.info is not None
        assert found.info["connected_slaves"] == "1"


async def test_the_nodes_that_are_alive(valkey: Valkey) -> None:
    settings = redis_servers.settings(valkey.tcp_url)
    async with nodes(settings, count=2) as alive:
        found = await look_redis.peers(Config(redis=settings))
        assert [peer.id for peer in found] == sorted(node.peer.id for node in alive)
        # to look at them makes nobody a node
        assert len(await look_redis.peers(Config(redis=settings))) == 2
    assert await look_redis.peers(Config(redis=settings)) == []
