"""What settings are made of: kinds of values with their bounds, a meaning, tables that hold them.

Times are seconds, sizes are bytes. Knows no setting.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

# The upper bounds are far from anything useful; they keep timers and 64-bit columns out of trouble.
Seconds = Annotated[float, Meta(ge=0, le=315_360_000)]
Positive = Annotated[float, Meta(gt=0, le=315_360_000)]
Rate = Annotated[float, Meta(gt=0, le=1_000_000_000)]
RateOrZero = Annotated[float, Meta(ge=0, le=1_000_000_000)]
Count = Annotated[int, Meta(ge=0, le=2_147_483_647)]
AtLeastOne = Annotated[int, Meta(ge=1, le=2_147_483_647)]
Port = Annotated[int, Meta(ge=0, le=65535)]


class Section(Struct, forbid_unknown_fields=True, frozen=True):
    """A table of the configuration file."""


def about(text: str, *, secret: bool = False) -> Meta:
    """A setting's meaning, for the example file and the docs; a secret is never printed."""
    return Meta(description=text, extra={"secret": secret})
