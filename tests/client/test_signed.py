"""What a program outside signs, through python-socketio's own managers."""

from __future__ import annotations

import json
import time

from sioserver.client import SignedJSON
from sioserver.signature import Signatures

SECRET = "a secret of the bus that has 32 bytes"


def test_what_it_dumps_is_json_that_is_signed() -> None:
    node = Signatures(SECRET, sender="node", clock=time.time)
    signed = SignedJSON(SECRET, "chat")
    data = {"method": "emit", "event": "é", "data": [1, None]}
    for _ in range(2):
        assert json.loads(node.verify("chat", signed.dumps(data))) == data
    assert signed.loads("[1]") == [1]


def test_two_of_them_are_two_senders() -> None:
    node = Signatures(SECRET, sender="node", clock=time.time)
    for _ in range(3):
        assert node.verify("socketio", SignedJSON(SECRET).dumps(1)) == b"1"
