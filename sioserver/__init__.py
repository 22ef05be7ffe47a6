"""sioserver: rooms over Socket.IO."""

from typing import TYPE_CHECKING, Any

from sioserver._version import __version__

if TYPE_CHECKING:
    from sioserver.app import create_app, mount
    from sioserver.config import Config
    from sioserver.errors import Refusal
    from sioserver.hooks import Hooks
    from sioserver.transport.server import AsyncServer

__all__ = ["AsyncServer", "Config", "Hooks", "Refusal", "__version__", "create_app", "mount"]

_HOMES = {
    "AsyncServer": "transport.server",
    "Config": "config",
    "Hooks": "hooks",
    "Refusal": "errors",
    "create_app": "app",
    "mount": "app",
}


def __getattr__(name: str) -> Any:
    """Import on first use: `sioserver version` and `sioserver config` need none of the server."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
