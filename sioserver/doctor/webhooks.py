"""The webhooks: are they reached, do they take what we sign, and have they a log to be sent from?

Pure: facts in, findings out; `look_webhooks` gathers them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase

from sioserver.config import Config
from sioserver.config.schema import Webhook
from sioserver.doctor.findings import Finding, fail, ok, warn
from sioserver.subscriptions import SOURCES
from sioserver.webhooks.post import Answer


def findings(config: Config, answers: Sequence[Answer]) -> Iterator[Finding]:
    """All of them; `answers`: to an empty list of events, in the order of the configuration."""
    for endpoint, answer in zip(config.webhooks.endpoints, answers, strict=True):
        check = f"webhooks.{endpoint.name}"
        if answer.result == "ok":
            yield ok(check, "takes what we sign")
        else:
            yield fail(
                check,
                f"does not take an empty list of events: {answer.detail}",
                "events wait until it does; look at its address, its certificate, its secret and "
                "its log",
            )
        yield from _logs(config, endpoint)


def _logs(config: Config, endpoint: Webhook) -> Iterator[Finding]:
    if not any(SOURCES[event] == "log" for event in endpoint.events):
        return
    for rule in config.rooms.rules:
        told = any(fnmatchcase(rule.match, pattern) for pattern in endpoint.rooms)
        if told and not rule.history_length:
            yield warn(
                f"webhooks.{endpoint.name}",
                f'messages are sent from the log, and the rooms "{rule.match}" keep none',
                "give them a history_length, or leave them out of its rooms",
            )
