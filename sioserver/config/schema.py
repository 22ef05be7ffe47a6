"""Every setting there is, typed, with its default, its bounds and its meaning.

The example file, the table in docs/configuration.md and the check of a file are all made from
these structs, of which `sections` has a module for each family; their order is that of `Config`.
This must not know where values come from: no file, no environment and no command line is read here.
"""

from __future__ import annotations

from sioserver.config.sections.access import KEY_SOURCES, Api, Auth
from sioserver.config.sections.integrations import Hooks, Webhook, Webhooks
from sioserver.config.sections.limits import Limits
from sioserver.config.sections.rooms import Delivery, Presence, RoomRule, Rooms
from sioserver.config.sections.server import Deflate, Drain, Gateway, Log, Server, Tls, Transport
from sioserver.config.sections.settings import Section
from sioserver.config.sections.storage import Cluster, Redis, Store

__all__ = [
    "KEY_SOURCES",
    "Api",
    "Auth",
    "Cluster",
    "Config",
    "Deflate",
    "Delivery",
    "Drain",
    "Gateway",
    "Hooks",
    "Limits",
    "Log",
    "Presence",
    "Redis",
    "RoomRule",
    "Rooms",
    "Server",
    "Store",
    "Tls",
    "Transport",
    "Webhook",
    "Webhooks",
]


class Config(Section, frozen=True):
    """The whole configuration. Read-only once built."""

    server: Server = Server()
    tls: Tls = Tls()
    auth: Auth = Auth()
    rooms: Rooms = Rooms()
    api: Api = Api()
    presence: Presence = Presence()
    delivery: Delivery = Delivery()
    limits: Limits = Limits()
    transport: Transport = Transport()
    deflate: Deflate = Deflate()
    gateway: Gateway = Gateway()
    hooks: Hooks = Hooks()
    webhooks: Webhooks = Webhooks()
    store: Store = Store()
    redis: Redis = Redis()
    cluster: Cluster = Cluster()
    drain: Drain = Drain()
    log: Log = Log()
