import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Historian } from "../../src/realtime/historian";
import { Timeline } from "../../src/realtime/timeline";
import { FakePorts, message, sent } from "../support";

let ports: FakePorts;
let timeline: Timeline;
let historian: Historian;

beforeEach(() => {
  vi.useFakeTimers({ now: 0 });
  ports = new FakePorts();
  timeline = new Timeline();
  historian = new Historian(Object.assign(ports, { timeline }));
});
afterEach(() => {
  historian.stop();
  vi.useRealTimers();
});

const asked = (): unknown[] => ports.link.of("history").map(({ args }) => args[0]);
const offsets = (): number[] => timeline.messages.map(({ offset }) => offset);
const gaps = (): string[] => historian.gaps().map(({ kind, from, to }) => `${kind} ${from}-${to}`);
const refusal = (temporary: boolean, retryAfter?: number) => ({
  ok: false,
  error: { code: "rate_limited", message: "too fast", temporary, retry_after: retryAfter },
});

function page(from: number, to: number, more: boolean, top = to, epoch = "e") {
  const items = Array.from({ length: to - from + 1 }, (_, index) => sent(message(from + index)));
  return { ok: true, items, more, position: `${epoch}.${top}` };
}

async function arrive(from: number, to: number): Promise<void> {
  timeline.reach({ epoch: "e", offset: to });
  historian.welcomed();
  await ports.link.last("history").answer(page(from, to, from > 1));
}

test("the first page, then older ones from where it began, one at a time", async () => {
  await arrive(101, 150);
  const older = historian.older();
  expect(historian.loading).toBe("older");
  expect(await historian.older()).toBe(false);
  await ports.link.last("history").answer(page(51, 100, true, 150));
  expect(await older).toBe(true);
  expect(asked()).toEqual([{ limit: 50 }, { before: 101, limit: 50 }]);
  expect([offsets().length, historian.loading]).toEqual([100, null]);
});

test("the beginning of the log is the end of the asking", async () => {
  await arrive(1, 3);
  expect(await historian.older()).toBe(false);
  historian.welcomed();
  expect(asked()).toHaveLength(1);
});

test("a gap is filled from its newest end, a page at a time", async () => {
  await arrive(1, 3);
  timeline.declareLost({ from: 4, to: 99 });
  timeline.add(message(100));
  void historian.fill(timeline.gaps()[0]!);
  await ports.link.last("history").answer(page(50, 99, true, 100));
  expect(asked().at(-1)).toEqual({ before: 100, limit: 50 });
  expect(gaps()).toEqual(["lost 4-49"]);
});

test("around a message: what lies between is left out, and loaded from where the reader is", async () => {
  await arrive(951, 1_000);
  void historian.around(500);
  expect([historian.loading, asked().at(-1)]).toEqual(["around", { before: 526, limit: 50 }]);
  await ports.link.last("history").answer(page(476, 525, true, 1_000));
  historian.watch();
  expect([offsets().length, timeline.oldest, gaps(), vi.getTimerCount()]).toEqual([100, 476, ["skipped 526-950"], 0]);
  void historian.fill(timeline.gaps()[0]!);
  expect(asked().at(-1)).toEqual({ before: 576, limit: 50 });
  await ports.link.last("history").answer(page(526, 575, true, 1_000));
  expect(gaps()).toEqual(["skipped 576-950"]);
});

test("around one of the last that are not here nothing is left out", async () => {
  await arrive(951, 1_000);
  void historian.around(940);
  expect(asked().at(-1)).toEqual({ before: 951, limit: 50 });
  await ports.link.last("history").answer(page(901, 950, true, 1_000));
  expect([offsets().length, gaps()]).toEqual([100, []]);
});

test("a hole nobody declared is kept from view for a moment, and filled", async () => {
  await arrive(1, 3);
  timeline.add(message(6));
  historian.watch();
  expect(gaps()).toEqual([]);
  await vi.advanceTimersByTimeAsync(1_500);
  expect(asked().at(-1)).toEqual({ before: 6, limit: 2 });
  await ports.link.last("history").answer(page(4, 5, true, 6));
  expect([offsets(), gaps()]).toEqual([[1, 2, 3, 4, 5, 6], []]);
});

test("replayed messages that were on their way are not asked for", async () => {
  await arrive(1, 3);
  timeline.add(message(5));
  historian.watch();
  timeline.add(message(4));
  await vi.advanceTimersByTimeAsync(10_000);
  expect(asked()).toHaveLength(1);
});

test("filling waits for what is being loaded", async () => {
  await arrive(51, 100);
  timeline.add(message(102));
  historian.watch();
  void historian.older();
  await vi.advanceTimersByTimeAsync(1_500);
  expect(asked()).toHaveLength(2);
  await ports.link.last("history").answer(page(1, 50, false, 102));
  await vi.advanceTimersByTimeAsync(1_500);
  expect(asked().at(-1)).toEqual({ before: 102, limit: 1 });
});

test("a refusal for a while is waited out as long as a reader would wait", async () => {
  timeline.reach({ epoch: "e", offset: 3 });
  historian.welcomed();
  await ports.link.last("history").answer(refusal(true, 3));
  await vi.advanceTimersByTimeAsync(2_999);
  expect(asked()).toHaveLength(1);
  await vi.advanceTimersByTimeAsync(1);
  await ports.link.last("history").answer(refusal(true, 600));
  expect([asked().length, historian.failed]).toEqual([2, true]);
});

test.each([
  ["a refusal for good", () => refusal(false)],
  ["nonsense", () => ({ ok: true, items: 7 })],
])("%s is a failure, said at once", async (_what, answer) => {
  historian.welcomed();
  await ports.link.last("history").answer(answer());
  expect([historian.failed, historian.loading, asked().length]).toEqual([true, null, 1]);
});

test("a page that brings nothing new is a failure, not a loop", async () => {
  await arrive(51, 100);
  void historian.older();
  await ports.link.last("history").answer({ ok: true, items: [], more: true, position: "e.100" });
  expect(historian.failed).toBe(true);
});

test("a page of another log means: begin anew", async () => {
  await arrive(51, 100);
  void historian.older();
  await ports.link.last("history").answer(page(1, 2, false, 2, "f"));
  expect([asked().at(-1), offsets()]).toEqual([{ limit: 50 }, []]);
  await ports.link.last("history").answer(page(1, 2, false, 2, "f"));
  expect(offsets()).toEqual([1, 2]);
});

test("without leave to look back nothing is asked and every hole is shown", async () => {
  ports.lookBack = false;
  historian.welcomed();
  for (const offset of [3, 7]) timeline.add(message(offset));
  historian.watch();
  expect(await historian.older()).toBe(false);
  expect(await historian.fill(timeline.gaps()[0]!)).toBe(false);
  expect([asked(), gaps(), vi.getTimerCount()]).toEqual([[], ["missing 4-6"], 0]);
});
