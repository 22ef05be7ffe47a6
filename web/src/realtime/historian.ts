/** Loads what the live stream does not bring: the first page, older pages, and what fell into a hole. */
import type { Request } from "./link";
import { delay } from "./backoff";
import { size } from "./ranges";
import { missing, type Gap, type Timeline } from "./timeline";
import { parseHistory, type HistoryPage } from "./wire";

export const PAGE = 50;
const TRIES = 4;
/** Replayed messages follow the welcome; asking at once would fetch what is on its way. */
const HEAL_AFTER = 1_500;
const HEAL_PAGES = 4;
/** A reader who waits longer would rather be told. */
const PATIENCE = 15_000;

export interface HistorianPorts {
  readonly timeline: Timeline;
  readonly request: Request;
  isLive(): boolean;
  /** Is the user allowed to look at the history? */
  mayLookBack(): boolean;
  random(): number;
  changed(): void;
}

export type Loading = "latest" | "older" | "around" | "gap" | null;

export class Historian {
  loading: Loading = null;
  failed = false;
  private healing: ReturnType<typeof setTimeout> | undefined;
  private healTried = 0;

  constructor(private readonly ports: HistorianPorts) {}

  /** Gaps to show; one that is about to be filled without a word is not worth a flicker. */
  gaps(): Gap[] {
    const gaps = this.ports.timeline.gaps();
    return this.healing === undefined ? gaps : gaps.filter((gap) => gap.kind !== "missing");
  }

  welcomed(): void {
    this.healTried = 0;
    this.failed = false;
    if (!this.ports.mayLookBack()) this.stop();
    else if (this.ports.timeline.oldest === null) void this.latest();
    else this.watch();
  }

  /** Call when the timeline grew: fills a hole nobody declared. */
  watch(): void {
    if (!this.ports.mayLookBack()) return;
    if (this.healing !== undefined || this.healTried >= HEAL_PAGES || !this.hasHole()) return;
    this.healing = setTimeout(() => void this.heal(), HEAL_AFTER);
  }

  stop(): void {
    clearTimeout(this.healing);
    this.healing = undefined;
  }

  latest(): Promise<boolean> {
    return this.load("latest", null, PAGE);
  }

  async older(): Promise<boolean> {
    const { oldest, complete } = this.ports.timeline;
    if (complete) return false;
    return oldest === null ? this.latest() : this.load("older", oldest, PAGE);
  }

  /** The page with this offset in its middle; what lies between it and what is here is left out. */
  around(offset: number): Promise<boolean> {
    const { timeline } = this.ports;
    const to = timeline.unknownTo(offset);
    const before = Math.min(offset + PAGE / 2, to) + 1;
    timeline.skip({ from: before, to });
    return this.load("around", before, PAGE);
  }

  /** From the newest end, the end next to what the user reads; of what was skipped that is the oldest end. */
  fill(gap: Gap): Promise<boolean> {
    const to = gap.kind === "skipped" ? Math.min(gap.to, gap.from + PAGE - 1) : gap.to;
    return this.load("gap", to + 1, Math.min(PAGE, size(gap)));
  }

  private hasHole(): boolean {
    return this.ports.timeline.gaps().some((gap) => gap.kind === "missing");
  }

  private async heal(): Promise<void> {
    if (this.loading !== null) {
      this.healing = setTimeout(() => void this.heal(), HEAL_AFTER);
      return;
    }
    while (this.healTried < HEAL_PAGES && this.ports.isLive()) {
      const hole = this.ports.timeline.gaps().findLast((gap) => gap.kind === "missing");
      if (!hole) break;
      this.healTried += 1;
      if (!(await this.fill(hole))) break;
    }
    if (!this.hasHole()) this.healTried = 0;
    this.healing = undefined;
    this.ports.changed();
  }

  private async load(loading: Loading, before: number | null, limit: number): Promise<boolean> {
    const { timeline, changed } = this.ports;
    if (this.loading !== null || !this.ports.mayLookBack()) return false;
    this.loading = loading;
    this.failed = false;
    changed();
    const known = missing(timeline.gaps());
    const oldest = timeline.oldest;
    const page = await this.ask({ ...(before !== null && { before }), limit });
    this.loading = null;
    if (page && timeline.reach(page.position)) return this.latest();
    if (page) timeline.addPage({ ...page, before, top: page.position.offset });
    // A page that brings nothing new would be asked for again and again.
    const gained = missing(timeline.gaps()) !== known || timeline.oldest !== oldest;
    this.failed = page === null || (!gained && loading !== "latest");
    changed();
    return gained;
  }

  private async ask(query: { before?: number; limit: number }): Promise<HistoryPage | null> {
    for (let attempt = 1; ; attempt += 1) {
      const answer = parseHistory(await this.ports.request("history", query).catch(() => null));
      if (answer?.ok) return answer.value;
      if (!answer?.error.temporary || attempt === TRIES || !this.ports.isLive()) return null;
      const wait = delay(attempt, this.ports.random(), answer.error.retryAfter);
      if (wait > PATIENCE) return null;
      await new Promise((resolve) => setTimeout(resolve, wait));
    }
  }
}
