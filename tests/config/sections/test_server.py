"""How the server is reached and how it runs."""

from typing import Any

import msgspec
import pytest

from sioserver.config.sections.server import Deflate, Log, Server, Tls, Transport


def test_by_default_it_is_reached_from_this_machine_only() -> None:
    assert (Server().host, Server().origins, Server().trusted_proxies) == ("127.0.0.1", [], [])
    assert not Tls().cert


@pytest.mark.parametrize(
    ("section", "setting"),
    [
        (Server, {"port": 65536}),
        (Server, {"workers": 0}),
        (Server, {"metrics": "closed"}),
        (Tls, {"min_version": "1.1"}),
        (Transport, {"transports": ["webtransport"]}),
        (Transport, {"loop": "trio"}),
        (Deflate, {"level": 0}),
        (Deflate, {"server_max_window_bits": 8}),  # zlib makes 9 of it, and its streams need that
        (Log, {"format": "xml"}),
    ],
)
def test_what_it_cannot_be_set_to(section: type[Any], setting: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(setting, section)


def test_lists_of_defaults_are_not_shared() -> None:
    assert Transport().transports is not Transport().transports
