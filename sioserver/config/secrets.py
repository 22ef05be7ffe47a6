"""What a secret text has to be before anything is signed with it.

Texts in, faults out, and no text is ever repeated. Knows no setting by name; how easily a secret is
guessed beyond the obvious is the doctor's to say.
"""

from __future__ import annotations

import re
from typing import Final

LEAST_BYTES: Final = 32
"""Of any secret; those of HS384 and HS512 have more."""
ALGORITHMS: Final = {"HS256": 32, "HS384": 48, "HS512": 64}
"""Algorithms that sign tokens with a secret, and the least bytes that it has: as many as the hash
(RFC 7518, section 3.2)."""
SIGNS: Final = 8
"""Different bytes that a secret has at least. Of 32 random ones, 8 are never all."""
HOW_TO_MAKE_ONE: Final = "openssl rand -base64 48"
_KEY_TEXT: Final = re.compile(r"\s*(-----BEGIN |ssh-|ecdsa-sha2-|[\[{].*\"kty\")", re.S)
# What examples and templates of configurations say, and people forget to replace.
_PLACEHOLDER: Final = re.compile(
    r"(?i)change[-_ ]?(me|this|it)|replace[-_ ]?(me|this|it|with)|placeholder|example"
    r"|your[-_ ]?([a-z0-9]+[-_ ]?){0,3}(secret|key)|secret[-_ ]?secret|pass[-_ ]?word"
    r"|a-string-secret-at-least|insert[-_ ]|^<.*>$"
)


def algorithms_for(secret: str) -> list[str]:
    """The algorithms that the secret is long enough for."""
    size = len(secret.encode())
    return [name for name, least in ALGORITHMS.items() if size >= least]


def secret_fault(secret: str) -> str:
    """Why this is no secret to sign with, and how to make one; it is not repeated."""
    data = secret.encode()
    if len(data) < LEAST_BYTES:
        fault = f"the secret has {len(data)} bytes, at least {LEAST_BYTES} are needed"
    elif _KEY_TEXT.match(secret):
        return (
            "this is a key or certificate, which others may know, and no secret text; public keys "
            "belong into files that auth.public_keys names"
        )
    elif len(set(data)) < SIGNS:
        fault = f"the secret has only {len(set(data))} different signs: it can be guessed"
    elif _PLACEHOLDER.search(secret):
        fault = "the secret is an example that everybody knows"
    else:
        return ""
    return f"{fault}; make one with: {HOW_TO_MAKE_ONE}"
