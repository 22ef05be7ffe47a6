"""Keys in files: read once, and every fault with the name of the setting and the file."""

import re
from pathlib import Path

import pytest

from sioserver.config.schema import Auth
from sioserver.keys.files import LARGEST_FILE, UnusableKey, read_keys

from ..auth.kit import jwk, key_set, pem, private_pem


def fault(auth: Auth) -> UnusableKey:
    with pytest.raises(UnusableKey) as caught:
        read_keys(auth)
    assert str(caught.value) == f"{caught.value.key}: {caught.value.text}"
    return caught.value


def test_public_keys(tmp_path: Path) -> None:
    for kind in ("rsa", "p256", "ed448"):
        (tmp_path / kind).write_bytes(pem(kind))
    found = read_keys(Auth(public_keys=[str(tmp_path / kind) for kind in ("ed448", "p256", "rsa")]))
    assert [sorted(key.algorithms)[0] for key in found] == ["EdDSA", "ES256", "PS256"]
    assert [key.id for key in found] == [None] * 3
    assert read_keys(Auth()) == []


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "cannot be read: No such file"),
        (b"", "no public key in PEM form"),
        (pem("weak"), "2048"),
        (private_pem("p256"), "private key"),
        (b"x" * (LARGEST_FILE + 1), f"more than {LARGEST_FILE} bytes"),
    ],
)
def test_a_file_that_cannot_be_used(tmp_path: Path, content: bytes | None, says: str) -> None:
    path = tmp_path / "key.pem"
    if content is not None:
        path.write_bytes(content)
    found = fault(Auth(public_keys=[str(path)]))
    assert found.key == "auth.public_keys"
    assert found.text.startswith(str(path))
    assert says in found.text


def test_a_name_that_is_none() -> None:
    assert "cannot be read" in fault(Auth(public_keys=["a\0b"])).text


def test_a_key_that_no_algorithm_is_left_for(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    path.write_bytes(pem("p256"))
    found = fault(Auth(public_keys=[str(path)], algorithms=["RS256"]))
    assert "auth.algorithms has none of ES256" in found.text
    assert len(read_keys(Auth(public_keys=[str(path)], algorithms=["ES256", "RS256"]))) == 1


def test_a_key_set(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    path.write_bytes(key_set(jwk("rsa", kid="a"), jwk("p256", kid="b")))
    assert [key.id for key in read_keys(Auth(jwks=str(path)))] == ["a", "b"]
    # at an address it is somebody else's to fetch
    assert read_keys(Auth(jwks="https://issuer.example/keys")) == []


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "cannot be read: No such file"),
        (b"{}", '"keys"'),
        (key_set(), "no key"),
        # of our own file, all of it has to be good
        (key_set(jwk("rsa"), {"kty": "oct", "k": "AAAA"}), "key 2: .*secrets do not belong"),
    ],
)
def test_a_key_set_that_cannot_be_used(tmp_path: Path, content: bytes | None, says: str) -> None:
    path = tmp_path / "keys.json"
    if content is not None:
        path.write_bytes(content)
    found = fault(Auth(jwks=str(path)))
    assert found.key == "auth.jwks"
    assert re.search(says, found.text)
