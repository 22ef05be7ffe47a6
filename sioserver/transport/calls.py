"""The `call()`s that wait for a client's ack: they end with it, in time, or as the client leaves.

Whatever the end, nothing is left of a call, neither here nor among the manager's callbacks. How an
event reaches the client, and what its ack may be, is not known here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from socketio import exceptions

Answer = tuple[Any, ...]


class Calls:
    """The outstanding calls of one server."""

    def __init__(self, manager: Any) -> None:
        """`manager`: who keeps the callbacks of emits, by client."""
        self._manager = manager
        self._waiting: dict[str, set[asyncio.Future[Answer]]] = {}

    def __len__(self) -> int:
        """How many wait."""
        return sum(map(len, self._waiting.values()))

    async def ask(
        self, sid: str, emit: Callable[..., Coroutine[Any, Any, None]], timeout: float
    ) -> Answer:
        """What the client acknowledges with when `emit(callback=...)` has reached it.

        Raises `socketio.exceptions.TimeoutError`, and `DisconnectedError` as soon as it leaves.
        """
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        waiting = self._waiting.setdefault(sid, set())
        waiting.add(answer)

        def acknowledged(*args: Any) -> None:
            if not answer.done():
                answer.set_result(args)

        try:
            await emit(callback=acknowledged)
            return await asyncio.wait_for(answer, timeout)
        except TimeoutError:
            raise exceptions.TimeoutError from None
        finally:
            waiting.discard(answer)
            if not waiting and self._waiting.get(sid) is waiting:
                del self._waiting[sid]
            self._forget_callback(sid, acknowledged)

    def abort(self, sid: str) -> None:
        """The client has left: its calls end."""
        for answer in self._waiting.pop(sid, ()):
            if not answer.done():
                answer.set_exception(exceptions.DisconnectedError())

    def _forget_callback(self, sid: str, callback: Any) -> None:
        waiting = self._manager.callbacks.get(sid, {})
        for id in [id for id, known in waiting.items() if known is callback]:
            del waiting[id]
        # what other nodes are to acknowledge is kept elsewhere, by managers that know some
        forget = getattr(self._manager, "forget_callback", None)
        if forget is not None:
            forget(callback)
