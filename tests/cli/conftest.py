"""A place without settings, a good file, and a server that only notes how it was started."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest

from sioserver.config import Config

GOOD = '[server]\nport = 9000\n[log]\nlevel = "debug"\n'
BAD = '[server]\nprot = 9000\n[log]\nlevel = "loud"\n'


@pytest.fixture(autouse=True)
def _no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SIOSERVER_CONFIG", raising=False)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "s.toml"
    path.write_text(GOOD)
    return path


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[Config]:
    """The configurations that the server was started with; it ends with exit code 7."""
    started: list[Config] = []

    def run(config: Config, *, extension: str) -> int:
        started.append(config)
        return 7

    serve = ModuleType("sioserver.serve")
    serve.run = run  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "sioserver.serve", serve)
    return started
