/** Moves the user's read position: what was on the screen, at the bottom, in a visible page. */
import type { Request } from "./link";
import { parseDone } from "./wire";

const AT_MOST_EVERY = 1_000;

export interface ReaderPorts {
  readonly request: Request;
  isLive(): boolean;
  top(): number;
  now(): number;
  changed(): void;
}

export class Reader {
  /** Everything up to here was read, on this device or another. */
  readTo = 0;
  private told = 0;
  /** Is the end of the list in front of the user? */
  atEnd = false;
  private tellAt = 0;
  private timer: ReturnType<typeof setTimeout> | undefined;

  constructor(private readonly ports: ReaderPorts) {}

  /** Another device, or the welcome, said so. */
  heard(offset: number): void {
    this.readTo = Math.max(this.readTo, offset);
    this.told = Math.max(this.told, offset);
  }

  /** The log began anew: what was read before says nothing about it. */
  reset(): void {
    this.readTo = this.told = 0;
  }

  watch(atEnd: boolean): void {
    this.atEnd = atEnd;
    this.advance();
  }

  advance(): void {
    if (!this.atEnd || !this.ports.isLive()) return;
    const top = this.ports.top();
    if (top > this.readTo) {
      this.readTo = top;
      this.ports.changed();
    }
    if (this.readTo <= this.told || this.timer !== undefined) return;
    const wait = Math.max(0, this.tellAt - this.ports.now());
    this.timer = setTimeout(() => void this.tell(), wait);
  }

  stop(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
  }

  private async tell(): Promise<void> {
    this.timer = undefined;
    if (!this.ports.isLive() || this.readTo <= this.told) return;
    this.tellAt = this.ports.now() + AT_MOST_EVERY;
    const offset = this.readTo;
    const answer = parseDone(await this.ports.request("read", offset).catch(() => null));
    // Not repeated on a refusal: the next message or the next return tells it again.
    if (answer?.ok) this.told = Math.max(this.told, offset);
  }
}
