"""A server for the client's tests (kit.py), and what the library leaves behind."""

import gc
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from .kit import Served, serve

HERE = Path(__file__).resolve().parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """python-engineio does not read the answer to a poll that the server refuses, as it does when
    the connection was cut; if it has not all come by then, aiohttp warns of the connection,
    whenever the garbage is collected."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(
                pytest.mark.filterwarnings("ignore:Unclosed connection:ResourceWarning")
            )


@pytest.fixture(autouse=True)
def _collected() -> Iterator[None]:
    """No test leaves its garbage to the next."""
    yield
    gc.collect()


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    async with serve() as served:
        yield served
