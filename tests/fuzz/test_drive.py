"""What breaks a promise is reported so that somebody can read it, and can find it whole."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from .attacks import Attack, Raw
from .campaign import Broken
from .drive import BATCH, Drive, Failure, fuzz

LONG = Raw(b"x" * 5000)


class Brittle(Drive):
    """Has no server; whatever is raw breaks it."""

    def attack(self, batch: Sequence[Attack]) -> None:
        self.done += len(batch)
        if any(isinstance(attack, Raw) for attack in batch):
            raise Broken("it was raw")


class Frail(Drive):
    """Breaks when it is attacked twice at once."""

    def attack(self, batch: Sequence[Attack]) -> None:
        if len(batch) > 1:
            raise ConnectionError("a victim was disconnected")


class Only(Drive):
    """Breaks at this attack."""

    def __init__(self, attack: Attack) -> None:
        super().__init__()
        self._broken_by = attack

    def attack(self, batch: Sequence[Attack]) -> None:
        if self._broken_by in batch:
            raise Broken("that one")


def test_a_report_is_short_and_names_the_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with Brittle() as drive, pytest.raises(Failure, match="seed 7: it was raw") as failure:
        fuzz(drive, 10 * BATCH, 7)
    report = str(failure.value)
    assert "\nfails again, at the most: Raw(data=" in report
    assert len(report) < 500
    [path] = tmp_path.glob("*/seed-7.txt")
    assert report.endswith(f"the whole: {path}")
    assert "the batch:\n" in path.read_text()


def test_whatever_is_raised_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with Frail() as drive, pytest.raises(Failure, match="a victim was disconnected") as failure:
        fuzz(drive, BATCH, 1)
    assert isinstance(failure.value.__cause__, ConnectionError)


def test_a_batch_is_narrowed_to_the_attack_that_breaks_it() -> None:
    harmless = Raw(b"y")
    with Only(LONG) as drive:
        assert drive.narrowed([harmless] * 5 + [LONG] + [harmless] * 4) == [LONG]
    with Frail() as drive:  # it takes two, so half of a pair is no less
        assert len(drive.narrowed([harmless] * 8)) == 2
