"""Keys in files, read once when the server starts.

It must not know what a key looks like: texts are handed to `sioserver.auth`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

from sioserver.auth.keys import Key, read_pem, read_set
from sioserver.config.schema import Auth

Parsed = TypeVar("Parsed")

LARGEST_FILE: Final = 262_144
"""Bytes of a file with keys."""


class UnusableKey(Exception):
    """A file with keys cannot be used; `key` is the setting that names it."""

    def __init__(self, key: str, text: str) -> None:
        super().__init__(f"{key}: {text}")
        self.key = key
        self.text = text


def read_keys(auth: Auth) -> list[Key]:
    """The keys in all files that `auth` names. Raises UnusableKey."""
    keys = []
    for path in auth.public_keys:
        key = _read("auth.public_keys", path, read_pem)
        if auth.algorithms and not key.algorithms & set(auth.algorithms):
            raise UnusableKey(
                "auth.public_keys",
                f"{path}: auth.algorithms has none of {', '.join(sorted(key.algorithms))}, which "
                "are what this key is for",
            )
        keys.append(key)
    if auth.jwks and not auth.jwks_is_url:
        found = _read("auth.jwks", auth.jwks, read_set)
        if found.left_out:
            raise UnusableKey("auth.jwks", f"{auth.jwks}: {found.left_out[0]}")
        keys += found.keys
    return keys


def _read(setting: str, path: str, parse: Callable[[bytes], Parsed]) -> Parsed:
    try:
        with open(path, "rb") as file:
            data = file.read(LARGEST_FILE + 1)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = getattr(error, "strerror", None) or str(error)
        raise UnusableKey(setting, f"{path} cannot be read: {reason}") from None
    if len(data) > LARGEST_FILE:
        raise UnusableKey(setting, f"{path} has more than {LARGEST_FILE} bytes")
    try:
        return parse(data)
    except ValueError as error:
        raise UnusableKey(setting, f"{path}: {error}") from None
