"""What the scenarios share."""

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest

from sioserver.valkey import Valkey

from ..redis_servers import free_port


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """python-socketio forgets the answer to a poll when its server is killed in the middle of it;
    aiohttp then warns of the connection, whenever the garbage is collected."""
    for item in items:
        if "scenarios" in item.path.parts:
            item.add_marker(
                pytest.mark.filterwarnings("ignore:Unclosed connection:ResourceWarning")
            )


@pytest.fixture(autouse=True)
def _collected() -> Iterator[None]:
    """No test leaves its garbage to the next."""
    yield
    gc.collect()


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[Valkey]:
    """A server that forgets nothing that it has confirmed."""
    with Valkey(tmp_path / "valkey", port=free_port(), fsync="always") as valkey:
        yield valkey
