/** Both directions of the typing indicator, with the timers that end it. */
import type { Request } from "./link";
import { TypingSignal, TypingUsers } from "./typing";
import type { User } from "./wire";

export interface TypistPorts {
  readonly request: Request;
  isLive(): boolean;
  now(): number;
  changed(): void;
}

export class Typist {
  private readonly signal = new TypingSignal();
  private readonly others = new TypingUsers();
  private idle: ReturnType<typeof setTimeout> | undefined;
  private expiry: ReturnType<typeof setTimeout> | undefined;

  constructor(private readonly ports: TypistPorts) {}

  users(me: string | null): User[] {
    return this.others.users.filter((user) => user.id !== me);
  }

  typed(): void {
    if (!this.ports.isLive()) return;
    if (this.signal.typed(this.ports.now())) this.tell(true);
    this.waitForIdle();
  }

  stopped(): void {
    clearTimeout(this.idle);
    if (this.signal.stopped() && this.ports.isLive()) this.tell(false);
  }

  heard(user: User, on: boolean): void {
    this.others.set(user, on, this.ports.now());
    this.waitForExpiry();
  }

  silenced(id: string): void {
    this.others.remove(id);
  }

  /** The connection is gone: who types is not known, and nobody knows that we did. */
  clear(): void {
    this.signal.stopped();
    this.others.clear();
    this.stop();
  }

  stop(): void {
    clearTimeout(this.idle);
    clearTimeout(this.expiry);
  }

  private tell(on: boolean): void {
    // Ephemeral: a lost or refused one is not worth a word.
    this.ports.request("typing", on).catch(() => undefined);
  }

  private waitForIdle(): void {
    clearTimeout(this.idle);
    const wait = this.signal.idleIn(this.ports.now());
    if (wait !== null) this.idle = setTimeout(() => this.stopped(), wait);
  }

  private waitForExpiry(): void {
    clearTimeout(this.expiry);
    const wait = this.others.nextIn(this.ports.now());
    if (wait === null) return;
    this.expiry = setTimeout(() => {
      if (this.others.expire(this.ports.now())) this.ports.changed();
      this.waitForExpiry();
    }, wait);
  }
}
