"""What one answer may carry is said once, by who builds the table."""

from __future__ import annotations

import pytest

from sioserver.requests import Pages


def test_the_bounds_of_a_page_stay_as_they_are() -> None:
    pages = Pages(messages=1, binaries=2, bytes=3)
    with pytest.raises(AttributeError):
        pages.messages = 4  # type: ignore[misc]
