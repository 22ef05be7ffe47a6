"""Engines: what is shared between the nodes and outlives them.

`base` holds the contract; `create_engine` picks the engine, and nothing past it asks which.
"""

from __future__ import annotations

import os
import secrets
import sys
from pathlib import Path
from typing import Final

from sioserver.auth import Policy
from sioserver.config.schema import Config
from sioserver.engine.base import Engine, EngineListener, Retention, StoreError
from sioserver.engine.embedded import EmbeddedEngine
from sioserver.model import Peer

__all__ = ["Engine", "EngineListener", "Retention", "StoreError", "create_engine", "store_path"]

NODE_ID_BYTES: Final = 4


def create_engine(config: Config, node: Peer | None = None) -> Engine:
    """Build the engine that the configuration asks for; nothing is opened yet. `node`: how the
    others find this node, where there are others."""
    if config.redis.url:
        from sioserver.engine.redis import RedisEngine

        return RedisEngine(config, node or Peer(secrets.token_hex(NODE_ID_BYTES)))
    policy = Policy(config)
    return EmbeddedEngine(
        config.store,
        grace=config.presence.grace,
        path=store_path(config.store.path),
        endpoints=config.webhooks,
        tells=lambda room: policy.rule(room).presence,
        search_scan=config.rooms.search_scan,
    )


def store_path(path: str) -> str | Path:
    """Where the store is: the path as given (with ~ for the home directory), ":memory:", or,
    when it is empty, sioserver.db in the user's data directory."""
    if path == ":memory:":
        return path
    return Path(path).expanduser() if path else _data_directory() / "sioserver.db"


def _data_directory() -> Path:
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Application Support"
    else:
        # The specification wants a relative XDG_DATA_HOME ignored.
        base = Path(os.environ.get("XDG_DATA_HOME", ""))
        if not base.is_absolute():
            base = Path.home() / ".local" / "share"
    return base / "sioserver"
