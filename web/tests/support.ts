import type { Link, LinkEvents, OpenLink } from "../src/realtime/link";
import type { OutboxStore, StoredEntry } from "../src/realtime/outbox";
import type { Message, Refusal } from "../src/realtime/wire";

/** Mulberry32: a failing case is told by its seed. */
export function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

export function message(offset: number, fields: Partial<Message> = {}): Message {
  return {
    id: `id-${offset}`,
    offset,
    user: { id: "u-ada", name: "Ada" },
    body: `text ${offset}`,
    at: 1_700_000_000_000 + offset * 1_000,
    ...fields,
  };
}

/** The same as it travels. */
export function sent({ id, offset, user, body, at, mentions }: Message): Record<string, unknown> {
  return { id, offset, user: user.id, name: user.name, body, at, ...(mentions && { mentions }) };
}

export const nothingFound = { query: null, items: [], loading: false, failure: null, more: false, partial: false };

export class FakeStore implements OutboxStore {
  readonly kept = new Map<string, StoredEntry>();

  load(): StoredEntry[] {
    return [...this.kept.values()];
  }

  put(entry: StoredEntry): void {
    this.kept.set(entry.id, structuredClone(entry));
  }

  remove(id: string): void {
    this.kept.delete(id);
  }
}

export interface Asked {
  readonly event: string;
  readonly args: unknown[];
  answer(value: unknown): Promise<void>;
  drop(): Promise<void>;
}

/** A link whose server is the test. */
export class FakeLink implements Link {
  readonly asked: Asked[] = [];
  opened = 0;
  closed = false;
  events!: LinkEvents;

  readonly connect: OpenLink = (events) => {
    this.events = events;
    return this;
  };

  open(): void {
    this.opened += 1;
  }

  close(): void {
    this.closed = true;
  }

  /** Of the user's own session; what it is asked for has other names than what a room is asked for. */
  ask(event: string, ...args: unknown[]): Promise<unknown> {
    return this.request(event, ...args);
  }

  request(event: string, ...args: unknown[]): Promise<unknown> {
    return new Promise((resolve, reject) => {
      this.asked.push({
        event,
        args,
        answer: (value) => settle(() => resolve(value)),
        drop: () => settle(() => reject(new Error("no answer"))),
      });
    });
  }

  of(event: string): Asked[] {
    return this.asked.filter((asked) => asked.event === event);
  }

  last(event: string): Asked {
    const asked = this.of(event).at(-1);
    if (!asked) throw new Error(`nobody asked for ${event}`);
    return asked;
  }

  welcome(fields: Record<string, unknown> = {}, recovered = false): void {
    const position = (fields.position as string | undefined) ?? "e1.0";
    this.events.connected(recovered);
    this.events.event("welcome", [
      {
        room: "lobby",
        user: "u-me",
        name: "Me",
        online: 1,
        total: 1,
        position,
        recovered,
        unread: 0,
        permissions: ["join", "read", "history", "post"],
        ...fields,
      },
      position,
    ]);
  }

  message(message: Message, epoch = "e1"): void {
    this.events.event("message", [sent(message), `${epoch}.${message.offset}`]);
  }
}

async function settle(act: () => void): Promise<void> {
  act();
  for (let turn = 0; turn < 10; turn += 1) await Promise.resolve();
}

/** What a part of a session asks of the session. */
export class FakePorts {
  readonly link = new FakeLink();
  live = true;
  lookBack = true;
  highest = 0;
  changes = 0;

  readonly request = (event: string, ...args: unknown[]): Promise<unknown> => this.link.request(event, ...args);
  readonly ask = (event: string, ...args: unknown[]): Promise<unknown> => this.link.ask(event, ...args);
  readonly isLive = (): boolean => this.live;
  readonly mayLookBack = (): boolean => this.lookBack;
  readonly top = (): number => this.highest;
  readonly now = (): number => Date.now();
  readonly random = (): number => 0;
  readonly changed = (): void => {
    this.changes += 1;
  };
  readonly refusals: Refusal[] = [];
  readonly refused = (refusal: Refusal): void => void this.refusals.push(refusal);
}
