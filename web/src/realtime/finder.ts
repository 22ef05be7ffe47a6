/** A question that is asked anew while the user writes it, and whose answer comes in pages. Only the newest question counts. */
import { kindly } from "./notices";
import type { Answer } from "./wire";

/** Who has looked at so many asks something else. */
const MOST = 1_000;

export interface FoundPage<T, Next> {
  readonly items: readonly T[];
  /** With what to ask for the page behind it; null: there is none. */
  readonly next: Next | null;
  /** The server has not looked at all there is, and goes on with `next`. */
  readonly partial?: boolean;
}

export interface Findings<T> {
  /** What was asked; null: nothing yet. */
  readonly query: string | null;
  readonly items: readonly T[];
  readonly loading: boolean;
  /** Why there is no answer, in words for the user. */
  readonly failure: string | null;
  readonly more: boolean;
  readonly partial: boolean;
}

export class Finder<T, Next> {
  view: Findings<T> = { query: null, items: [], loading: false, failure: null, more: false, partial: false };
  private next: Next | null = null;
  private asked = 0;

  constructor(
    private readonly ask: (query: string, next: Next | null) => Promise<Answer<FoundPage<T, Next>> | null>,
    private readonly changed: () => void,
  ) {}

  find(query: string): Promise<void> {
    return this.load(query, null, []);
  }

  /** The page behind what was found; after a failure the same again. */
  async more(): Promise<void> {
    const { query, items, loading, failure, more } = this.view;
    if (query !== null && !loading && (more || failure !== null)) await this.load(query, this.next, this.next === null ? [] : items);
  }

  /** Nothing is asked any more. */
  forget(): void {
    this.asked += 1;
    this.next = null;
    this.show({ query: null, items: [], loading: false, failure: null, more: false, partial: false });
  }

  private async load(query: string, next: Next | null, before: readonly T[]): Promise<void> {
    const asked = (this.asked += 1);
    this.next = next;
    this.show({ ...this.view, query, loading: true, failure: null });
    const answer = await this.ask(query, next).catch(() => null);
    if (asked !== this.asked) return;
    if (!answer?.ok) {
      this.show({ ...this.view, items: before, loading: false, failure: kindly(answer?.error ?? null), more: false });
      return;
    }
    const { items: found, next: behind, partial } = answer.value;
    const items = [...before, ...found].slice(0, MOST);
    this.next = behind;
    this.show({ query, items, loading: false, failure: null, more: behind !== null && items.length < MOST, partial: partial === true });
  }

  private show(view: Findings<T>): void {
    this.view = view;
    this.changed();
  }
}
