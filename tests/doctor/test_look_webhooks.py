"""Asking webhooks: real ones, and one that is not there."""

import time

from sioserver.config import Config
from sioserver.config.schema import Webhook, Webhooks
from sioserver.doctor.look_webhooks import look

from ..redis_servers import free_port
from ..webhooks.kit import SECRET, Receiver, answers, verify


async def test_each_is_asked_with_nothing_to_tell() -> None:
    async with Receiver() as good, Receiver() as bad:
        bad.behaviour = answers(404)
        gone = f"http://127.0.0.1:{free_port()}/"
        endpoints = [
            Webhook(url=url, name=name, secret=SECRET)
            for name, url in (("good", good.url), ("bad", bad.url), ("gone", gone))
        ]
        found = await look(Config(webhooks=Webhooks(endpoints=endpoints)), 20.0)
        assert [answer.result for answer in found] == ["ok", "status", "unreachable"]
        assert good.requests == [{"webhook": "good", "events": []}]
        verify(*good.raw[0], time.time())
