"""API keys: only who has one is known."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sioserver.auth.api_keys import BYTES, LONGEST, MARK, ApiKeys, make
from sioserver.config.api_keys import parse_api_key

OPS, OPS_ENTRY = make("ops", ["admin"], b"o" * BYTES)
SCRAPER, SCRAPER_ENTRY = make("scraper", ["metrics"], b"s" * BYTES)
KEYS = ApiKeys([str(OPS_ENTRY), str(SCRAPER_ENTRY)])


def test_a_key_opens_what_it_is_for() -> None:
    assert KEYS.find(OPS) == OPS_ENTRY
    assert KEYS.find(SCRAPER) == SCRAPER_ENTRY
    assert (OPS_ENTRY.name, OPS_ENTRY.perms) == ("ops", {"admin"})
    assert len(KEYS) == 2


@given(st.text() | st.sampled_from([OPS[:-1], OPS + "0", OPS.upper(), str(OPS_ENTRY)]))
def test_nothing_else_does(text: str) -> None:
    assert KEYS.find(text) is None
    assert KEYS.find("x" * (LONGEST + 1)) is None
    assert ApiKeys([]).find(OPS) is None


def test_the_entry_tells_nothing_of_the_key() -> None:
    assert OPS.removeprefix(MARK) not in str(OPS_ENTRY)
    assert parse_api_key(str(OPS_ENTRY)) == OPS_ENTRY


def test_keys_differ_and_are_long() -> None:
    keys = {make("a", ["admin"], os.urandom(BYTES))[0] for _ in range(100)}
    assert len(keys) == 100
    assert {len(key) for key in keys} == {len(MARK) + 2 * BYTES}
    with pytest.raises(ValueError, match="32 random bytes"):
        make("a", ["admin"], b"short")


def test_a_bad_entry_is_said() -> None:
    with pytest.raises(ValueError, match="this is no entry"):
        ApiKeys(["ops"])
