/**
 * A user's stay in one room: takes what the link brings, hands it to the part that knows what to do with it, and tells
 * one listener that something changed.
 */
import { delay } from "./backoff";
import { Changer } from "./changer";
import { initial, reduce, type Connection, type ConnectionEvent } from "./connection";
import { Crowd } from "./crowd";
import { Finder } from "./finder";
import { Historian } from "./historian";
import type { Ask, Link, Request } from "./link";
import { Mentions } from "./mentions";
import { MyRooms } from "./mine";
import { Moderator } from "./moderator";
import { worded } from "./notices";
import { Outbox, type Extras } from "./outbox";
import { parsePosition, type Position } from "./position";
import { Reader } from "./reader";
import { Seeker } from "./seeker";
import { Sender } from "./sender";
import { Timeline } from "./timeline";
import { Typist } from "./typist";
import { drawn, type RoomView, type SessionOptions } from "./view";
import * as wire from "./wire";

const TRIM_ABOVE = 1_200;
const TRIM_TO = 1_000;
/** Their second argument is their place in the log; in any other event a string means nothing. */
const DURABLE = new Set(["welcome", "message", "edit", "delete", "reaction", "gap"]);

export class RoomSession {
  private readonly link: Link;
  private readonly timeline = new Timeline();
  private readonly outbox: Outbox;
  private readonly sender: Sender;
  private readonly historian: Historian;
  private readonly reader: Reader;
  private readonly typist: Typist;
  private readonly crowd: Crowd;
  private readonly changer: Changer;
  private readonly seeker: Seeker;
  readonly moderator: Moderator;
  private readonly mine = new MyRooms();
  private readonly mentions: Mentions;
  /** The public rooms. */
  readonly directory: Finder<wire.PublicRoom, string>;
  /** Messages of the room. */
  readonly search: Finder<wire.Message, number>;
  private readonly now: () => number;
  private readonly random: () => number;
  private connection: Connection = initial;
  private me: wire.User | null = null;
  private peer: wire.User | null = null;
  private settings = wire.UNSET;
  private notice: wire.Notice | null = null;
  private unreadAfter: number | null = null;
  private permissions: ReadonlySet<string> | null = null;
  private cameToReadOnly = false;
  private linkRecovered = false;
  private refusals = 0;
  private reopening: ReturnType<typeof setTimeout> | undefined;

  constructor(private readonly options: SessionOptions) {
    this.now = options.now ?? Date.now;
    this.random = options.random ?? Math.random;
    this.outbox = new Outbox(options.store);
    this.link = options.openLink({
      connected: (recovered) => (this.linkRecovered = recovered),
      lost: () => this.move({ type: "lost" }),
      ended: () => this.ended(),
      refused: (refusal) => this.refused(refusal),
      attempt: (number) => this.move({ type: "attempt", number }),
      transport: (name) => this.move({ type: "transport", name }),
      event: (name, args) => this.take(name, args),
      mine: (name, args) => this.takeMine(name, args[0]),
    });
    const ports = {
      timeline: this.timeline,
      outbox: this.outbox,
      request: ((event, ...args) => this.link.request(event, ...args)) as Request,
      ask: ((event, ...args) => this.link.ask(event, ...args)) as Ask,
      isLive: () => this.connection.state === "live",
      mayLookBack: () => this.may("history"),
      top: () => this.timeline.top,
      now: this.now,
      random: this.random,
      changed: () => this.touch(),
      refused: (refusal: wire.Refusal) => this.tell(refusal),
    };
    this.sender = new Sender(ports);
    this.historian = new Historian(ports);
    this.reader = new Reader(ports);
    this.typist = new Typist(ports);
    this.crowd = new Crowd(ports);
    this.changer = new Changer(ports);
    this.moderator = new Moderator(ports);
    this.mentions = new Mentions(ports);
    const listRooms = (query: string, after: string | null) => ports.ask("directory", { ...(query && { query }), ...(after !== null && { after }) });
    const search = (query: string, before: number | null) => ports.request("search", { query, ...(before !== null && { before }) });
    this.search = new Finder(async (query, before) => wire.parseSearch(await search(query, before)), ports.changed);
    this.directory = new Finder(async (query, after) => wire.parseDirectory(await listRooms(query, after)), ports.changed);
    this.seeker = new Seeker({ ...ports, historian: this.historian });
  }

  view(): RoomView {
    const { connection, me, notice, unreadAfter, timeline, historian, outbox, reader, typist, crowd, mentions, seeker } = this;
    const { room } = this.options;
    const may = { mayPost: this.mayPost(), settings: this.settings, sanctions: this.moderator.sanctions.view, mayLookBack: this.may("history"), mayModerate: this.mayModerate() };
    return drawn({ mine: this.mine.list, directory: this.directory.view, search: this.search.view, peer: this.peer, room, connection, me, notice, unreadAfter, timeline, historian, outbox, reader, typist, crowd, mentions, seeker, ...may });
  }

  open(): void {
    this.notice = null;
    this.move({ type: "open" });
    this.link.open();
  }

  close(): void {
    this.halt();
    this.link.close();
    this.move({ type: "left" });
  }

  /** False: too much is waiting already. */
  post(body: string, extras: Extras = {}): boolean {
    if (!this.outbox.add(this.options.newId(), body, this.now(), extras)) return false;
    this.typist.stopped();
    this.unreadAfter = null;
    this.touch();
    this.sender.pump();
    return true;
  }

  retry(id: string): void {
    this.outbox.retry(id);
    this.touch();
    this.sender.pump();
  }

  discard(id: string): void {
    this.outbox.discard(id);
    this.touch();
    this.sender.pump();
  }

  /** These answer whether it was done; if it was not, a notice says why. */
  edit(offset: number, body: string): Promise<boolean> {
    return this.changer.edit(offset, body);
  }

  remove(offset: number): Promise<boolean> {
    return this.changer.remove(offset);
  }

  react(offset: number, emoji: string, on: boolean): Promise<boolean> {
    return this.changer.react(offset, emoji, on);
  }

  /** The same, for moderators. */
  set(wanted: wire.RoomSettings): Promise<boolean> {
    return this.moderator.set(this.settings, wanted);
  }

  typed(text: string): void {
    if (text.trim()) this.typist.typed();
    else this.typist.stopped();
  }

  /** Go to a message, now or as soon as the room is there. */
  seek(offset: number): void {
    this.seeker.seek(offset);
  }

  /** The user is about to name somebody. */
  meet(): void {
    if (this.connection.state === "live") void this.crowd.meet();
  }

  /** Ask again who has named the user. */
  listMentions(): void {
    void this.mentions.load();
  }

  older(): Promise<boolean> {
    return this.historian.older();
  }

  /** The gap that now ends there. */
  async fill(to: number): Promise<void> {
    const gap = this.timeline.gaps().find((candidate) => candidate.to === to);
    if (gap) await this.historian.fill(gap);
  }

  watching(atEnd: boolean): void {
    this.reader.watch(atEnd);
  }

  dismissNotice(): void {
    this.notice = null;
    this.touch();
  }

  async refresh(token: string): Promise<void> {
    if (this.connection.state !== "live") return;
    const answer = wire.parseDone(await this.link.request("auth", { token }).catch(() => null));
    this.notice = answer?.ok === false ? answer.error : null;
    this.touch();
  }

  private take(name: string, args: readonly unknown[]): void {
    const [value, place] = args;
    const position = parsePosition(place);
    const handlers: Record<string, () => void> = {
      welcome: () => this.with(wire.parseWelcome(value), (welcome) => this.welcomed(welcome)),
      message: () => this.with(wire.parseMessage(value), (message) => this.messageCame(message)),
      edit: () => this.with(wire.parseOperation("edit", value), (done) => this.operated(position, done)),
      delete: () => this.with(wire.parseOperation("delete", value), (done) => this.operated(position, done)),
      reaction: () => this.with(wire.parseOperation("reaction", value), (done) => this.operated(position, done)),
      gap: () => this.with(wire.parseGap(value), (gap) => this.timeline.declareLost(gap)),
      presence: () => this.with(wire.parsePresence(value), (diff) => this.presenceCame(diff)),
      room: () => this.with(wire.parseSettings(value), (settings) => (this.settings = settings)),
      typing: () => this.with(wire.parseTyping(value), ({ user, on }) => this.typist.heard(user, on)),
      read: () => this.with(wire.parseRead(value), ({ user, offset }) => this.readCame(user, offset)),
      notice: () => this.with(wire.parseNotice(value), (notice) => this.noticeCame(notice)),
    };
    const handler = Object.hasOwn(handlers, name) ? handlers[name] : undefined;
    if (!handler) return;
    if (position && DURABLE.has(name) && this.timeline.reach(position)) this.beganAnew();
    handler();
    this.touch();
  }

  private takeMine(name: string, value: unknown): void {
    const changed = [this.mine.take(name, value), this.mentions.take(name, value)];
    if (changed.includes(true)) this.touch();
  }

  /** Before the first welcome nobody knows: the page then looks as it does for most. */
  private may(what: string): boolean {
    return this.permissions?.has(what) ?? true;
  }

  private mayPost(): boolean {
    if (this.settings.readOnly) return this.mayModerate();
    // Who came while the room was read-only was told nothing of what they may do otherwise: the server has the last word.
    return this.may("post") || this.cameToReadOnly;
  }

  private mayModerate(): boolean {
    return this.permissions?.has("moderate") ?? false;
  }

  private tell(notice: wire.Notice): void {
    this.notice = notice;
    this.touch();
  }

  private with<T>(parsed: T | null, then: (value: T) => void): void {
    if (parsed !== null) then(parsed);
  }

  private welcomed(welcome: wire.Welcome): void {
    this.me = welcome.user;
    this.peer = welcome.peer;
    this.settings = welcome.settings;
    this.cameToReadOnly = welcome.settings.readOnly;
    this.permissions = new Set(welcome.permissions);
    this.refusals = 0;
    if (this.timeline.reach(welcome.position)) this.beganAnew();
    if (this.timeline.oldest === null && welcome.unread > 0) this.unreadAfter = welcome.read;
    this.reader.heard(welcome.read);
    this.move({ type: "welcome", recovered: this.linkRecovered || welcome.recovered });
    this.historian.welcomed();
    this.sender.reconnected();
    this.reader.advance();
    this.crowd.welcomed(welcome);
  }

  private messageCame(message: wire.Message): void {
    this.timeline.add(message);
    if (message.user.id === this.me?.id) this.outbox.shown(message.id);
    this.typist.silenced(message.user.id);
    // Not under the eyes of somebody who scrolled up to read.
    if (this.timeline.messages.length > TRIM_ABOVE && this.reader.atEnd) this.timeline.trim(TRIM_TO);
    this.reader.advance();
    this.historian.watch();
    this.sender.pump();
  }

  private operated(position: Position | null, operation: wire.Operation): void {
    if (position === null) return;
    this.timeline.operate(position.offset, operation, operation.user.id === this.me?.id);
    this.reader.advance();
    this.historian.watch();
  }

  private presenceCame(diff: wire.PresenceDiff): void {
    for (const user of diff.left) this.typist.silenced(user.id);
    this.crowd.diff(diff, this.me?.id ?? "");
  }

  private readCame(user: wire.User, offset: number): void {
    if (user.id === this.me?.id) this.reader.heard(offset);
  }

  private noticeCame(notice: wire.ServerNotice): void {
    // A farewell is the reason of what follows; anything else is for the user to read while the stay goes on.
    if (notice.reconnect === null) this.notice = worded(notice);
    else this.move({ type: "farewell", notice });
  }

  private beganAnew(): void {
    this.crowd.forgetNotes();
    this.search.forget();
    this.unreadAfter = null;
    this.reader.reset();
    this.notice = { code: "history_anew", message: "The history of this room began anew." };
  }

  private ended(): void {
    this.halt();
    this.move({ type: "ended", fallback: { code: "ended", message: "The server ended this connection." } });
  }

  private refused(refusal: wire.Refusal): void {
    this.move({ type: "refused", refusal });
    if (!refusal.temporary) return this.halt();
    this.refusals += 1;
    clearTimeout(this.reopening);
    this.reopening = setTimeout(() => this.link.open(), delay(this.refusals, this.random(), refusal.retryAfter));
  }

  private halt(): void {
    clearTimeout(this.reopening);
    this.sender.stop();
    this.historian.stop();
    this.reader.stop();
    this.typist.stop();
  }

  private move(event: ConnectionEvent): void {
    this.connection = reduce(this.connection, event);
    if (this.connection.state !== "live") this.typist.clear();
    this.touch();
  }

  private touch(): void {
    // Below the oldest known offset lies older history: shown when the user scrolls up to it.
    const { oldest } = this.timeline;
    this.outbox.settle((offset) => this.timeline.has(offset) || (oldest !== null && offset < oldest));
    this.seeker.look();
    this.options.changed();
  }
}
