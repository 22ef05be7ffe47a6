"""Who a client is, and who may use the HTTP API."""

from typing import Any, get_args

import msgspec
import pytest
from jwt.algorithms import get_default_algorithms

from sioserver.config.sections.access import KEY_SOURCES, Algorithm, Api, Auth


@pytest.mark.parametrize(
    ("settings", "takes_tokens"),
    [
        ({}, False),
        ({"secret": "s"}, True),
        ({"old_secrets": ["s"]}, True),
        ({"public_keys": ["key.pem"]}, True),
        ({"jwks": "keys.json"}, True),
        ({"audience": "chat", "algorithms": ["HS256"]}, False),
    ],
)
def test_whether_there_is_anything_to_verify_tokens_with(
    settings: dict[str, Any], takes_tokens: bool
) -> None:
    assert msgspec.convert(settings, Auth).takes_tokens is takes_tokens


def test_where_the_key_set_is() -> None:
    assert Auth(jwks="https://issuer.example/keys").jwks_is_url
    assert not Auth(jwks="/etc/keys.json").jwks_is_url
    assert not Auth().jwks_is_url


def test_the_sources_of_keys_are_settings() -> None:
    for name in KEY_SOURCES.replace(" or ", ", ").split(", "):
        section, _, setting = name.partition(".")
        assert section == "auth"
        assert setting in Auth.__struct_fields__


def test_only_algorithms_that_the_library_knows_and_none_that_proves_nothing() -> None:
    assert set(get_args(Algorithm)) <= set(get_default_algorithms()) - {"none"}


def test_nobody_is_let_in_by_default() -> None:
    auth = Auth()
    assert not any((auth.anonymous, auth.insecure_anonymous, auth.allow_query_token))
    assert Api().keys == []
