"""As in the transport's tests: whatever starts a server is tested with each reader."""

from ..transport.conftest import (
    _codec,
    echo,
    engine,
    logged,
    pytest_generate_tests,
    reader,
    sio,
    suite,
)

__all__ = [
    "_codec",
    "echo",
    "engine",
    "logged",
    "pytest_generate_tests",
    "reader",
    "sio",
    "suite",
]
