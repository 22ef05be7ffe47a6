"""The close frames of the endings."""

from __future__ import annotations

import pytest

from sioserver.connections.farewell import close_frame
from sioserver.errors import DISCONNECTS


@pytest.mark.parametrize("code", DISCONNECTS)
def test_each_ending_has_a_frame_that_may_be_sent(code: str) -> None:
    number, reason = close_frame(code)
    assert number in (1000, 1001) or 3000 <= number <= 4999
    assert len(reason) <= 123


def test_the_numbers_are_those_of_the_table() -> None:
    assert close_frame("kicked") == (3501, b"removed from the room")
    assert close_frame("left") == (1000, b"")
    assert close_frame("shutdown")[0] == 1001
    assert close_frame("a reason of somebody else's") == (1000, b"")
