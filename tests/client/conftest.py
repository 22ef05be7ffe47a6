"""A server for the client's tests (kit.py)."""

from collections.abc import AsyncIterator

import pytest

from .kit import Served, serve


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    async with serve() as served:
        yield served
