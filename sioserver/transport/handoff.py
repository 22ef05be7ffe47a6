"""A client's TCP connection goes to another process of this machine, descriptor and all.

Over a SOCK_SEQPACKET unix socket, which keeps messages whole and in order: one message is one
connection, with the bytes that were already read from it. What the bytes mean is nobody's business
here. Who may send is decided by the mode of the directory in which the socket lies.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections import deque
from collections.abc import Callable
from typing import Final, NamedTuple

log = logging.getLogger(__name__)

LARGEST: Final = 65_536
"""Bytes that a message may have: well below what the kernel takes for one."""

QUEUE: Final = 256
"""Connections that may wait for a process that is slow to take them; more are not accepted."""

PATIENCE: Final = 5.0
"""Seconds that a connection waits in the queue."""

BACKLOG: Final = 128
SENDERS: Final = 2048
"""Processes that may be connected at the same time."""

AT_ONCE: Final = 64
"""Messages that are taken from one sender before the others have their turn."""

NO_ROOM_PAUSE: Final = 1.0
"""Seconds until the next try when the process has no descriptor left."""

SUPPORTED: Final = hasattr(socket, "AF_UNIX") and hasattr(socket, "SOCK_SEQPACKET")


class Parcel(NamedTuple):
    """A connection that waits, and who waits for it to be off."""

    number: int
    """A descriptor of its own: the other may be closed meanwhile, and its number used again."""
    data: bytes
    gone: asyncio.Future[bool]


class Sender:
    """The way to one other process."""

    def __init__(self, path: str) -> None:
        """`path`: where its `Receiver` listens."""
        self._path = path
        self._socket: socket.socket | None = None
        self._waiting: deque[Parcel] = deque()

    async def send(self, number: int, data: bytes) -> bool:
        """Pass a connection on, by the number of its descriptor; False when that cannot be done.

        The caller closes its own copy afterwards, without shutting the connection down, and must
        not have read from it in between.
        """
        if len(data) > LARGEST or len(self._waiting) >= QUEUE:
            return False
        if not self._waiting:
            sent = self._try(number, data)
            if sent is not None:
                return sent
        assert self._socket is not None
        loop = asyncio.get_running_loop()
        parcel = Parcel(os.dup(number), data, loop.create_future())
        self._waiting.append(parcel)
        loop.add_writer(self._socket.fileno(), self._flush)
        try:
            async with asyncio.timeout(PATIENCE):
                return await parcel.gone
        except TimeoutError:
            # it may have gone in the same turn of the loop; then it must not be used here any more
            gone = parcel.gone
            return gone.done() and not gone.cancelled() and gone.result()

    def _try(self, number: int, data: bytes) -> bool | None:
        """None: it has to wait."""
        try:
            if self._socket is None:
                self._socket = self._connect()
            socket.send_fds(self._socket, [data], [number])
        except BlockingIOError:
            if self._socket is None:
                return False  # the other side does not even accept
            return None
        except OSError as error:
            log.debug("a connection could not be passed on: %s", error)
            self.close()
            return False
        return True

    def _connect(self) -> socket.socket:
        new = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            new.setblocking(False)
            new.connect(self._path)
        except OSError:
            new.close()
            raise
        return new

    def _flush(self) -> None:
        while self._waiting:
            parcel = self._waiting[0]
            if not parcel.gone.done():  # else it was given up
                sent = self._try(parcel.number, parcel.data)
                if not sent:
                    return  # not yet; or closed, and everybody has been told
                parcel.gone.set_result(True)
            os.close(self._waiting.popleft().number)
        if self._socket is not None:
            asyncio.get_running_loop().remove_writer(self._socket.fileno())

    def close(self) -> None:
        """Let go; what still waits is not sent."""
        if self._socket is not None:
            asyncio.get_running_loop().remove_writer(self._socket.fileno())
            self._socket.close()
            self._socket = None
        while self._waiting:
            parcel = self._waiting.popleft()
            os.close(parcel.number)
            if not parcel.gone.done():
                parcel.gone.set_result(False)


class Receiver:
    """Where others pass connections to."""

    def __init__(self, path: str, take: Callable[[socket.socket, bytes], None]) -> None:
        """`take(connection, data)` owns the connection (not blocking) from then on."""
        self._path = path
        self._take = take
        self._listener: socket.socket | None = None
        self._senders: set[socket.socket] = set()

    def start(self) -> bool:
        """Listen; False where the system cannot. Raises OSError."""
        if not SUPPORTED:
            return False
        try:
            listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        except OSError:
            return False  # there is the name, but not the thing
        try:
            listener.setblocking(False)
            listener.bind(self._path)
            listener.listen(BACKLOG)
        except OSError:
            listener.close()
            raise
        self._listener = listener
        self._listen()
        return True

    def _listen(self) -> None:
        if self._listener is not None:
            loop = asyncio.get_running_loop()
            loop.add_reader(self._listener.fileno(), self._accept, self._listener)

    def _accept(self, listener: socket.socket) -> None:
        try:
            sender, _ = listener.accept()
        except BlockingIOError:
            return
        except OSError as error:
            log.warning("connections of other processes cannot be taken: %s", error)
            loop = asyncio.get_running_loop()
            loop.remove_reader(listener.fileno())
            loop.call_later(NO_ROOM_PAUSE, self._listen)
            return
        if len(self._senders) >= SENDERS:
            sender.close()
            return
        sender.setblocking(False)
        self._senders.add(sender)
        asyncio.get_running_loop().add_reader(sender.fileno(), self._read, sender)

    def _read(self, sender: socket.socket) -> None:
        for _ in range(AT_ONCE):
            try:
                data, numbers, flags, _address = socket.recv_fds(sender, LARGEST, 1)
            except BlockingIOError:
                return
            except OSError:
                self._drop(sender)
                return
            for number in numbers:
                os.set_inheritable(number, False)  # recv_fds does nothing with its flags
            if not data and not numbers:
                self._drop(sender)
                return
            try:
                if len(numbers) != 1 or flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC):
                    raise OSError("no descriptor was left for it here, or it is not ours at all")
                connection = socket.socket(fileno=numbers[0])
            except OSError as error:
                log.warning("a connection that another process passed on was lost: %s", error)
                for number in numbers:
                    os.close(number)
                continue
            connection.setblocking(False)
            self._take(connection, data)

    def _drop(self, sender: socket.socket) -> None:
        asyncio.get_running_loop().remove_reader(sender.fileno())
        self._senders.discard(sender)
        sender.close()

    def stop(self) -> None:
        """Take no more."""
        for sender in list(self._senders):
            self._drop(sender)
        if self._listener is not None:
            asyncio.get_running_loop().remove_reader(self._listener.fileno())
            self._listener.close()
            self._listener = None
            try:
                os.unlink(self._path)
            except FileNotFoundError:
                pass  # somebody tidied up before us
