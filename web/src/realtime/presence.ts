/** Who is here: a pure reducer. The counts are the server's; the names are as many as it told us. */
import type { PresenceDiff, User } from "./wire";

export interface Presence {
  readonly online: number;
  readonly total: number;
  readonly people: ReadonlyMap<string, User>;
}

export const nobody: Presence = { online: 0, total: 0, people: new Map() };

export function counted(presence: Presence, online: number, total: number): Presence {
  return { ...presence, online, total };
}

export function listed(presence: Presence, online: readonly User[], total: number): Presence {
  // The list may be a part of a crowd; the count is of all.
  return { online: Math.max(presence.online, online.length), total, people: byId(online) };
}

export function changed(presence: Presence, diff: PresenceDiff): Presence {
  const people = new Map(presence.people);
  // A user in both lists came back within one batch: here in the end.
  for (const user of diff.left) people.delete(user.id);
  for (const user of diff.joined) people.set(user.id, user);
  return { online: diff.online, total: diff.total, people };
}

function byId(users: readonly User[]): Map<string, User> {
  return new Map(users.map((user) => [user.id, user]));
}
