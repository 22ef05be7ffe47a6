"""The other nodes: are they found, do they answer, do they believe us, and is it the same time?

Pure: facts in, findings out; `look_peers` gathers them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from sioserver.doctor.findings import Finding, fail, ok, skip
from sioserver.doctor.redis import clock


class Answer(NamedTuple):
    """What came of asking a node at its internal address."""

    node: str
    address: str
    """Empty: it has none, and can only be found on its own host."""
    status: int
    """Of HTTP; 0: it did not answer."""
    error: str
    skew: float | None
    """Seconds by which its clock is ahead; None: it did not say."""


def findings(answers: Sequence[Answer], *, has_secret: bool) -> Iterator[Finding]:
    """All of them. `has_secret`: we have a `cluster.secret`."""
    if not answers:
        yield skip("cluster.peers", "no node is registered just now: the server does not run")
        return
    without = [answer.node for answer in answers if not answer.address]
    if without:
        yield ok("cluster.peers", f"{len(without)} nodes that are found on their own host only")
    for answer in answers:
        if answer.address:
            yield from _one(answer, has_secret)


def _one(answer: Answer, has_secret: bool) -> Iterator[Finding]:
    check, who = f"cluster.peer.{answer.node}", f"the node at {answer.address}"
    if not answer.status:
        yield fail(
            check,
            f"{who} does not answer: {answer.error}",
            "open the ports of cluster.address between the hosts, and look at that node",
        )
        return
    if answer.status == 403 and not has_secret:
        yield skip(check, f"{who} answers; without a cluster.secret nothing can be asked of it")
    elif answer.status == 403:
        yield fail(
            check,
            f"{who} does not believe us: its cluster.secret is another one, or the clocks differ",
            "the same cluster.secret on all hosts, and NTP",
        )
    elif answer.status == 400:  # what is asked for is a session that nobody has
        yield ok(check, f"{who} answers and believes us")
    else:
        yield fail(
            check,
            f"{who} answers with {answer.status}: it is no node of this cluster",
            "look who else listens there",
        )
    if answer.skew is not None:
        yield from clock(f"{check}.clock", f"the clock of {answer.address}", answer.skew)
