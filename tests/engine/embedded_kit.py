"""What the tests of the embedded engine have in common: a disk that fails, and a time."""

from __future__ import annotations

import pytest

from sioserver.engine.embedded import EmbeddedEngine
from sioserver.errors import Refusal

T = 1_700_000_000.0


async def pragma(engine: EmbeddedEngine, text: str) -> None:
    await engine._journal.read(lambda t: t.connection.execute(f"PRAGMA {text}").fetchall())


async def refused(call: object) -> str:
    with pytest.raises(Refusal) as error:
        await call  # type: ignore[misc]
    return error.value.code
