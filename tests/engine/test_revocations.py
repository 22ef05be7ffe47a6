"""Rules by which tokens are refused, in memory."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sioserver.engine import revocations as module
from sioserver.engine.revocations import Revocations
from sioserver.errors import Refusal
from sioserver.model import Credentials, Revocation

IDS = st.sampled_from(["a", "b", ""])
TIMES = st.floats(0, 10)
RULES = st.builds(
    Revocation, st.sampled_from(["token", "user"]), IDS, until=TIMES, before=TIMES
) | st.builds(Revocation, st.just("all"), st.just(""), until=TIMES, before=TIMES)
TOKENS = st.builds(Credentials, IDS, st.none() | IDS, TIMES)


@given(st.lists(RULES, unique_by=lambda rule: (rule.kind, rule.id)), TOKENS, TIMES)
def test_any_rule_in_force_that_concerns_the_token(
    rules: list[Revocation], token: Credentials, now: float
) -> None:
    known = Revocations()
    for rule in rules:
        assert known.put(rule)
    expected = any(rule.until > now and rule.concerns(token) for rule in rules)
    assert known.refuses(token, now) is expected
    in_force = [rule for rule in rules if rule.until > now]
    assert known.page(now, None, 99) == sorted(in_force, key=lambda rule: (rule.kind, rule.id))
    assert known.forget(now) is (len(in_force) < len(rules))
    assert known.refuses(token, now) is expected
    assert len(known) == len(in_force)


@given(RULES, TIMES, TIMES)
def test_news_is_what_refuses_more(rule: Revocation, until: float, before: float) -> None:
    known = Revocations()
    known.put(rule)
    other = Revocation(rule.kind, rule.id, until, before)
    assert known.put(other) is (until > rule.until or before > rule.before)
    assert known.get(rule.kind, rule.id) == other, "the store has the last word"


def test_a_rule_that_is_there_needs_no_space(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST", 1)
    known, rule = Revocations(), Revocation("token", "a", 5.0)
    known.check_space(rule)
    known.put(rule)
    known.check_space(rule)
    with pytest.raises(Refusal):
        known.check_space(Revocation("token", "b", 5.0))
    known.drop("token", "a")
    known.drop("token", "a")
    known.check_space(Revocation("token", "b", 5.0))


def test_nothing_is_known_after_clear() -> None:
    known = Revocations()
    known.put(Revocation("all", "", 5.0, 5.0))
    known.clear()
    assert list(known) == []
    assert not known.refuses(Credentials("a"), 0.0)
