/** Leads to a message of the room: reads the history around it where it is not here yet. */
import type { Historian } from "./historian";
import type { Timeline } from "./timeline";
import type { Refusal } from "./wire";

export interface SeekerPorts {
  readonly timeline: Timeline;
  readonly historian: Historian;
  isLive(): boolean;
  mayLookBack(): boolean;
  changed(): void;
  /** There is no way there: the user is to know. */
  refused(refusal: Refusal): void;
}

export interface Found {
  readonly offset: number;
  /** How often something was found: the same message may be asked for twice. */
  readonly times: number;
}

export class Seeker {
  found: Found | null = null;
  private wanted: number | null = null;
  private tried = false;

  constructor(private readonly ports: SeekerPorts) {}

  seek(offset: number): void {
    this.wanted = offset;
    this.tried = false;
    this.look();
  }

  /** Call when the timeline, or what the historian does, has changed. */
  look(): void {
    const { timeline, historian, isLive, mayLookBack, changed } = this.ports;
    const wanted = this.wanted;
    if (wanted === null || !isLive()) return;
    if (timeline.messages.some(({ offset }) => offset === wanted)) {
      this.wanted = null;
      this.found = { offset: wanted, times: (this.found?.times ?? 0) + 1 };
      changed();
    } else if (!mayLookBack()) {
      this.giveUp("The history of this room is not shown to you.");
    } else if (historian.loading !== null) {
      return;
    } else if (historian.failed && (this.tried || timeline.oldest === null)) {
      this.giveUp("The history could not be loaded. Try again.");
    } else if (timeline.oldest === null && !timeline.complete) {
      return; // the first page comes by itself
    } else if (this.tried || timeline.has(wanted) || timeline.isGone(wanted)) {
      this.giveUp("This message is no longer kept.");
    } else {
      this.tried = true;
      void historian.around(wanted);
    }
  }

  private giveUp(message: string): void {
    this.wanted = null;
    this.ports.refused({ code: "not_found", message, temporary: false, retryAfter: null });
  }
}
