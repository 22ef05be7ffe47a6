"""Both engines have what the contract says, by its types."""

from pathlib import Path

from sioserver.config import Config
from sioserver.config.schema import Store
from sioserver.engine.base_search import Found, Search
from sioserver.engine.embedded import EmbeddedEngine
from sioserver.engine.redis import RedisEngine
from sioserver.model import Peer


def test_engines_can_search(tmp_path: Path) -> None:
    parts: list[Search] = [
        EmbeddedEngine(Store(), grace=1.0, path=tmp_path / "rooms.db").search,
        RedisEngine(Config(), Peer("1")).search,
    ]
    assert len({type(part) for part in parts}) == len(parts)
    assert Found([], 1, None, True) != Found([], 1, None, False)
