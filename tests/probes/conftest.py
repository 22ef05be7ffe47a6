"""The stores that a house may have, so that each probe is tried on all of them."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from secrets import token_hex
from typing import Any

import pytest

from sioserver.valkey import Valkey

from ..redis_servers import standalone

Section = dict[str, dict[str, Any]]
"""A part of the configuration."""


@pytest.fixture(scope="module")
def valkey() -> Iterator[Valkey]:
    """One server for all houses of a module; each has a prefix of its own."""
    directory = Path(tempfile.mkdtemp(prefix="sioserver-"))  # short: a socket's path is
    try:
        with standalone(directory) as server:
            yield server
    finally:
        shutil.rmtree(directory)


@pytest.fixture(params=["embedded", "redis"])
def store(request: pytest.FixtureRequest) -> Section:
    """For `configured`: where the house keeps what it is told."""
    if request.param == "embedded":
        return {}
    server: Valkey = request.getfixturevalue("valkey")
    return {"redis": {"url": server.url, "prefix": f"t{token_hex(4)}"}}
