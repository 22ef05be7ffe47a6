"""What error replies mean: no code has two meanings."""

from itertools import combinations

from sioserver.engine.redis_calls import AGAIN, AWAY, DENIED, MOVED, Unavailable


def test_no_code_means_two_things() -> None:
    for one, other in combinations((AWAY, DENIED, AGAIN, MOVED), 2):
        assert not one & other


def test_a_refusal_says_when_to_try_again() -> None:
    assert Unavailable("why").retry_after > 0
    assert str(Unavailable("why", 3)) == "why"
