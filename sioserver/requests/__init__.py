"""What a client may ask for, over whatever edge: arguments in, the ack's object out.

One module for each family of events; `table` knows them all. Knows `RoomService` and `wire`, but
neither packets nor connections.
"""

from sioserver.requests.handler import Answer, Handler, Handlers, Pages
from sioserver.requests.table import Requests

__all__ = ["Answer", "Handler", "Handlers", "Pages", "Requests"]
