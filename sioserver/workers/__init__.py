"""Several processes that serve at one address: `supervise` is the whole program of many workers.

The supervisor owns what must outlive a worker: the listening sockets, the private Valkey and the
directory of the workers' own sockets. What a worker serves is for `app`.
"""

from sioserver.workers.supervisor import supervise

__all__ = ["supervise"]
