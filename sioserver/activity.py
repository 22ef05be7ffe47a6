"""Which connections are used: a user all of whose devices rest is away.

A device is a connection, whatever rooms it is in: it rests when its user has said so, or when its
client has asked for nothing for a while. What that means for a user, whose devices may be on
several nodes, the engine knows, which is told of each change. A request costs a time and a look;
who has become idle is found by looking at each device once in a while.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from sioserver.engine.base import Engine
from sioserver.local import Client, Device
from sioserver.model import State

SLOTS: Final = 128
"""Parts of the time after which a device is idle: so exactly it is found."""

AT_ONCE: Final = 2000
"""Devices that are looked at in one sweep, some 4 us each where they are idle: crowds fall asleep
at once."""


class Activity:
    """The devices of this node."""

    def __init__(self, engine: Engine, tells: Callable[[str], bool], *, away_after: float) -> None:
        """`tells`: does a room tell who is in it? `away_after`: seconds without a request after
        which a device rests; 0: never."""
        self._engine = engine
        self._tells = tells
        self._away_after = away_after
        self._width = away_after / SLOTS
        self._slots: dict[int, set[Device]] = {}
        """The devices that are in a room and not idle, by when to look at them again."""

    def __len__(self) -> int:
        """Devices that are looked at."""
        return sum(map(len, self._slots.values()))

    def begin(self, client: Client, now: float) -> None:
        """The client has entered its room."""
        device = client.device
        self.used(client, now)
        if not device.clients:
            self._expect(device)
        device.clients += (client,)
        if device.rests:
            self._tell(client, rests=True)

    def end(self, client: Client) -> None:
        """The client has left its room, or never was there."""
        device = client.device
        if client in device.clients:
            device.clients = tuple(other for other in device.clients if other is not client)
            if not device.clients:
                self._drop(device)

    def used(self, client: Client, now: float) -> None:
        """The client has asked for something."""
        device = client.device
        device.used = now
        if device.idle:
            self._change(device, idle=False)
            if device.clients:
                self._expect(device)

    def say(self, client: Client, state: State, now: float) -> None:
        """The user says what this device is. "away" counts until they say "online"."""
        self.used(client, now)
        self._change(client.device, said_away=state == "away")

    def sweep(self, now: float) -> None:
        """Find the devices that have become idle."""
        if not self._slots:
            return
        place = int(now / self._width)
        left = AT_ONCE
        for slot in [slot for slot in self._slots if slot <= place]:
            devices = self._slots[slot]
            while devices and left:
                left -= 1
                device = devices.pop()
                device.slot = None
                device.used = min(device.used, now)  # a clock that was set back
                if now - device.used >= self._away_after:
                    self._change(device, idle=True)
                else:
                    self._expect(device)
            if devices:
                return
            del self._slots[slot]

    def _expect(self, device: Device) -> None:
        if self._away_after:
            device.slot = int((device.used + self._away_after) / self._width) + 1
            self._slots.setdefault(device.slot, set()).add(device)

    def _drop(self, device: Device) -> None:
        if device.slot is not None:
            slot = self._slots[device.slot]
            slot.discard(device)
            if not slot:
                del self._slots[device.slot]
            device.slot = None

    def _change(
        self, device: Device, *, idle: bool | None = None, said_away: bool | None = None
    ) -> None:
        before = device.rests
        device.idle = device.idle if idle is None else idle
        device.said_away = device.said_away if said_away is None else said_away
        if device.rests != before:
            for client in device.clients:
                self._tell(client, rests=device.rests)

    def _tell(self, client: Client, *, rests: bool) -> None:
        if self._tells(client.room):
            self._engine.rest(client.room, client.user.id, client.id, rests)
