/**
 * The messages of a room as far as this page knows them, sorted by offset, each once, and which stretches of the room's
 * log are not known. A hole is never guessed away: it stays visible until a page of history has covered it.
 */
import type { Position } from "./position";
import { holes, intersect, size, subtract, union, type Range } from "./ranges";
import type { Message, Operation } from "./wire";

/**
 * missing: nobody said why. lost: the server said it could not recover it. gone: history does not have it either. skipped:
 * the user went to what lies before it.
 */
export type GapKind = "missing" | "lost" | "gone" | "skipped";

export interface Gap extends Range {
  readonly kind: GapKind;
}

export interface LoadedPage {
  readonly items: readonly Message[];
  readonly more: boolean;
  /** Where there is more: the page has all messages from this offset up. Left out: from its first. */
  readonly next?: number;
  /** The page holds what lies below this offset; null: it ends at the top of the log. */
  readonly before: number | null;
  readonly top: number;
}

/** Operations that are remembered for pages of history that were read before them and come after them. */
const REMEMBERED = 500;

interface Done {
  readonly offset: number;
  readonly operation: Operation;
  readonly mine: boolean;
}

export class Timeline {
  private epoch: string | null = null;
  private list: Message[] = [];
  private known: Range[] = [];
  /** As declared; only what of it is not known counts. */
  private lost: Range[] = [];
  private gone: Range[] = [];
  private skipped: Range[] = [];
  private end = 0;
  private atStart = false;
  private done: Done[] = [];

  get messages(): readonly Message[] {
    return this.list;
  }

  /** The highest offset the room is known to have reached. */
  get top(): number {
    return this.end;
  }

  /** Everything from here up is known or shown as a gap; older pages lie below. Null: nothing is known yet. */
  get oldest(): number | null {
    return this.known[0]?.from ?? null;
  }

  get complete(): boolean {
    return this.atStart;
  }

  has(offset: number): boolean {
    return intersect(this.known, { from: offset, to: offset }).length > 0;
  }

  /** Neither here nor in the history. */
  isGone(offset: number): boolean {
    return intersect(this.gone, { from: offset, to: offset }).length > 0;
  }

  /** True if the log began anew: what was known belongs to another log and is forgotten. */
  reach(position: Position): boolean {
    const anew = this.epoch !== null && this.epoch !== position.epoch;
    if (anew) this.forget();
    this.epoch = position.epoch;
    this.end = Math.max(this.end, position.offset);
    return anew;
  }

  add(message: Message): boolean {
    const fresh = this.insert(message);
    this.end = Math.max(this.end, message.offset);
    this.cover({ from: message.offset, to: message.offset });
    return fresh;
  }

  /** Something was done to a message; `offset` is the place of that in the log, `mine`: this user did it. */
  operate(offset: number, operation: Operation, mine: boolean): void {
    const done = { offset, operation, mine };
    this.list = this.list.map((message) => (message.offset === operation.target ? changed(message, done) : message));
    this.done = [...this.done.slice(1 - REMEMBERED), done];
    this.end = Math.max(this.end, offset);
    this.cover({ from: offset, to: offset });
  }

  addPage({ items, more, next, before, top }: LoadedPage): void {
    const first = more ? (next ?? items[0]?.offset) : items[0]?.offset;
    const last = before === null ? Math.max(top, items.at(-1)?.offset ?? 0) : before - 1;
    const later = this.done.filter(({ offset }) => offset > top);
    for (const item of items) this.insert(later.filter(({ operation }) => operation.target === item.offset).reduce(changed, item));
    this.end = Math.max(this.end, last);
    if (more) {
      this.cover({ from: first ?? last + 1, to: last });
      return;
    }
    const floor = first ?? last + 1;
    for (const gap of this.gaps()) {
      if (gap.from >= floor || gap.kind === "gone") continue;
      this.gone = union(this.gone, { from: gap.from, to: Math.min(gap.to, floor - 1) });
    }
    this.atStart = true;
    this.cover({ from: 1, to: last });
  }

  declareLost(range: Range): void {
    this.end = Math.max(this.end, range.to);
    this.lost = union(this.lost, range);
  }

  /** What of this is not known is not missed. */
  skip(range: Range): void {
    this.skipped = union(this.skipped, range);
  }

  /** Where the stretch that is not known ends in which this offset lies. */
  unknownTo(offset: number): number {
    return (this.known.find(({ from }) => from > offset)?.from ?? this.end + 1) - 1;
  }

  /** Only gaps with something older above them: below the oldest known message there is simply older history. */
  gaps(): Gap[] {
    const oldest = this.oldest;
    if (oldest === null) return [];
    const gaps: Gap[] = this.gone.map((range) => ({ ...range, kind: "gone" }));
    for (const hole of holes(this.known, { from: oldest, to: this.end })) {
      gaps.push(...intersect(this.lost, hole).map((range): Gap => ({ ...range, kind: "lost" })));
      for (const rest of holes(this.lost, hole)) {
        gaps.push(...intersect(this.skipped, rest).map((range): Gap => ({ ...range, kind: "skipped" })));
        gaps.push(...holes(this.skipped, rest).map((range): Gap => ({ ...range, kind: "missing" })));
      }
    }
    return gaps.sort((a, b) => a.from - b.from);
  }

  /** Lets go of the oldest messages; they are older history again. */
  trim(keep: number): void {
    if (this.list.length <= keep) return;
    this.list = this.list.slice(-keep);
    const below: Range = { from: 0, to: (this.list[0]?.offset ?? 1) - 1 };
    this.known = subtract(this.known, below);
    this.lost = subtract(this.lost, below);
    this.gone = subtract(this.gone, below);
    this.skipped = subtract(this.skipped, below);
    this.atStart = false;
  }

  private forget(): void {
    this.list = [];
    this.known = this.lost = this.gone = this.skipped = [];
    this.end = 0;
    this.atStart = false;
    this.done = [];
  }

  private cover(range: Range): void {
    this.known = union(this.known, range);
  }

  private insert(message: Message): boolean {
    let index = this.list.length;
    // From the end, because nearly every message is the newest.
    while (index > 0 && this.list[index - 1]!.offset > message.offset) index -= 1;
    if (this.list[index - 1]?.offset === message.offset) return false;
    this.list.splice(index, 0, message);
    return true;
  }
}

/** The message after that. */
function changed(message: Message, { operation, mine }: Done): Message {
  const { id, offset, user, at, replyTo } = message; // whom it named goes with what it said
  if (operation.kind === "delete") {
    return { id, offset, user, at, body: null, deleted: operation.at, ...(replyTo !== undefined && { replyTo }) };
  }
  if (message.deleted !== undefined) return message;
  if (operation.kind === "edit") return { ...message, body: operation.body, edited: operation.at };
  const { emoji, count, on } = operation;
  const before = message.reactions ?? [];
  const old = before.find((reaction) => reaction.emoji === emoji);
  const reaction = { emoji, count, mine: mine ? on : (old?.mine ?? false) };
  const reactions = old ? before.map((other) => (other === old ? reaction : other)) : [...before, reaction];
  return { ...message, reactions: reactions.filter((one) => one.count > 0) };
}

export function missing(gaps: readonly Gap[]): number {
  return gaps.reduce((sum, gap) => sum + (gap.kind === "gone" ? 0 : size(gap)), 0);
}
