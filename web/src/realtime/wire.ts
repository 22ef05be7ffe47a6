/**
 * What the server says, checked once at the edge: past this module every value has its type.
 * Unknown extra fields are ignored, so that a newer server can talk to an older page.
 */
import { roomCalled, roomFault } from "./entrance";
import type { FoundPage } from "./finder";
import { parsePosition, type Position } from "./position";
import type * as protocol from "./protocol";
import { plainEmoji, plainName, plainTopic } from "./strangers";

export interface User {
  readonly id: string;
  readonly name: string;
}

export interface Message {
  readonly id: string;
  readonly offset: number;
  readonly user: User;
  /** Of one that was deleted it is null. */
  readonly body: unknown;
  readonly at: number;
  /** When, if it ever was. */
  readonly edited?: number;
  readonly deleted?: number;
  readonly reactions?: readonly Reaction[];
  /** The offset or the id of the message that this one answers. */
  readonly replyTo?: number | string;
  /** The ids of whom it names. */
  readonly mentions?: readonly string[];
}

export interface Reaction {
  readonly emoji: string;
  readonly count: number;
  readonly mine: boolean;
}

/** Something was done to the message at the offset `target`. */
export type Operation = { readonly target: number; readonly user: User; readonly at: number } & (
  | { readonly kind: "edit"; readonly body: unknown }
  | { readonly kind: "delete" }
  | { readonly kind: "reaction"; readonly emoji: string; readonly on: boolean; readonly count: number }
);

export interface Refusal {
  readonly code: string;
  readonly message: string;
  readonly temporary: boolean;
  readonly retryAfter: number | null;
}

export interface RoomSettings {
  readonly topic: string;
  /** Seconds between two messages of somebody. */
  readonly slowMode: number;
  /** Only who moderates may write. */
  readonly readOnly: boolean;
}

export const UNSET: RoomSettings = { topic: "", slowMode: 0, readOnly: false };

export type Kind = "ban" | "mute";

/** What was decided about somebody. */
export interface Sanction {
  /** The name is the id. */
  readonly user: User;
  /** Null: for good. */
  readonly until: number | null;
  /** Who decided it: a user's id, or the name of an operator's key. */
  readonly by: string;
  readonly reason: string;
}

export interface Welcome {
  readonly settings: RoomSettings;
  readonly room: string;
  readonly user: User;
  readonly online: number;
  readonly total: number;
  /** The newest of the room's log. */
  readonly position: Position;
  readonly recovered: boolean;
  readonly unread: number;
  /** Everything up to here was read. */
  readonly read: number;
  /** The other user, in a room of two. */
  readonly peer: User | null;
  /** What the user may do here: out of join, read, history, post, moderate. */
  readonly permissions: readonly string[];
}

/** One of the user's rooms. */
export interface Standing {
  readonly room: string;
  readonly unread: number;
  /** The other user, in a room of two. */
  readonly peer: User | null;
  /** How many messages name the user, among the unread ones; as of the welcome. */
  readonly mentions: number;
}

/** A message in one of the user's rooms that names the user. */
export interface Mention {
  /** Rises with each mention. */
  readonly number: number;
  readonly room: string;
  readonly offset: number;
  /** Who wrote it. */
  readonly user: User;
  readonly at: number;
}

/** A room in the directory. */
export interface PublicRoom {
  readonly room: string;
  readonly topic: string;
  /** Null where the room does not tell. */
  readonly online: number | null;
  readonly total: number | null;
}

export interface PresenceDiff {
  readonly online: number;
  readonly total: number;
  readonly joined: readonly User[];
  readonly left: readonly User[];
}

export interface HistoryPage {
  readonly items: readonly Message[];
  readonly more: boolean;
  /** Where there is more: the page has all messages from this offset up. */
  readonly next?: number;
  readonly position: Position;
}

export interface Notice {
  readonly code: string;
  readonly message: string;
}

export interface ServerNotice extends Notice {
  /** Of a farewell: may the page come back by itself? Null: the connection stays. */
  readonly reconnect: boolean | null;
  /** Seconds; null: this is not about a token. */
  readonly expiresIn: number | null;
}

export type Answer<T> = { ok: true; value: T } | { ok: false; error: Refusal };

/** An object that should have the fields of T: each is looked for by its name on the wire, and is still to be checked. */
type Fields<T> = { readonly [Name in keyof T]?: unknown };

function fields<T>(value: unknown): Fields<T> | null {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Fields<T>) : null;
}

function count(value: unknown): number | null {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0 ? value : null;
}

/** Milliseconds since the epoch; a date out of range would throw where it is shown. */
function time(value: unknown): number {
  const at = count(value) ?? 0;
  return at <= 8.64e15 ? at : 0;
}

function text(value: unknown): string | null {
  return typeof value === "string" ? value : null;
}

function list<T>(value: unknown, parse: (item: unknown) => T | null): T[] {
  return Array.isArray(value) ? value.map(parse).filter((item) => item !== null) : [];
}

/** Whoever an event or a list is about: `user` is the id and `name` stands beside it. The name can be shown as it is. */
export function parseUser(value: unknown): User | null {
  const person = fields<protocol.Person>(value);
  const id = text(person?.user);
  return id ? { id, name: plainName(text(person?.name) ?? "") || plainName(id) || "?" } : null;
}

export function parseMessage(value: unknown): Message | null {
  const message = fields<protocol.Message>(value);
  const user = parseUser(value);
  const offset = count(message?.offset);
  const id = text(message?.id);
  if (!message || !user || offset === null || id === null) return null;
  const edited = time(message.edited);
  const deleted = time(message.deleted);
  const reactions = parseReactions(message.reactions, list(message.mine, text));
  const replyTo = count(message.reply_to) ?? text(message.reply_to);
  const mentions = list(message.mentions, text);
  return {
    id,
    offset,
    user,
    body: message.body,
    at: time(message.at),
    ...(edited > 0 && { edited }),
    ...(deleted > 0 && { deleted }),
    ...(reactions.length > 0 && { reactions }),
    ...(replyTo !== null && { replyTo }),
    ...(mentions.length > 0 && { mentions }),
  };
}

function parseReactions(value: unknown, mine: readonly string[]): Reaction[] {
  return Object.entries(fields<Record<string, unknown>>(value) ?? {}).flatMap(([name, number]) => {
    const [emoji, total] = [plainEmoji(name), count(number)];
    return emoji && total ? [{ emoji, count: total, mine: mine.includes(name) }] : [];
  });
}

export function parseOperation(kind: Operation["kind"], value: unknown): Operation | null {
  const done = fields<protocol.Edit & protocol.Reaction>(value);
  const user = parseUser(value);
  const target = count(done?.offset);
  if (!done || !user || target === null) return null;
  const common = { target, user, at: time(done.at) };
  if (kind === "edit") return { ...common, kind, body: done.body };
  if (kind === "delete") return { ...common, kind };
  const emoji = plainEmoji(text(done.emoji) ?? "");
  const total = count(done.count);
  return emoji && total !== null ? { ...common, kind, emoji, on: done.on === true, count: total } : null;
}

export function parseRefusal(value: unknown): Refusal | null {
  const refusal = fields<protocol.RefusalBody>(value);
  const code = text(refusal?.code);
  if (!refusal || !code) return null;
  const retryAfter = refusal.retry_after;
  return {
    code,
    message: text(refusal.message) || code,
    temporary: refusal.temporary === true,
    retryAfter: typeof retryAfter === "number" && retryAfter >= 0 ? retryAfter : null,
  };
}

export function parseWelcome(value: unknown): Welcome | null {
  const welcome = fields<protocol.Welcome>(value);
  const user = parseUser(value);
  const position = parsePosition(welcome?.position);
  if (!welcome || !user || !position || !Array.isArray(welcome.permissions)) return null;
  return {
    room: text(welcome.room) ?? "",
    user,
    online: count(welcome.online) ?? 0,
    total: count(welcome.total) ?? 0,
    position,
    recovered: welcome.recovered === true,
    unread: count(welcome.unread) ?? 0,
    read: count(welcome.read) ?? position.offset,
    peer: parseUser(welcome.peer),
    settings: parseSettings(value) ?? UNSET,
    permissions: list(welcome.permissions, text),
  };
}

export function parseSettings(value: unknown): RoomSettings | null {
  const settings = fields<protocol.RoomSettings>(value);
  const topic = text(settings?.topic);
  if (!settings || topic === null) return null;
  const pause = settings.slow_mode;
  const slowMode = typeof pause === "number" && pause > 0 ? pause : 0;
  return { topic: plainTopic(topic), slowMode, readOnly: settings.read_only === true };
}

export function parseStanding(value: unknown): Standing | null {
  const standing = fields<protocol.RoomState>(value);
  const room = text(standing?.room);
  if (!standing || !room) return null;
  const [unread, mentions] = [count(standing.unread) ?? 0, count(standing.mentions) ?? 0];
  return { room: roomCalled(room), unread, peer: parseUser(standing.peer), mentions };
}

export function parseMyRooms(value: unknown): Standing[] | null {
  const welcome = fields<protocol.SessionWelcome>(value);
  return welcome && Array.isArray(welcome.rooms) ? list(welcome.rooms, parseStanding) : null;
}

export function parseRoomLeft(value: unknown): string | null {
  const room = text(fields<protocol.RoomLeft>(value)?.room);
  return room === null ? null : roomCalled(room);
}

export function parseMention(value: unknown): Mention | null {
  const mention = fields<protocol.Mention>(value);
  const user = parseUser(value);
  const [number, offset, room] = [count(mention?.number), count(mention?.offset), text(mention?.room)];
  if (!mention || !user || number === null || offset === null || !room) return null;
  return { number, room: roomCalled(room), offset, user, at: time(mention.at) };
}

export function parsePresence(value: unknown): PresenceDiff | null {
  const diff = fields<protocol.Presence>(value);
  const online = count(diff?.online);
  if (!diff || online === null) return null;
  return {
    online,
    total: count(diff.total) ?? online,
    joined: list(diff.joined, parseUser),
    left: list(diff.left, parseUser),
  };
}

export function parseGap(value: unknown): { from: number; to: number } | null {
  const gap = fields<protocol.Gap>(value);
  const from = count(gap?.from);
  const to = count(gap?.to);
  return from !== null && to !== null && from <= to ? { from, to } : null;
}

export function parseTyping(value: unknown): { user: User; on: boolean } | null {
  const typing = fields<protocol.Typing>(value);
  const user = parseUser(value);
  return user ? { user, on: typing?.on === true } : null;
}

export function parseRead(value: unknown): { user: User; offset: number } | null {
  const read = fields<protocol.Read>(value);
  const user = parseUser(value);
  const offset = count(read?.offset);
  return user && offset !== null ? { user, offset } : null;
}

export function parseNotice(value: unknown): ServerNotice | null {
  const notice = fields<protocol.Notice>(value);
  const code = text(notice?.code);
  if (!notice || !code) return null;
  const { reconnect, expires_in: expiresIn } = notice;
  return {
    code,
    message: text(notice.message) || code,
    reconnect: typeof reconnect === "boolean" ? reconnect : null,
    expiresIn: typeof expiresIn === "number" && expiresIn >= 0 ? expiresIn : null,
  };
}

/** `null` means the answer is not one: the outcome is unknown. */
function parseAnswer<A, T>(value: unknown, parse: (answer: Fields<A>) => T | null): Answer<T> | null {
  const answer = fields<protocol.Refused>(value);
  if (answer?.ok === false) {
    const error = parseRefusal(answer.error);
    return error && { ok: false, error };
  }
  if (!answer || answer.ok !== true) return null;
  const parsed = parse(answer as Fields<A>);
  return parsed && { ok: true, value: parsed };
}

export function parseSent(value: unknown): Answer<{ offset: number; at: number }> | null {
  return parseAnswer<protocol.Published, { offset: number; at: number }>(value, (answer) => {
    const offset = count(answer.offset);
    return offset === null ? null : { offset, at: time(answer.at) };
  });
}

export function parseHistory(value: unknown): Answer<HistoryPage> | null {
  return parseAnswer<protocol.HistoryPage, HistoryPage>(value, ({ items, more, next, position: place }) => {
    const position = parsePosition(place);
    if (!position || !Array.isArray(items)) return null;
    const from = count(next);
    return { items: list(items, parseMessage), more: more === true, ...(from !== null && { next: from }), position };
  });
}

export function parseMembers(value: unknown): Answer<{ online: User[]; total: number }> | null {
  return parseAnswer<protocol.Members, { online: User[]; total: number }>(value, (answer) =>
    Array.isArray(answer.online)
      ? { online: list(answer.online, parseUser), total: count(answer.total) ?? answer.online.length }
      : null,
  );
}

export function parseMentions(value: unknown): Answer<Mention[]> | null {
  return parseAnswer<protocol.Mentions, Mention[]>(value, ({ mentions }) =>
    Array.isArray(mentions) ? list(mentions, parseMention) : null,
  );
}

export function parseDirectory(value: unknown): Answer<FoundPage<PublicRoom, string>> | null {
  return parseAnswer<protocol.Directory, FoundPage<PublicRoom, string>>(value, ({ rooms, next }) =>
    Array.isArray(rooms) ? { items: list(rooms, parsePublicRoom), next: text(next) } : null,
  );
}

export function parseSearch(value: unknown): Answer<FoundPage<Message, number>> | null {
  return parseAnswer<protocol.SearchPage, FoundPage<Message, number>>(value, ({ items, next, complete }) =>
    Array.isArray(items) ? { items: list(items, parseMessage), next: count(next), partial: complete === false } : null,
  );
}

export function parseBans(value: unknown): Answer<FoundPage<Sanction, string>> | null {
  return parseAnswer<protocol.Bans, FoundPage<Sanction, string>>(value, ({ items, next }) =>
    Array.isArray(items) ? { items: list(items, parseSanction), next: text(next) } : null,
  );
}

function parseSanction(value: unknown): Sanction | null {
  const sanction = fields<protocol.Sanction>(value);
  const user = parseUser(value);
  const until = count(sanction?.until);
  if (!sanction || !user || (until === null && sanction.until !== null)) return null;
  const by = plainName(text(sanction.by) ?? "") || "?";
  return { user, until: until === null ? null : time(until), by, reason: plainTopic(text(sanction.reason) ?? "") };
}

function parsePublicRoom(value: unknown): PublicRoom | null {
  const entry = fields<protocol.DirectoryEntry>(value);
  const room = text(entry?.room);
  // What it is called is also where it is: a name that shows as another leads nowhere.
  if (!entry || !room || room.startsWith("@") || roomFault(room) !== null) return null;
  return { room, topic: plainTopic(text(entry.topic) ?? ""), online: count(entry.online), total: count(entry.total) };
}

/** Everybody who belongs to the room, here or not. */
export function parseEverybody(value: unknown): Answer<User[]> | null {
  return parseAnswer<protocol.Members, User[]>(value, ({ members }) => (Array.isArray(members) ? list(members, parseUser) : null));
}

export function parseDone(value: unknown): Answer<true> | null {
  return parseAnswer<protocol.Done, true>(value, () => true as const);
}
