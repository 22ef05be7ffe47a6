"""The handlers of a Socket.IO server's users: which one is called, with what, and what it answers.

A handler is called once, so that a TypeError is its own. Knows neither sessions nor packets.
"""

from __future__ import annotations

import asyncio
import inspect
from typing import Any

import socketio
from socketio import exceptions

from sioserver.transport.edge import takes

# The stubs describe what users of python-socketio call; who extends it needs more.
Base: Any = socketio.AsyncServer


class Handlers(Base):
    """What `AsyncServer` is built on: events passed to functions and namespace classes."""

    async def _trigger_event(self, event: Any, namespace: str, *args: Any) -> Any:
        # The stock method calls handlers again with fewer arguments when they raise TypeError;
        # here the signature is asked first, so that a TypeError is the handler's own.
        handler, arguments = self._get_event_handler(event, namespace, args)
        if handler is None:
            owner, arguments = self._get_namespace_handler(namespace, args)
            if owner is None:
                return self.not_handled
            if type(owner).trigger_event is not socketio.AsyncNamespace.trigger_event:
                return await owner.trigger_event(event, *arguments)
            handler = getattr(owner, f"on_{event}", None)
            if handler is None:
                return None
        if event in self.reserved_events and not takes(handler, len(arguments)):
            arguments = arguments[:-1]
        result = handler(*arguments)
        return await result if inspect.isawaitable(result) else result

    async def _ask_connect_handler(
        self, namespace: str, sid: str, eio_sid: str, auth: Any
    ) -> dict[str, Any] | None:
        """None when the client may come in, else the payload of its CONNECT_ERROR."""
        try:
            agreed = await self._trigger_event(
                "connect", namespace, sid, self.environ.get(eio_sid), auth or None
            )
        except exceptions.ConnectionRefusedError as error:
            return dict(error.error_args)
        except ConnectionRefusedError:
            return {"message": "Connection refused by server"}
        except (Exception, asyncio.CancelledError):
            # the latter when it waited for something that was cancelled
            self.logger.exception("connect handler error")
            return {"message": "Internal server error"}
        if agreed is False:
            return dict(exceptions.ConnectionRefusedError().error_args)
        return None
