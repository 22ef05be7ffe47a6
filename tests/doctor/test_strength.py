"""Weak secrets are told from good ones, and never told."""

from __future__ import annotations

import base64
import random

import pytest

from sioserver.doctor.strength import weakness


@pytest.mark.parametrize(
    ("secret", "words"),
    [
        ("secret" * 6, "tries first"),
        ("your-256-bit-secret-your-256-bit-secret", "tries first"),
        ("changeme-changeme-changeme-changeme", "tries first"),
        ("a secret that the nodes share, 32 bytes", "tries first"),
        ("0123456789abcdef0123456789abcdef", "tries first"),
        ("x" * 40, "tries first"),
        ("k" * 40, "repeats itself"),
        ("abc9" * 10, "repeats itself"),
        ("the quick brown fox jumps over the lazy dog", "reads like a sentence"),
        ("It was a dark and stormy night in 1830", "reads like a sentence"),
        ("mnopqrstuvwxyzMNOPQRSTUVWXYZ987654321", "bits"),
        ("ababbabbabababbababbabababbababa", "bits"),
    ],
)
def test_weak(secret: str, words: str) -> None:
    found = weakness(secret)
    assert words in found
    assert secret not in found


def test_what_comes_from_a_generator_is_good() -> None:
    """What `openssl rand` and Python's `secrets` print, in a thousand cases that are always the
    same."""
    dice = random.Random(1)
    for _ in range(1000):
        data = dice.randbytes(32)
        for secret in (
            base64.b64encode(data).decode(),
            base64.urlsafe_b64encode(data).decode().rstrip("="),
            data.hex(),
            data[:16].hex(),
            base64.b64encode(data[:24]).decode(),
        ):
            assert weakness(secret) == "", secret
