"""Where it is kept what nodes share, and how they reach each other."""

from typing import Any

import msgspec
import pytest

from sioserver.config.sections.storage import Cluster, Redis, Store


def test_the_default_is_a_file_that_survives_a_power_cut() -> None:
    assert (Store().durability, Store().path) == ("full", "")
    assert (Redis().url, Cluster().address) == ("", "")


@pytest.mark.parametrize(
    ("section", "setting"),
    [
        (Store, {"durability": "none"}),
        (Store, {"queue": 0}),
        (Store, {"dedup_window": 0}),
        (Redis, {"timeout": 0.05}),
        (Redis, {"queue": 0}),
        (Cluster, {"port": 7000}),  # it is part of the address
    ],
)
def test_what_it_cannot_be_set_to(section: type[Any], setting: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(setting, section)
