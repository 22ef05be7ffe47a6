import { beforeEach, expect, test, vi } from "vitest";
import { Finder, type FoundPage } from "../../src/realtime/finder";
import type { Answer } from "../../src/realtime/wire";

type Page = Answer<FoundPage<string, number>> | null;
let asked: { query: string; next: number | null; answer: (page: Page) => Promise<void>; drop: () => Promise<void> }[];
let finder: Finder<string, number>;
const changed = vi.fn();

beforeEach(() => {
  asked = [];
  finder = new Finder((query, next) => {
    let resolve!: (page: Page) => void;
    let reject!: (error: Error) => void;
    const promise = new Promise<Page>((...both) => ([resolve, reject] = both));
    const settled = async (): Promise<void> => {
      for (let turn = 0; turn < 10; turn += 1) await Promise.resolve();
    };
    asked.push({
      query,
      next,
      answer: (page) => (resolve(page), settled()),
      drop: () => (reject(new Error("gone")), settled()),
    });
    return promise;
  }, changed);
});

const page = (items: string[], next: number | null = null, partial?: boolean): Page => ({ ok: true, value: { items, next, ...(partial && { partial }) } });
const refused: Page = { ok: false, error: { code: "rate_limited", message: "x", temporary: true, retryAfter: null } };

test("what is found stays to be seen until there is something else", async () => {
  expect(finder.view.query).toBe(null);
  void finder.find("a");
  expect(finder.view).toMatchObject({ query: "a", loading: true });
  await asked[0]!.answer(page(["1", "2"]));
  void finder.find("b");
  expect(finder.view).toMatchObject({ query: "b", items: ["1", "2"], loading: true });
  await asked[1]!.answer(page(["3"]));
  expect(finder.view).toEqual({ query: "b", items: ["3"], loading: false, failure: null, more: false, partial: false });
});

test("the newest question counts, whichever is answered last", async () => {
  void finder.find("a");
  void finder.find("b");
  await asked[1]!.answer(page(["b"]));
  await asked[0]!.answer(page(["a"]));
  expect(finder.view).toMatchObject({ query: "b", items: ["b"] });
});

test("pages follow each other, one at a time", async () => {
  void finder.more();
  void finder.find("a");
  await asked[0]!.answer(page(["1"], 7, true));
  expect(finder.view).toMatchObject({ more: true, partial: true });
  void finder.more();
  void finder.more();
  expect(asked.map(({ next }) => next)).toEqual([null, 7]);
  await asked[1]!.answer(page(["2"]));
  void finder.more();
  expect([finder.view.items, finder.view.more, finder.view.partial, asked.length]).toEqual([["1", "2"], false, false, 2]);
});

test("a failure says why, keeps what was found, and the same can be asked again", async () => {
  void finder.find("a");
  await asked[0]!.answer(page(["1"], 7));
  void finder.more();
  await asked[1]!.answer(refused);
  expect(finder.view).toMatchObject({ items: ["1"], more: false, failure: "That was a bit too fast. It goes on in a moment." });
  void finder.more();
  expect([asked[2]!.next, finder.view.failure]).toEqual([7, null]);
  await asked[2]!.drop();
  expect(finder.view.failure).toBe("No answer came.");
});

test("of a first page that failed nothing old is left", async () => {
  void finder.find("a");
  await asked[0]!.answer(page(["1"]));
  void finder.find("b");
  await asked[1]!.answer(null);
  expect(finder.view).toMatchObject({ query: "b", items: [] });
  void finder.more();
  expect(asked[2]).toMatchObject({ query: "b", next: null });
});

test("who has seen a thousand asks something else", async () => {
  void finder.find("a");
  await asked[0]!.answer(page(Array.from({ length: 1_001 }, (_, n) => `${n}`), 7));
  expect([finder.view.items.length, finder.view.more]).toEqual([1_000, false]);
});

test("what is forgotten is not answered any more", async () => {
  void finder.find("a");
  finder.forget();
  await asked[0]!.answer(page(["1"]));
  expect(finder.view).toMatchObject({ query: null, items: [], loading: false });
});
