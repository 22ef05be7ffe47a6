"""Ids that nobody can guess."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import pytest

from sioserver import ids
from sioserver.ids import random_id


@pytest.mark.parametrize("length", [1, 12, 16, 24, 64])
def test_they_have_the_length_that_was_asked_for(length: int) -> None:
    allowed = set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")
    for _ in range(200):
        made = random_id(length)
        assert len(made) == length
        assert set(made) <= allowed


@pytest.mark.parametrize("length", [-1, 0, 65])
def test_other_lengths_are_refused(length: int) -> None:
    with pytest.raises(ValueError, match="1 to 64"):
        random_id(length)


def test_no_two_are_the_same_also_in_several_threads() -> None:
    found: list[str] = []

    def take() -> None:
        found.extend([random_id(16) for _ in range(5000)])

    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == len(found) == 20_000


def test_the_system_is_asked_once_for_many(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    urandom = os.urandom

    def count(size: int) -> bytes:
        asked.append(size)
        return urandom(size)

    monkeypatch.setattr(os, "urandom", count)
    monkeypatch.setattr(ids, "_pools", {})
    for _ in range(256):
        random_id(16)
    assert asked == [ids.CHUNK]


FORKS = r"""
import os
from sioserver.ids import random_id
random_id(16)
child = os.fork()
os.write(1, f"{random_id(16)}\n".encode())
if child:
    os.waitpid(child, 0)
"""


def test_a_fork_makes_its_own() -> None:
    # in a process without threads: others may not be forked any more
    done = subprocess.run([sys.executable, "-c", FORKS], capture_output=True, check=True, text=True)
    parent, child = done.stdout.split()
    assert parent != child
