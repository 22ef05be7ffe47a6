"""The function that `serve --app` names: found, called, and what is said when it is not there."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiohttp import web

from sioserver.config import Config
from sioserver.extension import find, set_up
from sioserver.hooks import Hooks
from sioserver.startup import CannotStart

SOURCE = """
called = []

def setup(app, hooks, config):
    called.append((app, hooks, config))

async def later(app, hooks, config):
    called.append((app, hooks, config))

def two(app, hooks):
    ...

def broken(app, hooks, config):
    raise LookupError("no such table")

NUMBER = 7
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    (tmp_path / "ext_good.py").write_text(SOURCE)
    (tmp_path / "ext_bad.py").write_text("import no_such_library\n")
    (tmp_path / "ext_worse.py").write_text("1 / 0\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield tmp_path
    for name in [name for name in sys.modules if name.startswith("ext_")]:
        del sys.modules[name]


@pytest.mark.parametrize("name", ["setup", "later"])
async def test_it_is_found_in_the_working_directory_and_called(name: str) -> None:
    app, hooks, config = web.Application(), Hooks(), Config()
    await set_up(f"ext_good:{name}", app, hooks, config)
    assert sys.modules["ext_good"].called == [(app, hooks, config)]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("ext_none:setup", "there is no module ext_none, neither installed nor in /"),
        ("ext_none.deep:setup", "there is no module ext_none, neither"),
        ("ext_good.deep:setup", "there is no module ext_good.deep, neither"),
        ("ext_good:set_up", "the module ext_good has no set_up"),
        ("ext_good:NUMBER", "NUMBER is no function but 7"),
        ("ext_good:two", "two has to take three arguments: app, hooks, config"),
        ("ext_bad:setup", "ModuleNotFoundError: No module named 'no_such_library'"),
        ("ext_worse:setup", "cannot be imported: ZeroDivisionError: division by zero"),
    ],
)
def test_what_is_not_there(name: str, text: str) -> None:
    with pytest.raises(CannotStart) as caught:
        find(name)
    assert str(caught.value).startswith(f"--app {name}")
    assert text in str(caught.value)


def test_what_does_not_say_what_it_takes_is_tried(here: Path) -> None:
    (here / "ext_type.py").write_text("setup = type\n")
    assert find("ext_type:setup") is type


async def test_a_failure_of_its_own_is_logged_with_the_place(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with pytest.raises(CannotStart, match="--app ext_good:broken failed: LookupError: no such t"):
        await set_up("ext_good:broken", web.Application(), Hooks(), Config())
    assert "in broken" in caplog.text
