"""Both engines have what the contract says, by its types."""

from pathlib import Path

from sioserver.config import Config
from sioserver.config.schema import Store
from sioserver.engine.base_mentions import KEPT, Mentions
from sioserver.engine.embedded import EmbeddedEngine
from sioserver.engine.redis import RedisEngine
from sioserver.model import Peer


def test_engines_have_mentions(tmp_path: Path) -> None:
    parts: list[Mentions] = [
        EmbeddedEngine(Store(), grace=1.0, path=tmp_path / "rooms.db").mentions,
        RedisEngine(Config(), Peer("1")).mentions,
    ]
    assert len({type(part) for part in parts}) == len(parts)
    assert KEPT == 200  # as docs/protocol.md says
