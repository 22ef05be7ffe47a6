"""Both engines have what the contract says, by its types."""

from pathlib import Path

from sioserver.config import Config
from sioserver.config.schema import Store
from sioserver.engine.base_directory import Directory, Listed
from sioserver.engine.embedded import EmbeddedEngine
from sioserver.engine.redis import RedisEngine
from sioserver.model import Peer


def test_engines_have_a_directory(tmp_path: Path) -> None:
    parts: list[Directory] = [
        EmbeddedEngine(Store(), grace=1.0, path=tmp_path / "rooms.db").directory,
        RedisEngine(Config(), Peer("1")).directory,
    ]
    assert len({type(part) for part in parts}) == len(parts)
    assert Listed("den", None, 0) != Listed("den", "", 0)
