/**
 * The user's own messages that the room has not shown yet. An entry keeps its id for life, over reloads too, so that
 * sending it again is harmless. Only the oldest waiting entry may be under way: own order is kept.
 */
import { delay } from "./backoff";
import type { Refusal } from "./wire";

export const OUTBOX_LIMIT = 200;

export type EntryState = "sending" | "sent" | "failed";

export interface Entry {
  readonly id: string;
  readonly body: string;
  /** The offset of the message that it answers. */
  readonly replyTo?: number;
  /** The ids of whom it names. */
  readonly mentions?: readonly string[];
  readonly at: number;
  readonly state: EntryState;
  /** Why it is not sent yet (sending) or will not be (failed). */
  readonly error: Refusal | null;
  readonly attempts: number;
  readonly notBefore: number;
  /** Known once the room took it; the message itself comes from the room like everybody's. */
  readonly offset: number | null;
}

/** What a message may have beside its words. */
export type Extras = Pick<Entry, "replyTo" | "mentions">;

export type StoredEntry = Pick<Entry, "id" | "body" | "at"> & Extras & { readonly error: Refusal | null };

/** Where entries survive a reload. Each is kept on its own: two tabs share the store and must not undo each other. */
export interface OutboxStore {
  load(): StoredEntry[];
  put(entry: StoredEntry): void;
  remove(id: string): void;
}

export type Next = { send: Entry } | { waitUntil: number } | null;

export class Outbox {
  private list: Entry[];
  private underWay: string | null = null;

  constructor(private readonly store: OutboxStore) {
    this.list = store
      .load()
      .sort((a, b) => a.at - b.at)
      .slice(0, OUTBOX_LIMIT)
      .map((entry) => ({
        ...entry,
        state: entry.error ? "failed" : "sending",
        attempts: 0,
        notBefore: 0,
        offset: null,
      }));
  }

  get entries(): readonly Entry[] {
    return this.list;
  }

  get full(): boolean {
    return this.list.length >= OUTBOX_LIMIT;
  }

  add(id: string, body: string, now: number, extras: Extras = {}): boolean {
    if (this.full) return false;
    // Strictly later than the last one, or a reload could swap two messages of one millisecond.
    const at = Math.max(now, (this.list.at(-1)?.at ?? 0) + 1);
    const entry: Entry = { id, body, ...extras, at, state: "sending", error: null, attempts: 0, notBefore: 0, offset: null };
    this.list = [...this.list, entry];
    this.keep(entry);
    return true;
  }

  /** What to do now: send this, wait until then, or nothing. */
  next(now: number): Next {
    if (this.underWay !== null) return null;
    const entry = this.list.find((candidate) => candidate.state === "sending");
    if (!entry) return null;
    return entry.notBefore > now ? { waitUntil: entry.notBefore } : { send: entry };
  }

  begin(id: string): void {
    this.underWay = id;
    this.change(id, (entry) => ({ ...entry, attempts: entry.attempts + 1 }));
  }

  taken(id: string, offset: number): void {
    this.release(id);
    this.change(id, (entry) => ({ ...entry, state: "sent", error: null, offset }));
    this.store.remove(id);
  }

  refused(id: string, error: Refusal, now: number, random: number): void {
    this.release(id);
    this.change(id, (entry) =>
      error.temporary
        ? { ...entry, error, notBefore: now + delay(entry.attempts, random, error.retryAfter) }
        : { ...entry, state: "failed", error },
    );
    const entry = this.find(id);
    if (entry?.state === "failed") this.keep(entry);
  }

  /** No answer came. It may have arrived: the same id goes out again. */
  unanswered(id: string, now: number, random: number): void {
    this.release(id);
    this.change(id, (entry) => ({ ...entry, notBefore: now + delay(entry.attempts, random) }));
  }

  /** A new connection: waiting out the trouble of the old one would only delay, a server's refusal still stands. */
  reconnected(): void {
    this.underWay = null;
    this.list = this.list.map((entry) =>
      entry.state === "sending" && !entry.error ? { ...entry, notBefore: 0 } : entry,
    );
  }

  retry(id: string): void {
    const failed = this.find(id);
    if (failed?.state !== "failed") return;
    this.change(id, (entry) => ({ ...entry, state: "sending", error: null, attempts: 0, notBefore: 0 }));
    this.keep({ ...failed, error: null });
  }

  discard(id: string): boolean {
    // What is under way cannot be called back; pretending so would show a message as gone that others see.
    if (this.underWay === id) return false;
    this.drop(id);
    return true;
  }

  /** The room showed it. */
  shown(id: string): void {
    this.release(id);
    this.drop(id);
  }

  /** Entries the room took and whose place in the log is known by now need no copy here. */
  settle(isKnown: (offset: number) => boolean): void {
    this.list = this.list.filter((entry) => entry.offset === null || !isKnown(entry.offset));
  }

  private drop(id: string): void {
    if (!this.find(id)) return;
    this.list = this.list.filter((entry) => entry.id !== id);
    this.store.remove(id);
  }

  private find(id: string): Entry | undefined {
    return this.list.find((entry) => entry.id === id);
  }

  private release(id: string): void {
    if (this.underWay === id) this.underWay = null;
  }

  private change(id: string, update: (entry: Entry) => Entry): void {
    this.list = this.list.map((entry) => (entry.id === id ? update(entry) : entry));
  }

  private keep({ id, body, at, state, error, replyTo, mentions }: Entry): void {
    const extras = { ...(replyTo !== undefined && { replyTo }), ...(mentions && { mentions }) };
    this.store.put({ id, body, at, error: state === "failed" ? error : null, ...extras });
  }
}
