import type { User } from "./wire";

const REPEAT_EVERY = 3_000;
const IDLE_AFTER = 5_000;
/** Longer than the repeat, so that one lost repeat does not make the line flicker. */
const SHOWN_FOR = 8_000;

/** Decides when to tell the room that this user types: often enough to stay shown, never per key. */
export class TypingSignal {
  private saidAt: number | null = null;
  private typedAt = 0;

  /** A key was pressed: tell the room now? */
  typed(now: number): boolean {
    this.typedAt = now;
    if (this.saidAt !== null && now - this.saidAt < REPEAT_EVERY) return false;
    this.saidAt = now;
    return true;
  }

  /** The text was sent or emptied: tell the room now? */
  stopped(): boolean {
    const said = this.saidAt !== null;
    this.saidAt = null;
    return said;
  }

  /** Milliseconds until the user counts as idle; null: nothing was said. */
  idleIn(now: number): number | null {
    return this.saidAt === null ? null : Math.max(0, this.typedAt + IDLE_AFTER - now);
  }
}

/** Who types, as told by the room. Nobody stays in it for longer than the last word about them is good for. */
export class TypingUsers {
  private readonly until = new Map<string, { user: User; until: number }>();

  get users(): User[] {
    return [...this.until.values()].map(({ user }) => user);
  }

  set(user: User, on: boolean, now: number): void {
    // Deleted first, so that the order is by the latest word.
    this.until.delete(user.id);
    if (on) this.until.set(user.id, { user, until: now + SHOWN_FOR });
  }

  remove(id: string): boolean {
    return this.until.delete(id);
  }

  clear(): void {
    this.until.clear();
  }

  expire(now: number): boolean {
    const before = this.until.size;
    for (const [id, { until }] of this.until) if (until <= now) this.until.delete(id);
    return this.until.size < before;
  }

  /** Milliseconds until somebody expires; null: nobody types. */
  nextIn(now: number): number | null {
    if (this.until.size === 0) return null;
    return Math.max(0, Math.min(...[...this.until.values()].map(({ until }) => until)) - now);
  }
}
