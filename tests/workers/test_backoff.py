"""The pauses before something is started again."""

from sioserver.workers.backoff import LONGEST, SETTLED, SHORTEST, Backoff


def test_the_pauses_double_up_to_a_bound() -> None:
    pauses = Backoff()
    assert [pauses.after(0.0) for _ in range(9)] == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10, 10]
    assert (SHORTEST, LONGEST) == (0.1, 10)


def test_what_ran_for_long_is_started_at_once() -> None:
    pauses = Backoff()
    for _ in range(5):
        pauses.after(SETTLED - 1)
    assert pauses.after(SETTLED) == 0
    assert pauses.after(0.0) == SHORTEST
