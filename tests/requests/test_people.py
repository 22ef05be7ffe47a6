"""What a room passes on."""

from __future__ import annotations

import pytest

from sioserver.errors import Refusal

from .kit import Desk


@pytest.fixture
def desk() -> Desk:
    return Desk()


async def test_what_is_relayed_has_a_size_too(desk: Desk) -> None:
    with pytest.raises(Refusal) as refused:
        await desk.ask("move", "x" * 60, "y" * 60)
    assert refused.value.code == "too_large"
