"""Who else takes part in what happens in rooms."""

from typing import get_args

import msgspec
import pytest

from sioserver.config.sections.integrations import Hooks, Webhook, WebhookEvent, Webhooks


def test_the_events_of_a_webhook() -> None:
    assert set(Webhook().events) < set(get_args(WebhookEvent))
    assert Webhook().events is not Webhook().events
    assert msgspec.convert({"events": ["moderation"]}, Webhook).events == ["moderation"]
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"events": ["typing"]}, Webhook)


def test_nobody_is_told_by_default_and_nobody_waits_for_ever() -> None:
    assert Webhooks().endpoints == []
    for section in (Hooks, Webhook):
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert({"timeout": 0}, section)
