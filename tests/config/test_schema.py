"""What every struct of the schema promises to those that go through it."""

from typing import get_args, get_origin

import msgspec
import pytest

from sioserver.config import Config, RoomRule
from sioserver.config.keys import ENDPOINT_KEYS, KEYS, RULE_KEYS, TABLE_PATHS, Key, bare
from sioserver.config.schema import Webhook
from sioserver.config.sections.settings import Section
from sioserver.config.values import accept

ALL = [*KEYS.values(), *RULE_KEYS.values(), *ENDPOINT_KEYS.values()]
named = pytest.mark.parametrize("key", ALL, ids=[key.path for key in ALL])


@named
def test_a_setting_says_what_it_means(key: Key) -> None:
    assert key.about.endswith(".")
    assert len(key.about) > 10


@named
def test_a_default_is_valid(key: Key) -> None:
    if key.path in TABLE_PATHS:
        assert key.default == []
    else:
        assert accept(key.default, key.kind) == key.default


@named
def test_a_number_has_bounds(key: Key) -> None:
    kind, metas = bare(key.kind)
    if kind in (int, float):
        assert any(meta.ge is not None or meta.gt is not None for meta in metas)
        assert any(meta.le is not None for meta in metas)


@named
def test_a_type_is_one_that_text_can_be_turned_into(key: Key) -> None:
    kind = bare(key.kind)[0]
    known = kind in (str, bool, int, float) or get_origin(kind) is list
    assert known or all(isinstance(choice, str) for choice in get_args(kind))


def test_what_is_secret() -> None:
    """redis.url for the password that may be in it."""
    secrets = {"auth.secret", "auth.old_secrets", "redis.url", "cluster.secret", "tls.password"}
    secrets |= {"redis.bus_secret", "redis.old_bus_secrets", "webhooks.secret"}
    assert {key.path for key in ALL if key.secret} == secrets
    assert {key.path for key in ALL if key.name in ("secret", "password")} < secrets


def test_every_section_has_a_description_of_its_own() -> None:
    structs = [item.type for item in msgspec.structs.fields(Config)] + [RoomRule, Webhook]
    texts = [struct.__doc__ for struct in structs]
    assert all(texts)
    assert len({Section.__doc__, *texts}) == len(texts) + 1


def test_a_configuration_is_read_only() -> None:
    config = Config()
    with pytest.raises(AttributeError):
        config.log = config.log  # type: ignore[misc]
    with pytest.raises(AttributeError):
        config.server.port = 1  # type: ignore[misc]


def test_the_defaults_are_safe() -> None:
    config = Config()
    assert config.server.host == "127.0.0.1"
    assert not config.auth.insecure_anonymous
    assert config.server.origins == []
    assert config.server.trusted_proxies == []
    assert config.limits.enabled
