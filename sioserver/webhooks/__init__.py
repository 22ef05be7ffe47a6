"""Webhooks: what happens in rooms is posted to addresses of the operator's.

`payload` says what is sent, `post` sends it, `sender` decides what and when, `senders` has one for
each endpoint. What has been taken, and what waits, is the engine's to know: nothing here has to
survive a crash.
"""

from sioserver.webhooks.senders import Webhooks

__all__ = ["Webhooks"]
