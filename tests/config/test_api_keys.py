"""Entries of API keys, as they stand in the configuration."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sioserver.config.api_keys import PERMS, ApiKey, parse_api_key

HASH = "0f" * 32
NAMES = st.text("abcXYZ019_.-", min_size=1, max_size=64)


@given(NAMES, st.sets(st.sampled_from(PERMS), min_size=1), st.binary(min_size=32, max_size=32))
def test_an_entry_is_read_as_it_was_written(name: str, perms: set[str], digest: bytes) -> None:
    key = ApiKey(name, frozenset(perms), digest)
    assert parse_api_key(str(key)) == key


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ops",
        "ops:admin",
        f"ops:sha256:{HASH}",
        f"ops:admin:sha256:{HASH[:-1]}",
        f"ops:admin:sha256:{HASH}0",
        f"ops:admin:sha256:{HASH.upper()}",
        f"ops:admin:md5:{HASH}",
        f"a b:admin:sha256:{HASH}",
        f":admin:sha256:{HASH}",
        f"{'x' * 65}:admin:sha256:{HASH}",
        f"ops:admin:sha256:{HASH}\n",
        "sio_" + HASH,
    ],
)
def test_what_is_no_entry_is_not_repeated(text: str) -> None:
    with pytest.raises(ValueError, match="sioserver apikey make") as error:
        parse_api_key(text)
    assert not text or HASH not in str(error.value)


@pytest.mark.parametrize("perms", ["root", "admin+root", "admin+", "+"])
def test_what_a_key_cannot_be_for(perms: str) -> None:
    with pytest.raises(ValueError, match="a key is for admin, metrics or rooms, not for"):
        parse_api_key(f"ops:{perms}:sha256:{HASH}")
