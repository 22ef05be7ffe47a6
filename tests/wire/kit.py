"""Whatever a client could send, and whether it was refused."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import strategies as st

from sioserver.errors import Refusal

# What a decoder of JSON may hand us: half surrogate pairs and long numbers too.
TEXTS = st.text(st.characters(), max_size=20)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS
    | st.binary(max_size=20)
)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)
KEYS = st.sampled_from(
    ["id", "before", "after", "limit", "all", "token", "user", "name", "position", "pid", "offset"]
)
OPTIONS = st.dictionaries(KEYS | TEXTS, JSON, max_size=4)
ARGS = st.lists(OPTIONS | JSON, max_size=3)


def refused(call: Any, *args: Any) -> str:
    with pytest.raises(Refusal) as caught:
        call(*args)
    return caught.value.code


def answer(call: Any, *args: Any) -> Any:
    """What comes back, or the refusal."""
    try:
        return call(*args)
    except Refusal as refusal:
        return refusal
