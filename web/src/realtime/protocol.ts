/**
 * What is on the wire, as the server's registry of events has it. Generated; tests/test_docs.py
 * says when it is stale, and how it is made anew.
 */

/** With a message. */
export interface MessageOptions {
  /** Makes it harmless to send the message again. */
  readonly id?: string;
  /** The offset or the id of the message it answers. */
  readonly reply_to?: number | string;
  /** Whose sessions are told, if they are members. */
  readonly mentions?: readonly string[];
}

/** The message is stored. */
export interface Published {
  readonly ok: true;
  /** The client's own, or one that the server made. */
  readonly id: string;
  /** A place in a room's log. */
  readonly offset: number;
  /** Since 1970-01-01T00:00:00Z. */
  readonly at: number;
}

/** Which message, by its id, its offset or both, and what it says from now on. */
export interface EditOptions {
  /** A text, any JSON, binary, or JSON with binary in it. */
  readonly body: unknown;
  /** The client's own, or one that the server made. */
  readonly id?: string;
  /** A message's place. */
  readonly offset?: number;
}

/** It was done to the message. */
export interface Operated {
  readonly ok: true;
  /** The message's. */
  readonly id: string;
  /** The place in the log of what was done. */
  readonly offset: number;
  /** The message's. */
  readonly target: number;
  /** Since 1970-01-01T00:00:00Z. */
  readonly at: number;
}

/** Which message, by its id, its offset or both. */
export interface DeleteOptions {
  /** The client's own, or one that the server made. */
  readonly id?: string;
  /** A message's place. */
  readonly offset?: number;
}

/** To which message, by its id, its offset or both, and how. */
export interface ReactOptions {
  readonly emoji: string;
  /** false: no longer. */
  readonly on?: boolean;
  /** The client's own, or one that the server made. */
  readonly id?: string;
  /** A message's place. */
  readonly offset?: number;
}

/** Which messages: `after < offset < before`, or the newest. */
export interface HistoryOptions {
  /** A place in a room's log. */
  readonly before?: number;
  /** A place in a room's log. */
  readonly after?: number;
  readonly limit?: number;
  /** Also what was done to messages. */
  readonly operations?: boolean;
}

/** A page of a room's log, ascending. */
export interface HistoryPage {
  readonly ok: true;
  readonly items: readonly Message[];
  /** The log goes on in the direction of reading. */
  readonly more: boolean;
  /** The newest of the log. */
  readonly position: string;
  /** The `after` or `before` with which to read on. */
  readonly next?: number;
  /** If they were asked for. */
  readonly operations?: readonly Operation[];
}

/** A message, live, recovered or in a page of history. */
export interface Message {
  /** The client's own, or one that the server made. */
  readonly id: string;
  /** A place in a room's log. */
  readonly offset: number;
  /** Unique among all users. */
  readonly user: string;
  /** What others read; need not be unique. */
  readonly name: string;
  /** A text, any JSON, binary, or JSON with binary in it. */
  readonly body: unknown;
  /** Since 1970-01-01T00:00:00Z. */
  readonly at: number;
  /** The offset or the id of the message it answers. */
  readonly reply_to?: number | string;
  readonly mentions?: readonly string[];
  /** When it was edited last. */
  readonly edited?: number;
  /** When it was deleted; the body is null. */
  readonly deleted?: number;
  /** How many users have reacted how. */
  readonly reactions?: Readonly<Record<string, number>>;
  /** One's own reactions. */
  readonly mine?: readonly string[];
}

/** What was done to a message, in a page of history: the payload of its event, and more. */
export interface Operation {
  readonly event: "delete" | "edit" | "reaction";
  /** Its own place in the log. */
  readonly entry: number;
  /** The message's. */
  readonly id: string;
  /** The message's. */
  readonly offset: number;
  /** Unique among all users. */
  readonly user: string;
  /** What others read; need not be unique. */
  readonly name: string;
  /** Since 1970-01-01T00:00:00Z. */
  readonly at: number;
  /** Of an edit. */
  readonly body?: unknown;
  readonly emoji?: string;
  readonly on?: boolean;
  readonly count?: number;
}

/** What to look for: the newest messages with `offset < before`. */
export interface SearchOptions {
  /** Words and "phrases", at most 8; all have to occur. */
  readonly query: string;
  /** A place in a room's log. */
  readonly before?: number;
  readonly limit?: number;
}

/** Messages that were found, newest first. */
export interface SearchPage {
  readonly ok: true;
  readonly items: readonly Message[];
  /** false: the search ended because it had looked at so much. */
  readonly complete: boolean;
  /** What was found from here on is in `items`, all of it. */
  readonly searched_to: number;
  /** The `before` with which to search on. */
  readonly next?: number;
}

/** Who is asked for. */
export interface MembersOptions {
  /** Also members who are away. */
  readonly all?: boolean;
}

/** Who is in a room. */
export interface Members {
  readonly ok: true;
  readonly online: readonly Present[];
  readonly total: number;
  readonly members?: readonly Member[];
}

/** Somebody who is in a room. */
export interface Present {
  /** Unique among all users. */
  readonly user: string;
  /** What others read; need not be unique. */
  readonly name: string;
  readonly state: "away" | "online";
}

/** Somebody who belongs to a room. */
export interface Member {
  /** Unique among all users. */
  readonly user: string;
  /** What others read; need not be unique. */
  readonly name: string;
  readonly state: "away" | "offline" | "online";
  /** When they were here last, in whatever room. */
  readonly seen?: number;
}

/** How many messages are unread now. */
export interface Unread {
  readonly ok: true;
  readonly unread: number;
}

/** It was done. */
export interface Done {
  readonly ok: true;
}

/** Whether this device is used. */
export interface StatusOptions {
  readonly state: "away" | "online";
}

/** The device is taken for this. */
export interface Status {
  readonly ok: true;
  readonly state: "away" | "online";
}

/** A fresh token. */
export interface TokenOptions {
  readonly token: string;
}

/** The token counts from now on. */
export interface Refreshed {
  readonly ok: true;
  readonly expires_at: number | null;
}

/** Whom to put out. */
export interface KickOptions {
  /** A user's id. */
  readonly user: string;
  readonly reason?: string;
}

/** Whom to keep quiet, and how long. */
export interface MuteOptions {
  /** A user's id. */
  readonly user: string;
  readonly seconds: number;
  readonly reason?: string;
}

/** It holds from now on. */
export interface Decided {
  /** Unique among all users. */
  readonly user: string;
  /** null: for good. */
  readonly until: number | null;
  /** Who decided it: a user, or a key of the operator. */
  readonly by: string;
  readonly reason: string;
  /** Since 1970-01-01T00:00:00Z. */
  readonly at: number;
  /** It holds for the user's addresses, too. */
  readonly address: boolean;
  readonly ok: true;
}

/** Whose ban or mute ends. */
export interface UserOptions {
  /** A user's id. */
  readonly user: string;
}

/** Whom to keep out. */
export interface BanOptions {
  /** A user's id. */
  readonly user: string;
  /** 0, or left out: for good. */
  readonly seconds?: number;
  readonly reason?: string;
  /** And whoever comes from where they are connected from. */
  readonly address?: boolean;
}

/** Which sanctions. */
export interface BansOptions {
  readonly kind?: "ban" | "mute";
  /** `next` of the page before. */
  readonly after?: string;
  /** At most so many. */
  readonly limit?: number;
}

/** A page of the bans or mutes in force, by user. */
export interface Bans {
  readonly ok: true;
  readonly items: readonly Sanction[];
  /** `after` of the next page. */
  readonly next?: string;
}

/** A ban or a mute. */
export interface Sanction {
  /** Unique among all users. */
  readonly user: string;
  /** null: for good. */
  readonly until: number | null;
  /** Who decided it: a user, or a key of the operator. */
  readonly by: string;
  readonly reason: string;
  /** Since 1970-01-01T00:00:00Z. */
  readonly at: number;
  /** It holds for the user's addresses, too. */
  readonly address: boolean;
}

/** What a room is set to; null: what the configuration says. */
export interface SettingsOptions {
  readonly topic?: string | null;
  readonly slow_mode?: number | null;
  readonly read_only?: boolean | null;
}

/** What the room is set to now. */
export interface Settings {
  readonly topic: string;
  /** Between two messages of a user. */
  readonly slow_mode: number;
  /** Only who may moderate may post. */
  readonly read_only: boolean;
  readonly ok: true;
}

/** Which lines of the record: with a smaller number, or the newest. */
export interface LogOptions {
  /** A place in a room's log. */
  readonly before?: number;
  /** At most so many. */
  readonly limit?: number;
}

/** What was done, newest first. */
export interface ModerationLog {
  readonly ok: true;
  readonly items: readonly Act[];
  readonly more: boolean;
}

/** A line of the record. */
export interface Act {
  readonly number: number;
  readonly what: "ban" | "kick" | "mute" | "settings" | "unban" | "unmute";
  readonly by: string;
  /** Since 1970-01-01T00:00:00Z. */
  readonly at: number;
  /** Unique among all users. */
  readonly user?: string;
  readonly until?: number | null;
  readonly reason?: string;
  readonly settings?: SettingsOptions;
}

/** The rooms of a user. */
export interface Rooms {
  readonly ok: true;
  readonly rooms: readonly RoomState[];
}

/** One of the rooms that a user is a member of. */
export interface RoomState {
  /** A room's name, as in its namespace. */
  readonly room: string;
  readonly unread: number;
  /** The newest of the room's log. */
  readonly last: number;
  /** There are too many: it is not kept up to date. */
  readonly live?: false;
  /** The other user, in a room of two. */
  readonly peer?: Person;
  /** Of the user, in what is unread. */
  readonly mentions?: number;
}

/** A user as others see them. */
export interface Person {
  /** Unique among all users. */
  readonly user: string;
  /** What others read; need not be unique. */
  readonly name: string;
}

/** Which mentions. */
export interface MentionsOptions {
  /** The number of the last that is known. */
  readonly after?: number;
}

/** The newest mentions of a user, ascending. */
export interface Mentions {
  readonly ok: true;
  readonly mentions: readonly Mention[];
}

/** A message that names the user. */
export interface Mention {
  /** Rises with each mention of the user, with holes. */
  readonly number: number;
  /** A room's name, as in its namespace. */
  readonly room: string;
  /** The client's own, or one that the server made. */
  readonly id: string;
  /** A place in a room's log. */
  readonly offset: number;
  /** Unique among all users. */
  readonly user: string;
  /** What others read; need not be unique. */
  readonly name: string;
  /** Since 1970-01-01T00:00:00Z. */
  readonly at: number;
}

/** Which public rooms. */
export interface DirectoryOptions {
  /** Words and "phrases" of the name or the topic. */
  readonly query?: string;
  /** `next` of the page before. */
  readonly after?: string;
  readonly limit?: number;
}

/** Public rooms, those first where the most are online, then by name. */
export interface Directory {
  readonly ok: true;
  readonly rooms: readonly DirectoryEntry[];
  /** `after` of the next page. */
  readonly next?: string;
}

/** A public room that the asker may join. */
export interface DirectoryEntry {
  /** A room's name, as in its namespace. */
  readonly room: string;
  readonly topic: string;
  /** Left out where the room does not tell. */
  readonly online?: number;
  readonly total?: number;
}

/** The answer to a request that was refused. */
export interface Refused {
  readonly ok: false;
  readonly error: RefusalBody;
}

/** Why a request was refused. */
export interface RefusalBody {
  readonly code: string;
  readonly message: string;
  /** Worth sending again. */
  readonly temporary: boolean;
  readonly retry_after?: number;
}

/** The first event after every connect. */
export interface Welcome {
  readonly topic: string;
  /** Between two messages of a user. */
  readonly slow_mode: number;
  /** Only who may moderate may post. */
  readonly read_only: boolean;
  /** A room's name, as in its namespace. */
  readonly room: string;
  /** Unique among all users. */
  readonly user: string;
  /** What others read; need not be unique. */
  readonly name: string;
  readonly online: number;
  readonly total: number;
  /** The newest of the room's log. */
  readonly position: string;
  /** Nothing is missing, and the session is the old. */
  readonly recovered: boolean;
  readonly unread: number;
  /** Everything up to here was read. */
  readonly read: number;
  readonly permissions: readonly ("history" | "join" | "moderate" | "post" | "read")[];
  /** What this device is taken for. */
  readonly state: "away" | "online";
  /** The other user, in a room of two. */
  readonly peer?: Person;
}

/** A message says something else now. */
export interface Edit {
  /** The message's. */
  readonly id: string;
  /** The message's. */
  readonly offset: number;
  /** Unique among all users. */
  readonly user: string;
  /** What others read; need not be unique. */
  readonly name: string;
  /** Since 1970-01-01T00:00:00Z. */
  readonly at: number;
  /** As of a message; null when it was deleted since. */
  readonly body: unknown;
}

/** A message has no body any more. */
export interface Delete {
  /** The message's. */
  readonly id: string;
  /** The message's. */
  readonly offset: number;
  /** Unique among all users. */
  readonly user: string;
  /** What others read; need not be unique. */
  readonly name: string;
  /** Since 1970-01-01T00:00:00Z. */
  readonly at: number;
}

/** A user has reacted to a message, or has taken that back. */
export interface Reaction {
  /** The message's. */
  readonly id: string;
  /** The message's. */
  readonly offset: number;
  /** Unique among all users. */
  readonly user: string;
  /** What others read; need not be unique. */
  readonly name: string;
  /** Since 1970-01-01T00:00:00Z. */
  readonly at: number;
  readonly emoji: string;
  readonly on: boolean;
  /** Users who have this emoji on the message now. */
  readonly count: number;
}

/** These messages were not delivered. */
export interface Gap {
  /** A place in a room's log. */
  readonly from: number;
  /** A place in a room's log. */
  readonly to: number;
}

/** Who came and who left, since the last. */
export interface Presence {
  readonly online: number;
  readonly total: number;
  readonly joined: readonly Person[];
  readonly left: readonly Person[];
  /** Who uses no device now. */
  readonly away?: readonly Person[];
  /** Who was away. */
  readonly back?: readonly Person[];
}

/** Somebody began or stopped typing. */
export interface Typing {
  /** Unique among all users. */
  readonly user: string;
  /** What others read; need not be unique. */
  readonly name: string;
  readonly on: boolean;
}

/** Somebody has read up to an offset. */
export interface Read {
  /** Unique among all users. */
  readonly user: string;
  /** What others read; need not be unique. */
  readonly name: string;
  /** A place in a room's log. */
  readonly offset: number;
}

/** What a room is set to. */
export interface RoomSettings {
  readonly topic: string;
  /** Between two messages of a user. */
  readonly slow_mode: number;
  /** Only who may moderate may post. */
  readonly read_only: boolean;
}

/** Something about the client's own connection. */
export interface Notice {
  readonly code: string;
  readonly message: string;
  /** The name of the event that was refused. */
  readonly event?: unknown;
  readonly expires_in?: number;
  /** Of a mute. */
  readonly retry_after?: number;
  /** Of a disconnect. */
  readonly number?: number;
  /** May it come back by itself? */
  readonly reconnect?: boolean;
}

/** The first event of the session room. */
export interface SessionWelcome {
  /** Unique among all users. */
  readonly user: string;
  /** What others read; need not be unique. */
  readonly name: string;
  readonly rooms: readonly RoomState[];
}

/** The user is a member of this room no longer. */
export interface RoomLeft {
  /** A room's name, as in its namespace. */
  readonly room: string;
}

/** What may be asked for: the arguments, and the answer to what was not refused. */
export interface RoomRequests {
  /** Post a message. */
  message: { arguments: [unknown, MessageOptions?]; answer: Published };
  /** Change what a message says. */
  edit: { arguments: [EditOptions]; answer: Operated };
  /** Take a message's body away. */
  delete: { arguments: [DeleteOptions]; answer: Operated };
  /** React to a message, or no longer. */
  react: { arguments: [ReactOptions]; answer: Operated };
  /** Read back. */
  history: { arguments: [HistoryOptions?]; answer: HistoryPage };
  /** Which messages say this? */
  search: { arguments: [SearchOptions]; answer: SearchPage };
  /** Who is here? */
  members: { arguments: [MembersOptions?]; answer: Members };
  /** I have read up to here. */
  read: { arguments: [number]; answer: Unread };
  /** I am typing, or no longer. */
  typing: { arguments: [boolean]; answer: Done };
  /** I am away, or here again. */
  status: { arguments: [StatusOptions]; answer: Status };
  /** A fresh token. */
  auth: { arguments: [TokenOptions]; answer: Refreshed };
  /** Leave the room for good. */
  leave: { arguments: []; answer: Done };
  /** End a user's clients. */
  kick: { arguments: [KickOptions]; answer: Done };
  /** Keep a user quiet. */
  mute: { arguments: [MuteOptions]; answer: Decided };
  /** End a mute. */
  unmute: { arguments: [UserOptions]; answer: Done };
  /** Keep a user out. */
  ban: { arguments: [BanOptions]; answer: Decided };
  /** End a ban. */
  unban: { arguments: [UserOptions]; answer: Done };
  /** Who is banned, or muted? */
  bans: { arguments: [BansOptions?]; answer: Bans };
  /** Set the room up. */
  settings: { arguments: [SettingsOptions?]; answer: Settings };
  /** What have moderators done? */
  moderation_log: { arguments: [LogOptions?]; answer: ModerationLog };
}

/** What the server tells. */
export interface RoomEvents {
  /** The first after every connect. */
  welcome: [Welcome, string];
  /** A message was posted. */
  message: [Message, string];
  /** A message says something else. */
  edit: [Edit, string];
  /** A message was deleted. */
  delete: [Delete, string];
  /** Somebody reacts to a message. */
  reaction: [Reaction, string];
  /** Something could not be recovered. */
  gap: [Gap, string];
  /** Who came, who left, who is away or back. */
  presence: [Presence];
  /** Somebody types. */
  typing: [Typing];
  /** Somebody has read. */
  read: [Read];
  /** The room is set to this now. */
  room: [RoomSettings];
  /** About the connection itself. */
  notice: [Notice];
}

/** What may be asked for: the arguments, and the answer to what was not refused. */
export interface SessionRequests {
  /** Which rooms am I a member of? */
  rooms: { arguments: []; answer: Rooms };
  /** I am away, or here again, in all rooms of the connection. */
  status: { arguments: [StatusOptions]; answer: Status };
  /** Who mentions me? */
  mentions: { arguments: [MentionsOptions?]; answer: Mentions };
  /** Which public rooms are there? */
  directory: { arguments: [DirectoryOptions?]; answer: Directory };
  /** A fresh token, for all rooms of the connection. */
  auth: { arguments: [TokenOptions]; answer: Refreshed };
}

/** What the server tells. */
export interface SessionEvents {
  /** The first after every connect. */
  welcome: [SessionWelcome];
  /** How much is unread in a room. */
  unread: [RoomState];
  /** A message names the user. */
  mention: [Mention];
  /** The user became a member of a room. */
  room_joined: [RoomState];
  /** The user left a room for good. */
  room_left: [RoomLeft];
  /** About the connection itself. */
  notice: [Notice];
}
