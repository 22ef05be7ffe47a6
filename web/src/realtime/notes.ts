/** Lines about who came and left, each anchored after an offset. They are of this page only and bounded. */
import type { PresenceDiff, User } from "./wire";

export interface Note {
  readonly key: number;
  readonly after: number;
  readonly at: number;
  readonly joined: readonly User[];
  readonly left: readonly User[];
}

const KEPT = 50;
const MERGED_WITHIN = 60_000;

/** Adds a diff, without the user's own coming and going; a busy door fills one line, not a screen. */
export function noted(notes: readonly Note[], diff: PresenceDiff, me: string, after: number, now: number): Note[] {
  const joined = diff.joined.filter((user) => user.id !== me);
  const left = diff.left.filter((user) => user.id !== me && !joined.some((other) => other.id === user.id));
  if (joined.length === 0 && left.length === 0) return [...notes];
  const last = notes.at(-1);
  const merge = last?.after === after && now - last.at < MERGED_WITHIN;
  const note: Note = merge
    ? {
        ...last,
        joined: [...without(without(last.joined, joined), left), ...joined],
        left: [...without(without(last.left, joined), left), ...left],
      }
    : { key: (last?.key ?? 0) + 1, after, at: now, joined, left };
  return [...(merge ? notes.slice(0, -1) : notes), note].slice(-KEPT);
}

function without(users: readonly User[], others: readonly User[]): User[] {
  return users.filter((user) => !others.some((other) => other.id === user.id));
}
