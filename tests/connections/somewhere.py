"""A client of an edge that is none."""

from sioserver.connections.clients import ConnectedClient


class Somewhere(ConnectedClient):
    """At an edge that has one client for each connection."""

    here = True

    @property
    def beside(self) -> list[ConnectedClient]:
        return [self]
