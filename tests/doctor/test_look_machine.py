"""What is read from this machine, and from files that a test has made."""

from __future__ import annotations

import importlib.metadata
import os
import resource
import sys
import time
from pathlib import Path

import pytest

from sioserver.config import Config
from sioserver.config.schema import Redis, Server, Tls
from sioserver.config.schema import Store as StoreSettings
from sioserver.doctor import look_machine
from sioserver.doctor.look_machine import libraries, look, numbers, open_files

from ..certificates import DAY, Certificates


def test_this_machine() -> None:
    found = look(Config())
    assert found.files is not None
    assert found.files >= 256
    assert found.cores >= 1
    assert found.c_parser == ""
    assert found.trigrams
    assert found.outdated == ()
    assert found.certificate is None


@pytest.mark.skipif(sys.platform != "linux", reason="there is no /proc")
def test_the_limit_of_another_process() -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    expected = sys.maxsize if hard == resource.RLIM_INFINITY else hard
    assert open_files(os.getpid()) == open_files() == expected
    assert open_files(2**22 + 1) is None


def test_versions_are_numbers() -> None:
    assert numbers("3.14.5") > numbers("3.9.10")
    assert numbers("8.1") == numbers("8.1.0")
    assert numbers("1.2.3+local.9") == (1, 2, 3)


def test_a_library_below_its_floor(monkeypatch: pytest.MonkeyPatch) -> None:
    floors = [
        "aiohttp>=3.14.5",
        "redis[hiredis]>=8.1,<9",
        "missing>=1",
        'picows>=99; extra == "picows"',
        'uvloop>=0.1; sys_platform != "win32"',
    ]
    versions = {"aiohttp": "3.14.4", "redis": "8.1.0", "picows": "1.0", "uvloop": "0.2"}

    def version(name: str) -> str:
        if name not in versions:
            raise importlib.metadata.PackageNotFoundError(name)
        return versions[name]

    monkeypatch.setattr(importlib.metadata, "requires", lambda name: floors)
    monkeypatch.setattr(importlib.metadata, "version", version)
    assert libraries() == (["aiohttp 3.14.4 is installed, at least 3.14.5 is needed"], "")


def test_where_it_is_not_a_package(monkeypatch: pytest.MonkeyPatch) -> None:
    def requires(name: str) -> list[str]:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "requires", requires)
    outdated, unknown = libraries()
    assert outdated == []
    assert "not installed" in unknown


def test_the_stores_file(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "rooms.db"
    settings = StoreSettings(path=str(path))
    found = look(Config(store=settings)).store
    assert found is not None
    assert (found.exists, found.foreign) == (False, False)
    assert found.free > 0
    path.parent.mkdir(mode=0o700)
    path.touch(mode=0o600)
    path.chmod(0o640)
    found = look(Config(store=settings)).store
    assert found is not None
    assert (found.exists, found.mode, found.directory_mode) == (True, 0o640, 0o700)


def test_workers_have_a_directory_and_redis_has_none(tmp_path: Path) -> None:
    store = StoreSettings(path=str(tmp_path / "rooms.db"))
    found = look(Config(store=store, server=Server(workers=2))).store
    assert found is not None
    assert found.path == f"{store.path}-valkey"
    assert look(Config(store=store, redis=Redis(url="redis://a"))).store is None
    assert look(Config(store=StoreSettings(path=":memory:"))).store is None


def test_the_certificate(tmp_path: Path) -> None:
    made = Certificates(tmp_path)
    made.issue(expires_at=time.time() + 5 * DAY, begins_at=time.time() - 90 * DAY)
    tls = Tls(cert=str(made.cert), key=str(made.key))
    found = look(Config(tls=tls))
    assert found.certificate is not None
    assert any("expires on" in text for text in found.certificate)
    assert 4 < found.certificate_days < 5
    broken = look(Config(tls=Tls(cert=str(tmp_path / "none.pem"))))
    assert "none.pem" in broken.certificate_error


def test_a_quota_of_the_container(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    quota = tmp_path / "cpu.max"
    monkeypatch.setattr(
        look_machine,
        "Path",
        lambda path: quota if str(path).endswith("cpu.max") else Path(path),
    )
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)
    for text, expected in (("max 100000", 8), ("200000 100000", 2), ("50000 100000", 1), ("?", 8)):
        quota.write_text(text)
        assert look_machine.cores() == expected
    quota.unlink()
    assert look_machine.cores() == 8
