"""The events that there are, each with its types: a table for clients' and one for the server's.

Names and shapes only; who may send what, and when something is told, is decided elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final, NamedTuple

from sioserver.protocol import shapes as s


class Place(StrEnum):
    """Where an event is at home."""

    ROOM = "room"
    SESSION = "session"


class ClientEvent(NamedTuple):
    """An event that a client may send. It is always answered, if an ack is asked for."""

    summary: str
    arguments: tuple[Any, ...]
    """Types of the arguments, in order."""
    answer: type[s.Shape]
    """Of what was not refused; everything may be answered with `Refused`."""
    least: int = 0
    """Arguments that have to be there."""


class ServerEvent(NamedTuple):
    """An event that the server sends."""

    summary: str
    payload: type[s.Shape]
    durable: bool = False
    """Then the position after it is the last argument."""


ROOM, SESSION = Place.ROOM, Place.SESSION

CLIENT_EVENTS: Final[Mapping[tuple[Place, str], ClientEvent]] = {
    (ROOM, "message"): ClientEvent(
        "Post a message.", (s.Body, s.MessageOptions), s.Published, least=1
    ),
    (ROOM, "edit"): ClientEvent(
        "Change what a message says.", (s.EditOptions,), s.Operated, least=1
    ),
    (ROOM, "delete"): ClientEvent(
        "Take a message's body away.", (s.DeleteOptions,), s.Operated, least=1
    ),
    (ROOM, "react"): ClientEvent(
        "React to a message, or no longer.", (s.ReactOptions,), s.Operated, least=1
    ),
    (ROOM, "history"): ClientEvent("Read back.", (s.HistoryOptions,), s.HistoryPage),
    (ROOM, "search"): ClientEvent(
        "Which messages say this?", (s.SearchOptions,), s.SearchPage, least=1
    ),
    (ROOM, "members"): ClientEvent("Who is here?", (s.MembersOptions,), s.Members),
    (ROOM, "read"): ClientEvent("I have read up to here.", (s.Offset,), s.Unread, least=1),
    (ROOM, "typing"): ClientEvent("I am typing, or no longer.", (bool,), s.Done, least=1),
    (ROOM, "status"): ClientEvent(
        "I am away, or here again.", (s.StatusOptions,), s.Status, least=1
    ),
    (ROOM, "auth"): ClientEvent("A fresh token.", (s.TokenOptions,), s.Refreshed, least=1),
    (ROOM, "leave"): ClientEvent("Leave the room for good.", (), s.Done),
    (ROOM, "kick"): ClientEvent("End a user's clients.", (s.KickOptions,), s.Done, least=1),
    (ROOM, "mute"): ClientEvent("Keep a user quiet.", (s.MuteOptions,), s.Decided, least=1),
    (ROOM, "unmute"): ClientEvent("End a mute.", (s.UserOptions,), s.Done, least=1),
    (ROOM, "ban"): ClientEvent("Keep a user out.", (s.BanOptions,), s.Decided, least=1),
    (ROOM, "unban"): ClientEvent("End a ban.", (s.UserOptions,), s.Done, least=1),
    (ROOM, "bans"): ClientEvent("Who is banned, or muted?", (s.BansOptions,), s.Bans),
    (ROOM, "settings"): ClientEvent("Set the room up.", (s.SettingsOptions,), s.Settings),
    (ROOM, "moderation_log"): ClientEvent(
        "What have moderators done?", (s.LogOptions,), s.ModerationLog
    ),
    (SESSION, "rooms"): ClientEvent("Which rooms am I a member of?", (), s.Rooms),
    (SESSION, "status"): ClientEvent(
        "I am away, or here again, in all rooms of the connection.",
        (s.StatusOptions,),
        s.Status,
        least=1,
    ),
    (SESSION, "mentions"): ClientEvent("Who mentions me?", (s.MentionsOptions,), s.Mentions),
    (SESSION, "directory"): ClientEvent(
        "Which public rooms are there?", (s.DirectoryOptions,), s.Directory
    ),
    (SESSION, "auth"): ClientEvent(
        "A fresh token, for all rooms of the connection.", (s.TokenOptions,), s.Refreshed, least=1
    ),
}
"""By place and name."""

SERVER_EVENTS: Final[Mapping[tuple[Place, str], ServerEvent]] = {
    (ROOM, "welcome"): ServerEvent("The first after every connect.", s.Welcome, durable=True),
    (ROOM, "message"): ServerEvent("A message was posted.", s.Message, durable=True),
    (ROOM, "edit"): ServerEvent("A message says something else.", s.Edit, durable=True),
    (ROOM, "delete"): ServerEvent("A message was deleted.", s.Delete, durable=True),
    (ROOM, "reaction"): ServerEvent("Somebody reacts to a message.", s.Reaction, durable=True),
    (ROOM, "gap"): ServerEvent("Something could not be recovered.", s.Gap, durable=True),
    (ROOM, "presence"): ServerEvent("Who came, who left, who is away or back.", s.Presence),
    (ROOM, "typing"): ServerEvent("Somebody types.", s.Typing),
    (ROOM, "read"): ServerEvent("Somebody has read.", s.Read),
    (ROOM, "room"): ServerEvent("The room is set to this now.", s.RoomSettings),
    (ROOM, "notice"): ServerEvent("About the connection itself.", s.Notice),
    (SESSION, "welcome"): ServerEvent("The first after every connect.", s.SessionWelcome),
    (SESSION, "unread"): ServerEvent("How much is unread in a room.", s.RoomState),
    (SESSION, "mention"): ServerEvent("A message names the user.", s.Mention),
    (SESSION, "room_joined"): ServerEvent("The user became a member of a room.", s.RoomState),
    (SESSION, "room_left"): ServerEvent("The user left a room for good.", s.RoomLeft),
    (SESSION, "notice"): ServerEvent("About the connection itself.", s.Notice),
}
"""By place and name."""
