/** Puts everything that has a place in the list into one order: what the list of a room shows, top to bottom. */
import type { Note } from "./notes";
import type { Entry } from "./outbox";
import type { Gap } from "./timeline";
import type { Message } from "./wire";

export type Row =
  | { kind: "day"; key: string; at: number }
  | { kind: "unread"; key: string }
  | { kind: "gap"; key: string; gap: Gap }
  | { kind: "note"; key: string; note: Note }
  | { kind: "message"; key: string; message: Message; own: boolean; named: boolean; first: boolean; answers: Answered }
  | { kind: "entry"; key: string; entry: Entry; first: boolean; answers: Answered };

/** The message that another one answers; null: none. "unknown": it answers one that is not here. */
export type Answered = Message | "unknown" | null;

export interface RowSource {
  readonly messages: readonly Message[];
  readonly gaps: readonly Gap[];
  readonly notes: readonly Note[];
  readonly entries: readonly Entry[];
  readonly me: string | null;
  /** The line "new" stands before the first message of others past this offset; null: no line. */
  readonly unreadAfter: number | null;
}

const GROUPED_WITHIN = 5 * 60_000;

export function buildRows({ messages, gaps, notes, entries, me, unreadAfter }: RowSource): Row[] {
  const rows: Row[] = [];
  const byName = new Map<number | string, Message>();
  for (const message of messages) byName.set(message.offset, message).set(message.id, message);
  const answered = (name: number | string | undefined): Answered =>
    name === undefined ? null : (byName.get(name) ?? "unknown");
  let day = "";
  let previous: { user: string | null; at: number } | null = null;
  let lineDrawn = unreadAfter === null;
  let nextGap = 0;
  let nextNote = 0;

  const interrupt = (row: Row): void => {
    rows.push(row);
    previous = null;
  };
  const asides = (before: number): void => {
    for (;;) {
      const gap = gaps[nextGap];
      const note = notes[nextNote];
      const gapIsDue = gap !== undefined && gap.from < before;
      const noteIsDue = note !== undefined && note.after < before;
      if (gapIsDue && !(noteIsDue && note.after < gap.from)) {
        interrupt({ kind: "gap", key: `gap ${gap.kind} ${gap.to}`, gap });
        nextGap += 1;
      } else if (noteIsDue) {
        interrupt({ kind: "note", key: `note ${note.key}`, note });
        nextNote += 1;
      } else return;
    }
  };
  const place = (user: string | null, at: number): boolean => {
    const today = new Date(at).toDateString();
    if (today !== day) interrupt({ kind: "day", key: `day ${today}`, at });
    day = today;
    const first: boolean = previous === null || previous.user !== user || at - previous.at > GROUPED_WITHIN;
    previous = { user, at };
    return first;
  };

  for (const message of messages) {
    const own = message.user.id === me;
    asides(message.offset);
    if (!lineDrawn && !own && message.offset > unreadAfter!) {
      interrupt({ kind: "unread", key: "unread" });
      lineDrawn = true;
    }
    const first = place(message.user.id, message.at);
    const named = me !== null && !own && (message.mentions?.includes(me) ?? false);
    rows.push({ kind: "message", key: messageKey(message.user.id, message.id), message, own, named, first, answers: answered(message.replyTo) });
  }
  asides(Infinity);
  for (const entry of entries) {
    rows.push({ kind: "entry", key: messageKey(me, entry.id), entry, first: place(me, entry.at), answers: answered(entry.replyTo) });
  }
  return rows;
}

/** The same for an entry and for the message it becomes, so that the list keeps the element. Ids are unique per user. */
function messageKey(user: string | null, id: string): string {
  return `message ${user ?? ""} ${id}`;
}
