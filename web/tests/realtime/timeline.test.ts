import { beforeEach, describe, expect, test } from "vitest";
import { missing, Timeline } from "../../src/realtime/timeline";
import type { Operation } from "../../src/realtime/wire";
import { message, randomFrom } from "../support";

const offsets = (timeline: Timeline): number[] => timeline.messages.map(({ offset }) => offset);

/** A page as the server would cut it from a log that holds `floor`..`top`. */
function page(top: number, before: number | null, limit: number, floor = 1) {
  const last = before === null ? top : before - 1;
  const first = Math.max(floor, last - limit + 1);
  const items = [];
  for (let offset = first; offset <= last; offset += 1) items.push(message(offset));
  return { items, more: first > floor, before, top };
}

test("sorts by offset and keeps each message once", () => {
  const timeline = new Timeline();
  expect([3, 1, 2, 3].map((offset) => timeline.add(message(offset)))).toEqual([true, true, true, false]);
  expect(offsets(timeline)).toEqual([1, 2, 3]);
});

test("live messages that overtake the first page do not leave a hole", () => {
  const timeline = new Timeline();
  timeline.reach({ epoch: "e", offset: 100 });
  timeline.add(message(101));
  timeline.addPage(page(100, null, 50));
  expect(timeline.gaps()).toEqual([]);
  expect(timeline.oldest).toBe(51);
});

test("what is below the first page is older history, not a gap", () => {
  const timeline = new Timeline();
  timeline.declareLost({ from: 10, to: 20 });
  timeline.reach({ epoch: "e", offset: 100 });
  timeline.addPage(page(100, null, 50));
  expect(timeline.gaps()).toEqual([]);
  expect(timeline.complete).toBe(false);
});

test("a return that missed something shows what, up to the room's top", () => {
  const timeline = new Timeline();
  timeline.addPage(page(10, null, 50));
  timeline.reach({ epoch: "e", offset: 15 });
  expect(timeline.gaps()).toEqual([{ from: 11, to: 15, kind: "missing" }]);
  timeline.declareLost({ from: 11, to: 13 });
  timeline.add(message(14));
  expect(timeline.gaps()).toEqual([
    { from: 11, to: 13, kind: "lost" },
    { from: 15, to: 15, kind: "missing" },
  ]);
  expect(missing(timeline.gaps())).toBe(4);
});

test("a page of history closes a lost gap from its newest end", () => {
  const timeline = new Timeline();
  timeline.addPage(page(10, null, 50));
  timeline.declareLost({ from: 11, to: 30 });
  timeline.add(message(31));
  timeline.addPage(page(31, 31, 5));
  expect(timeline.gaps()).toEqual([{ from: 11, to: 25, kind: "lost" }]);
  timeline.addPage(page(31, 26, 15));
  expect(timeline.gaps()).toEqual([]);
  expect(offsets(timeline)).toEqual(Array.from({ length: 31 }, (_, index) => index + 1));
});

test("what history has no longer is said, once and for good", () => {
  const timeline = new Timeline();
  timeline.addPage(page(10, null, 50));
  timeline.declareLost({ from: 11, to: 30 });
  timeline.addPage(page(30, 31, 50, 25));
  expect(timeline.gaps()).toEqual([{ from: 11, to: 24, kind: "gone" }]);
  timeline.addPage(page(30, 31, 50, 25));
  expect(timeline.gaps()).toEqual([{ from: 11, to: 24, kind: "gone" }]);
  expect(missing(timeline.gaps())).toBe(0);
});

test("offsets that are no messages (an edit) do not stay a hole once a page covered them", () => {
  const timeline = new Timeline();
  timeline.add(message(5));
  timeline.add(message(8));
  expect(timeline.gaps()).toEqual([{ from: 6, to: 7, kind: "missing" }]);
  timeline.addPage({ items: [message(4), message(5)], more: true, before: 8, top: 8 });
  expect(timeline.gaps()).toEqual([]);
});

test("a late declaration does not hide what is known", () => {
  const timeline = new Timeline();
  for (let offset = 1; offset <= 5; offset += 1) timeline.add(message(offset));
  timeline.declareLost({ from: 2, to: 4 });
  expect(timeline.gaps()).toEqual([]);
});

test("another epoch is another log", () => {
  const timeline = new Timeline();
  expect(timeline.reach({ epoch: "a", offset: 3 })).toBe(false);
  timeline.addPage(page(3, null, 50));
  expect(timeline.reach({ epoch: "b", offset: 1 })).toBe(true);
  expect([offsets(timeline), timeline.oldest, timeline.top, timeline.complete]).toEqual([[], null, 1, false]);
});

test("trimmed messages are older history again", () => {
  const timeline = new Timeline();
  timeline.addPage(page(20, null, 50));
  expect(timeline.complete).toBe(true);
  timeline.trim(5);
  expect([offsets(timeline), timeline.oldest, timeline.complete]).toEqual([[16, 17, 18, 19, 20], 16, false]);
  timeline.addPage(page(20, 16, 50));
  expect(offsets(timeline)).toHaveLength(20);
  expect(timeline.gaps()).toEqual([]);
});

describe("any mix of live, replayed, lost and loaded", () => {
  test.each(Array.from({ length: 120 }, (_, seed) => seed))("seed %i ends whole and in order", (seed) => {
    const random = randomFrom(seed);
    const timeline = new Timeline();
    const floor = 1 + Math.floor(random() * 20);
    let top = 30 + Math.floor(random() * 30);
    const seen = new Set<number>();
    timeline.reach({ epoch: "e", offset: top });

    for (let step = 0; step < 60; step += 1) {
      const dice = random();
      if (dice < 0.4) {
        top += 1;
        if (random() < 0.7) {
          timeline.add(message(top));
          seen.add(top);
        }
      } else if (dice < 0.6) {
        const offset = floor + Math.floor(random() * (top - floor + 1));
        timeline.add(message(offset));
        seen.add(offset);
      } else if (dice < 0.75) {
        const from = 1 + Math.floor(random() * top);
        timeline.declareLost({ from, to: Math.min(top, from + Math.floor(random() * 6)) });
      } else {
        const before = random() < 0.5 ? null : floor + 1 + Math.floor(random() * (top - floor));
        const loaded = page(top, before, 1 + Math.floor(random() * 8), floor);
        timeline.addPage(loaded);
        for (const { offset } of loaded.items) seen.add(offset);
      }
      // Exactly what was seen, in order, once; and every offset in view is a message or in exactly one gap.
      expect(offsets(timeline)).toEqual([...seen].sort((a, b) => a - b));
      const inGaps = timeline.gaps().flatMap(({ from, to }) => Array.from({ length: to - from + 1 }, (_, i) => from + i));
      expect(new Set(inGaps).size).toBe(inGaps.length);
      const oldest = timeline.oldest;
      const wrong = [];
      for (let offset = Math.max(oldest ?? Infinity, floor); offset <= timeline.top; offset += 1) {
        if (seen.has(offset) === inGaps.includes(offset)) wrong.push(offset);
      }
      expect(wrong).toEqual([]);
    }

    timeline.reach({ epoch: "e", offset: top });
    if (timeline.oldest === null) timeline.addPage(page(top, null, 10, floor));
    for (let turn = 0; turn < 200; turn += 1) {
      const gap = timeline.gaps().findLast(({ kind }) => kind !== "gone");
      if (gap) timeline.addPage(page(top, gap.to + 1, 5, floor));
      else if (!timeline.complete) timeline.addPage(page(top, timeline.oldest, 5, floor));
      else break;
    }
    expect(offsets(timeline)).toEqual(Array.from({ length: top - floor + 1 }, (_, index) => floor + index));
    expect(missing(timeline.gaps())).toBe(0);
  });
});

describe("what is done to messages", () => {
  const bob = { id: "u-bob", name: "Bob" };
  const done = (target: number, more: Partial<Operation>): Operation =>
    ({ kind: "delete", target, user: bob, at: 99, ...more }) as Operation;
  const reaction = (target: number, emoji: string, count: number, on = true): Operation =>
    done(target, { kind: "reaction", emoji, count, on });
  let timeline: Timeline;

  beforeEach(() => {
    timeline = new Timeline();
    for (const offset of [1, 2, 3]) timeline.add(message(offset));
  });
  const at = (offset: number) => timeline.messages.find((one) => one.offset === offset)!;

  test("is no hole in the log", () => {
    timeline.operate(4, done(2, { kind: "edit", body: "new" }), false);
    timeline.add(message(5));
    expect([timeline.gaps(), timeline.top, offsets(timeline)]).toEqual([[], 5, [1, 2, 3, 5]]);
  });

  test("an edit changes the body, a deletion takes everything", () => {
    timeline.operate(4, done(2, { kind: "edit", body: "new" }), true);
    timeline.operate(5, reaction(2, "🎉", 1), true);
    expect(at(2)).toMatchObject({ body: "new", edited: 99, reactions: [{ emoji: "🎉", count: 1, mine: true }] });
    timeline.operate(6, done(2, {}), true);
    const { id, offset, user, at: time } = message(2);
    expect(at(2)).toEqual({ id, offset, user, at: time, body: null, deleted: 99 });
    timeline.operate(7, done(2, { kind: "edit", body: "late" }), true);
    expect(at(2).body).toBe(null);
    expect(at(1)).toEqual(message(1));
  });

  test("reactions are counted by the server, and mine is what I did", () => {
    timeline.operate(4, reaction(1, "🎉", 1), false);
    timeline.operate(5, reaction(1, "🎉", 2), true);
    timeline.operate(6, reaction(1, "👀", 1), false);
    expect(at(1).reactions).toEqual([
      { emoji: "🎉", count: 2, mine: true },
      { emoji: "👀", count: 1, mine: false },
    ]);
    timeline.operate(7, reaction(1, "🎉", 1, false), false);
    timeline.operate(8, reaction(1, "👀", 0, false), false);
    expect(at(1).reactions).toEqual([{ emoji: "🎉", count: 1, mine: true }]);
  });

  test("is done again to a page that was read before it and came after it", () => {
    timeline = new Timeline();
    timeline.operate(11, done(9, { kind: "edit", body: "new" }), false);
    timeline.operate(12, done(8, {}), false);
    timeline.addPage({ items: [8, 9, 10].map((offset) => message(offset)), more: true, before: null, top: 11 });
    expect([at(9).body, at(8).deleted]).toEqual([message(9).body, 99]);
    expect(timeline.gaps()).toEqual([]);
  });

  test("a page goes down to where the server says, not only to its first message", () => {
    timeline = new Timeline();
    timeline.addPage({ items: [message(30)], more: true, next: 12, before: null, top: 30 });
    expect(timeline.oldest).toBe(12);
    timeline.addPage({ items: [], more: true, next: 5, before: 12, top: 30 });
    expect([timeline.oldest, timeline.complete]).toEqual([5, false]);
  });
});
