"""The events that there are, each with its types: a table for clients' and one for the server's.

Names and shapes only; who may send what, and when something is told, is decided elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final, NamedTuple

from sioserver.protocol import answers, events, requests, shapes


class Place(StrEnum):
    """Where an event is at home."""

    ROOM = "room"
    SESSION = "session"


class ClientEvent(NamedTuple):
    """An event that a client may send. It is always answered, if an ack is asked for."""

    summary: str
    arguments: tuple[Any, ...]
    """Types of the arguments, in order."""
    answer: type[shapes.Shape]
    """Of what was not refused; everything may be answered with `Refused`."""
    least: int = 0
    """Arguments that have to be there."""


class ServerEvent(NamedTuple):
    """An event that the server sends."""

    summary: str
    payload: type[shapes.Shape]
    durable: bool = False
    """Then the position after it is the last argument."""


ROOM, SESSION = Place.ROOM, Place.SESSION

CLIENT_EVENTS: Final[Mapping[tuple[Place, str], ClientEvent]] = {
    (ROOM, "message"): ClientEvent(
        "Post a message.", (shapes.Body, requests.MessageOptions), answers.Published, least=1
    ),
    (ROOM, "edit"): ClientEvent(
        "Change what a message says.", (requests.EditOptions,), answers.Operated, least=1
    ),
    (ROOM, "delete"): ClientEvent(
        "Take a message's body away.", (requests.DeleteOptions,), answers.Operated, least=1
    ),
    (ROOM, "react"): ClientEvent(
        "React to a message, or no longer.", (requests.ReactOptions,), answers.Operated, least=1
    ),
    (ROOM, "history"): ClientEvent("Read back.", (requests.HistoryOptions,), answers.HistoryPage),
    (ROOM, "search"): ClientEvent(
        "Which messages say this?", (requests.SearchOptions,), answers.SearchPage, least=1
    ),
    (ROOM, "members"): ClientEvent("Who is here?", (requests.MembersOptions,), answers.Members),
    (ROOM, "read"): ClientEvent(
        "I have read up to here.", (shapes.Offset,), answers.Unread, least=1
    ),
    (ROOM, "typing"): ClientEvent("I am typing, or no longer.", (bool,), shapes.Done, least=1),
    (ROOM, "status"): ClientEvent(
        "I am away, or here again.", (requests.StatusOptions,), answers.Status, least=1
    ),
    (ROOM, "auth"): ClientEvent(
        "A fresh token.", (requests.TokenOptions,), answers.Refreshed, least=1
    ),
    (ROOM, "leave"): ClientEvent("Leave the room for good.", (), shapes.Done),
    (ROOM, "kick"): ClientEvent(
        "End a user's clients.", (requests.KickOptions,), shapes.Done, least=1
    ),
    (ROOM, "mute"): ClientEvent(
        "Keep a user quiet.", (requests.MuteOptions,), answers.Decided, least=1
    ),
    (ROOM, "unmute"): ClientEvent("End a mute.", (requests.UserOptions,), shapes.Done, least=1),
    (ROOM, "ban"): ClientEvent(
        "Keep a user out.", (requests.BanOptions,), answers.Decided, least=1
    ),
    (ROOM, "unban"): ClientEvent("End a ban.", (requests.UserOptions,), shapes.Done, least=1),
    (ROOM, "bans"): ClientEvent("Who is banned, or muted?", (requests.BansOptions,), answers.Bans),
    (ROOM, "settings"): ClientEvent(
        "Set the room up.", (requests.SettingsOptions,), answers.Settings
    ),
    (ROOM, "moderation_log"): ClientEvent(
        "What have moderators done?", (requests.LogOptions,), answers.ModerationLog
    ),
    (SESSION, "rooms"): ClientEvent("Which rooms am I a member of?", (), answers.Rooms),
    (SESSION, "status"): ClientEvent(
        "I am away, or here again, in all rooms of the connection.",
        (requests.StatusOptions,),
        answers.Status,
        least=1,
    ),
    (SESSION, "mentions"): ClientEvent(
        "Who mentions me?", (requests.MentionsOptions,), answers.Mentions
    ),
    (SESSION, "directory"): ClientEvent(
        "Which public rooms are there?", (requests.DirectoryOptions,), answers.Directory
    ),
    (SESSION, "auth"): ClientEvent(
        "A fresh token, for all rooms of the connection.",
        (requests.TokenOptions,),
        answers.Refreshed,
        least=1,
    ),
}
"""By place and name."""

SERVER_EVENTS: Final[Mapping[tuple[Place, str], ServerEvent]] = {
    (ROOM, "welcome"): ServerEvent("The first after every connect.", events.Welcome, durable=True),
    (ROOM, "message"): ServerEvent("A message was posted.", shapes.Message, durable=True),
    (ROOM, "edit"): ServerEvent("A message says something else.", events.Edit, durable=True),
    (ROOM, "delete"): ServerEvent("A message was deleted.", events.Delete, durable=True),
    (ROOM, "reaction"): ServerEvent("Somebody reacts to a message.", events.Reaction, durable=True),
    (ROOM, "gap"): ServerEvent("Something could not be recovered.", events.Gap, durable=True),
    (ROOM, "presence"): ServerEvent("Who came, who left, who is away or back.", events.Presence),
    (ROOM, "typing"): ServerEvent("Somebody types.", events.Typing),
    (ROOM, "read"): ServerEvent("Somebody has read.", events.Read),
    (ROOM, "room"): ServerEvent("The room is set to this now.", shapes.RoomSettings),
    (ROOM, "notice"): ServerEvent("About the connection itself.", events.Notice),
    (SESSION, "welcome"): ServerEvent("The first after every connect.", events.SessionWelcome),
    (SESSION, "unread"): ServerEvent("How much is unread in a room.", shapes.RoomState),
    (SESSION, "mention"): ServerEvent("A message names the user.", shapes.Mention),
    (SESSION, "room_joined"): ServerEvent("The user became a member of a room.", shapes.RoomState),
    (SESSION, "room_left"): ServerEvent("The user left a room for good.", events.RoomLeft),
    (SESSION, "notice"): ServerEvent("About the connection itself.", events.Notice),
}
"""By place and name."""
