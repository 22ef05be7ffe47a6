"""The structs of a module of shapes."""

from __future__ import annotations

import inspect
from types import ModuleType

from sioserver.protocol.shapes import Options, Shape


def kinds_of(module: ModuleType) -> list[type[Shape]]:
    """Those that it defines itself."""
    return [
        kind
        for _, kind in inspect.getmembers(module, inspect.isclass)
        if issubclass(kind, Shape)
        and kind not in (Shape, Options)
        and kind.__module__ == module.__name__
    ]


def is_explained(kind: type[Shape]) -> bool:
    """Does it say what it is, in a sentence?"""
    return (kind.__doc__ or "").endswith(".")


def refuses_unknown_fields(kind: type[Shape]) -> bool:
    """Is a field that it does not know an error?"""
    return kind.__struct_config__.forbid_unknown_fields
