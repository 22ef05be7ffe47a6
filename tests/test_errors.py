"""The two tables of failure: complete, consistent, and used."""

import re
from pathlib import Path

import pytest

from sioserver.errors import DISCONNECTS, REFUSALS, Disconnect, Refusal

SOURCES = Path(__file__).resolve().parent.parent / "sioserver"


def test_numbers_are_unique() -> None:
    kinds = [*REFUSALS.values(), *DISCONNECTS.values()]
    assert len({kind.number for kind in kinds}) == len(kinds)


@pytest.mark.parametrize("code", DISCONNECTS)
def test_the_number_of_a_disconnect_says_whether_to_come_back(code: str) -> None:
    kind = DISCONNECTS[code]
    assert 3000 <= kind.number < 4000
    assert (kind.number < 3500) == kind.reconnect


@pytest.mark.parametrize("code", REFUSALS)
def test_the_status_of_a_refusal_says_whose_fault_it_is(code: str) -> None:
    kind = REFUSALS[code]
    assert 100 <= kind.number < 1000
    assert 400 <= kind.status < 600
    # what may be sent again unchanged is not the sender's fault, but for its haste
    assert kind.temporary == (kind.status >= 500 or kind.status == 429)


def test_codes_are_words_and_messages_say_something() -> None:
    for code, text in [
        *((code, kind.message) for code, kind in REFUSALS.items()),
        *((code, kind.reason) for code, kind in DISCONNECTS.items()),
    ]:
        assert re.fullmatch(r"[a-z]+(_[a-z]+)*", code)
        assert len(text) > 10
        assert not text.endswith(".")


@pytest.fixture(scope="module")
def sources() -> str:
    files = (path for path in SOURCES.rglob("*.py") if path.name != "errors.py")
    return "\n".join(path.read_text(encoding="utf-8") for path in files)


@pytest.mark.parametrize("code", REFUSALS)
def test_every_refusal_is_used(code: str, sources: str) -> None:
    assert re.search(rf'Refusal\(\s*"{code}"', sources)


@pytest.mark.parametrize("code", DISCONNECTS)
def test_every_disconnect_is_used(code: str, sources: str) -> None:
    assert re.search(rf'(Disconnect\(|\bend\([^()]*,|\.[A-Z_]+,)\s*"{code}"', sources)


def test_a_refusal_is_its_row_of_the_table() -> None:
    refusal = Refusal("rate_limited", retry_after=0.5)
    assert (refusal.code, refusal.number) == ("rate_limited", 108)
    assert (refusal.message, str(refusal)) == (REFUSALS["rate_limited"].message,) * 2
    assert (refusal.temporary, refusal.status, refusal.retry_after) == (True, 429, 0.5)


def test_a_refusal_may_say_more() -> None:
    refusal = Refusal("forbidden", "not on Sundays")
    assert (refusal.message, str(refusal)) == ("not on Sundays", "not on Sundays")
    assert refusal.retry_after is None


def test_a_disconnect_is_its_row_of_the_table() -> None:
    ending = Disconnect("slow")
    assert (ending.code, ending.number, ending.reconnect) == ("slow", 3001, True)
    assert (ending.reason, str(ending)) == (DISCONNECTS["slow"].reason,) * 2
    assert Disconnect("kicked", "for spam").reason == "for spam"


def test_there_are_no_other_codes() -> None:
    with pytest.raises(ValueError, match=r"'no_such_code' is no code.*, forbidden,"):
        Refusal("no_such_code")
    with pytest.raises(KeyError):
        Disconnect("no_such_code")
