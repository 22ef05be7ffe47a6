"""The rules by which tokens are refused, as a node keeps them in memory.

Both engines look here when a client connects. The module knows neither a store nor a clock, nor
what a token looks like.
"""

from __future__ import annotations

from collections.abc import Iterator
from heapq import nsmallest
from typing import Final

from sioserver.errors import Refusal
from sioserver.model import Credentials, Revocation

MOST: Final = 100_000
"""Rules that there may be: some 20 MB, and a second to read at the start."""

Name = tuple[str, str]
"""The kind and id of a rule: there is one of each."""


class Revocations:
    """The rules in force, as far as is known."""

    def __init__(self) -> None:
        self._rules: dict[Name, Revocation] = {}

    def __len__(self) -> int:
        return len(self._rules)

    def __iter__(self) -> Iterator[Revocation]:
        return iter(self._rules.values())

    def get(self, kind: str, id: str) -> Revocation | None:
        """The rule of this kind and id."""
        return self._rules.get((kind, id))

    def check_space(self, rule: Revocation) -> None:
        """Is there space for one more? Raises `Refusal("too_many")`."""
        if len(self._rules) >= MOST and (rule.kind, rule.id) not in self._rules:
            raise too_many()

    def put(self, rule: Revocation) -> bool:
        """Keep what a store says. True: it refuses more than what was known."""
        name = rule.kind, rule.id
        known = self._rules.get(name)
        self._rules[name] = rule
        return known is None or known.joined(rule) != known

    def drop(self, kind: str, id: str) -> None:
        """The rule was lifted."""
        self._rules.pop((kind, id), None)

    def clear(self) -> None:
        """Nothing is known any more."""
        self._rules.clear()

    def refuses(self, token: Credentials, now: float) -> bool:
        """Is there a rule for this token?"""
        if not self._rules:
            return False
        names: list[Name] = [("all", ""), ("user", token.user_id)]
        if token.token_id is not None:
            names.append(("token", token.token_id))
        return any(
            (rule := self._rules.get(name)) is not None
            and rule.until > now
            and rule.concerns(token)
            for name in names
        )

    def page(self, now: float, after: Name | None, limit: int) -> list[Revocation]:
        """See `Tokens.revocations`."""
        found = (
            rule
            for name, rule in self._rules.items()
            if rule.until > now and (after is None or name > after)
        )
        return nsmallest(limit, found, key=lambda rule: (rule.kind, rule.id))

    def forget(self, now: float) -> bool:
        """Drop the rules that are over. True: there were some."""
        over = [name for name, rule in self._rules.items() if rule.until <= now]
        for name in over:
            del self._rules[name]
        return bool(over)


def too_many() -> Refusal:
    """There is no space for another rule."""
    return Refusal(
        "too_many",
        f"there are {MOST} revocations already; revoke all tokens that were issued before a time "
        "instead, or lift some",
    )
