/** Naming people in a text: what the user begins to write behind an @, and whom the text names in the end. */
import type { User } from "./wire";

/** As many as the server takes. */
const NAMED = 50;
const OFFERED = 6;
/** Signs that are looked at for names: a text of nothing else stops nobody. */
const LOOKED_AT = 200;

export interface Begun {
  /** Where the @ stands. */
  readonly from: number;
  readonly query: string;
}

/** What stands between an @ and the caret; null: no name is being written. */
export function begun(text: string, caret: number): Begun | null {
  const line = text.slice(Math.max(0, caret - 130), caret);
  const match = /(?:^|[^\p{L}\p{N}_@])@([^@\n]*)$/u.exec(line);
  return match ? { from: caret - match[1]!.length - 1, query: match[1]! } : null;
}

/** Who may be meant, those first whose whole name begins so. */
export function offered(people: Iterable<User>, query: string, me: string | null): User[] {
  const wanted = query.toLowerCase();
  const found = [...people].filter(({ id }) => id !== me).flatMap((user) => {
    const name = user.name.toLowerCase();
    const rank = name.startsWith(wanted) ? 0 : name.includes(` ${wanted}`) ? 1 : user.id.toLowerCase().startsWith(wanted) ? 2 : null;
    return rank === null ? [] : [{ user, rank }];
  });
  return found
    .sort((a, b) => a.rank - b.rank || a.user.name.localeCompare(b.user.name))
    .slice(0, OFFERED)
    .map(({ user }) => user);
}

/** The text with the name in the place of what was begun, and where the caret is then. */
export function completed(text: string, { from, query }: Begun, name: string): { text: string; caret: number } {
  const rest = text.slice(from + 1 + query.length);
  const written = `@${name}${/^\s/.test(rest) ? "" : " "}`;
  return { text: text.slice(0, from) + written + rest, caret: from + written.length + (/^\s/.test(rest) ? 1 : 0) };
}

/**
 * The ids of whom a text names. Who was chosen is meant where two have the same name; a name that was only written, and
 * that several have, is nobody's.
 */
export function named(text: string, people: Iterable<User>, chosen: readonly User[], me: string | null): string[] {
  const byName = new Map<string, string | null>();
  for (const { id, name } of people) {
    const key = name.toLowerCase();
    byName.set(key, byName.has(key) && byName.get(key) !== id ? null : id);
  }
  for (const { id, name } of chosen) byName.set(name.toLowerCase(), id);
  // "@Ann Lee" names Ann Lee, and not Ann.
  const names = [...byName.keys()].sort((a, b) => b.length - a.length);
  const found = new Set<string>();
  let looked = 0;
  for (const { index } of text.matchAll(/(?<![\p{L}\p{N}_@])@/gu)) {
    if ((looked += 1) > LOOKED_AT) break;
    const name = names.find((name) => {
      const end = index + 1 + name.length;
      return text.slice(index + 1, end).toLowerCase() === name && !/^[\p{L}\p{N}_]/u.test(text.slice(end, end + 2));
    });
    const id = name === undefined ? null : byName.get(name);
    if (id && id !== me) found.add(id);
  }
  return [...found].slice(0, NAMED);
}
