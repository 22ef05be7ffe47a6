"""What was decided in one room, as a node keeps it in memory, and how a store writes it down.

Both engines keep the same records, small texts by name, and look here when somebody comes or
posts. The module knows neither a store nor a clock, nor who is here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from heapq import nsmallest
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from sioserver.errors import Refusal
from sioserver.model import Act, RoomSettings, Sanction, SanctionKind

MOST: Final = 10_000
"""Sanctions and settings of a room that there may be: some 3 MB in each node that has clients in
it, and 1 MB to read for the first of them."""
ADDRESSES: Final = 16
"""Addresses of one ban."""
ACTS: Final = 1000
"""Lines of a room's record that are kept."""
ACTS_AGE: Final = 365 * 86400.0
"""Seconds for which they are kept."""

_KINDS: Final[Mapping[str, SanctionKind]] = {"b": "ban", "m": "mute", "k": "kick"}
_SETTING: Final = "s:"


class _Decided(msgspec.Struct, array_like=True, frozen=True):
    """A sanction, as it is kept under `name_of` it."""

    until: float
    at: float
    by: str
    reason: str
    final: bool
    by_address: bool
    addresses: tuple[str, ...] = ()


_pack: Final = msgspec.msgpack.Encoder().encode
_decided: Final = msgspec.msgpack.Decoder(_Decided).decode
_setting: Final = msgspec.msgpack.Decoder().decode
_act: Final = msgspec.msgpack.Decoder(Act).decode


class Unreadable(ValueError):
    """A record that nothing here has written."""


def name_of(kind: SanctionKind, user_id: str) -> str:
    """The name of a sanction's record."""
    return f"{kind[0]}:{user_id}"


def name_of_setting(name: str) -> str:
    """The name of a setting's record."""
    return _SETTING + name


def pack(sanction: Sanction) -> bytes:
    """A sanction's record."""
    return _pack(
        _Decided(
            sanction.until,
            sanction.at,
            sanction.by,
            sanction.reason,
            sanction.final,
            sanction.by_address,
            sanction.addresses,
        )
    )


def pack_setting(value: Any) -> bytes:
    """A setting's record."""
    return _pack(value)


def pack_act(act: Act) -> bytes:
    """A line of the record of what was done."""
    return _pack(act)


def unpack_act(data: bytes, number: int) -> Act:
    """The line of this number. Raises `Unreadable`."""
    try:
        return replace(_act(data), number=number)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Unreadable(str(error)) from None


def unpack(name: str, data: bytes) -> Sanction:
    """The sanction that is kept under the name. Raises `Unreadable`."""
    kind = _KINDS.get(name[:1])
    if kind is None or name[1:2] != ":":
        raise Unreadable(f"{name[:20]!r} names nothing")
    try:
        found = _decided(data)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Unreadable(str(error)) from None
    return Sanction(
        kind,
        name[2:],
        found.until,
        found.at,
        found.by,
        found.reason,
        found.final,
        found.by_address,
        found.addresses,
    )


def learned(sanction: Sanction, addresses: Iterable[str]) -> Sanction:
    """The ban, for these addresses too."""
    known = dict.fromkeys((*sanction.addresses, *addresses))
    return replace(sanction, addresses=tuple(known)[:ADDRESSES])


class Rules:
    """What is in force in a room, as far as is known. Empty, it is false."""

    __slots__ = ("_by_address", "_by_kind", "settings")

    def __init__(self, records: Mapping[str, bytes] | None = None) -> None:
        """`records`: what a store keeps, by name. Raises `Unreadable`."""
        self.settings = RoomSettings()
        self._by_kind: dict[str, dict[str, Sanction]] = {}
        self._by_address: dict[str, dict[str, None]] = {}  # whom an address is banned with
        for name, data in (records or {}).items():
            self.put(name, data)

    def __bool__(self) -> bool:
        return bool(self._by_kind) or self.settings != _NO_SETTINGS

    def __iter__(self) -> Iterator[Sanction]:
        for some in self._by_kind.values():
            yield from some.values()

    def __len__(self) -> int:
        """Sanctions, those too that are over."""
        return sum(map(len, self._by_kind.values()))

    def names(self) -> Iterator[str]:
        """Of the records."""
        for sanction in self:
            yield name_of(sanction.kind, sanction.user)
        for name, value in msgspec.structs.asdict(self.settings).items():
            if value is not None:
                yield name_of_setting(name)

    # -- asking -----------------------------------------------------------------------------------

    def find(self, kind: SanctionKind, user_id: str, now: float) -> Sanction | None:
        """The sanction of this kind that is in force for the user."""
        found = self._by_kind.get(kind)
        if found is None:
            return None
        sanction = found.get(user_id)
        return sanction if sanction is not None and sanction.until > now else None

    def bans_of(self, user_id: str, address: str | None, now: float) -> Iterator[Sanction]:
        """The bans for a user who comes from an address."""
        own = self.find("ban", user_id, now)
        if own is not None:
            yield own
        for other in self._by_address.get(address or "", ()):
            ban = self.find("ban", other, now)
            if ban is not None and other != user_id:
                yield ban

    def page(self, kind: SanctionKind, now: float, after: str | None, limit: int) -> list[Sanction]:
        """Those of a kind that are in force, by user, at most `limit` behind that user."""
        found = (
            sanction
            for sanction in self._by_kind.get(kind, {}).values()
            if sanction.until > now and (after is None or sanction.user > after)
        )
        return nsmallest(limit, found, key=lambda sanction: sanction.user)

    # -- changing ---------------------------------------------------------------------------------

    def put(self, name: str, data: bytes) -> Sanction | RoomSettings | None:
        """Keep a record: what is in force by it, if that is new. Raises `Unreadable`."""
        if name.startswith(_SETTING):
            try:
                return self._set(name.removeprefix(_SETTING), _setting(data))
            except (msgspec.MsgspecError, UnicodeDecodeError) as error:
                raise Unreadable(str(error)) from None
        sanction = unpack(name, data)
        known = self._by_kind.get(sanction.kind, {}).get(sanction.user)
        if known == sanction:
            return None
        if known is not None:
            self._drop(known)
        self._by_kind.setdefault(sanction.kind, {})[sanction.user] = sanction
        for address in _banned(sanction):
            self._by_address.setdefault(address, {})[sanction.user] = None
        return sanction

    def drop(self, name: str) -> Sanction | RoomSettings | None:
        """Keep a record no longer: the sanction that it was, or the settings that are left, if
        that changes anything."""
        if name.startswith(_SETTING):
            return self._set(name.removeprefix(_SETTING), None)
        kind = _KINDS.get(name[:1])
        known = None if kind is None else self._by_kind.get(kind, {}).get(name[2:])
        if known is not None:
            self._drop(known)
        return known

    def forget(self, now: float) -> None:
        """Drop what is over."""
        for sanction in [sanction for sanction in self if sanction.until <= now]:
            self._drop(sanction)

    def _set(self, name: str, value: Any) -> RoomSettings | None:
        settings = {**msgspec.structs.asdict(self.settings), name: value}
        try:
            changed = msgspec.convert(settings, RoomSettings)
        except msgspec.ValidationError as error:
            raise Unreadable(str(error)) from None
        if changed == self.settings:
            return None
        self.settings = changed
        return changed

    def _drop(self, sanction: Sanction) -> None:
        some = self._by_kind[sanction.kind]
        del some[sanction.user]
        if not some:
            del self._by_kind[sanction.kind]
        for address in _banned(sanction):
            whose = self._by_address[address]
            del whose[sanction.user]
            if not whose:
                del self._by_address[address]


def _banned(sanction: Sanction) -> tuple[str, ...]:
    return sanction.addresses if sanction.kind == "ban" else ()


_NO_SETTINGS: Final = RoomSettings()


def too_many() -> Refusal:
    """There is no space for another sanction."""
    return Refusal(
        "too_many",
        f"{MOST} people are banned or muted here already; lift some of it first",
        limit="sanctions",
    )
