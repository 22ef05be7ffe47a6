"""One sender for each endpoint."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from typing import Any

from sioserver.config import Config
from sioserver.config.schema import Store, Webhook, Webhooks
from sioserver.engine.embedded import EmbeddedEngine
from sioserver.metrics import Metrics
from sioserver.metrics.exposition import render
from sioserver.model import Draft, User
from sioserver.webhooks import Webhooks as Senders
from tests.engine.conftest import Keep, Listener, until

from .kit import SECRET, Receiver, answers


async def test_each_endpoint_goes_its_own_way() -> None:
    async with Receiver() as one, Receiver() as other:
        one.behaviour = answers(500)
        hooks = [
            Webhook(url=receiver.url, name=name, secret=SECRET)
            for name, receiver in (("one", one), ("other", other))
        ]
        config = Config(webhooks=Webhooks(endpoints=hooks))
        engine = EmbeddedEngine(Store(), grace=5.0, path=":memory:", endpoints=config.webhooks)
        await engine.start(Listener())
        tasks: list[asyncio.Task[None]] = []

        def spawn(name: str, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
            tasks.append(asyncio.create_task(coroutine, name=name))
            return tasks[-1]

        metrics = Metrics()
        assert engine.webhooks is not None
        Senders(config, engine, metrics, time.time, spawn).start(engine.webhooks)
        assert [task.get_name() for task in tasks] == ["webhook one", "webhook other"]
        draft = Draft("m1", User("ann", "Ann"), "hi", 1, resendable=False)
        await engine.publish("lobby", draft, Keep())
        await other.until(lambda: other.bodies("lobby") == ["hi"])
        assert other.requests[0]["webhook"] == "other"
        await one.until(lambda: one.requests)
        assert one.events == []
        taken = b'webhook_events_total{result="taken",webhook="other"} 1.0'
        await until(lambda: taken in render(metrics)[0], "it is counted for the one that took it")
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await engine.stop()
