import { describe, expect, test } from "vitest";
import { holes, intersect, size, subtract, union, type Range } from "../../src/realtime/ranges";
import { randomFrom } from "../support";

const HIGHEST = 40;

function members(ranges: readonly Range[]): Set<number> {
  return new Set(ranges.flatMap(({ from, to }) => Array.from({ length: to - from + 1 }, (_, index) => from + index)));
}

function expectNormal(ranges: readonly Range[]): void {
  for (const [index, range] of ranges.entries()) {
    expect(range.from).toBeLessThanOrEqual(range.to);
    const next = ranges[index + 1];
    if (next) expect(next.from).toBeGreaterThan(range.to + 1);
  }
}

describe("against sets of numbers", () => {
  test.each(Array.from({ length: 60 }, (_, seed) => seed))("seed %i", (seed) => {
    const random = randomFrom(seed);
    const number = (): number => Math.floor(random() * HIGHEST);
    let ranges: Range[] = [];
    let model = new Set<number>();
    for (let step = 0; step < 40; step += 1) {
      const from = number();
      const range = { from, to: from + Math.floor(random() * 8) - 1 };
      const inside = members([range]);
      if (random() < 0.6) {
        ranges = union(ranges, range);
        model = new Set([...model, ...inside]);
      } else {
        ranges = subtract(ranges, range);
        model = new Set([...model].filter((offset) => !inside.has(offset)));
      }
      expectNormal(ranges);
      expect(members(ranges)).toEqual(model);
      const window = { from: 5, to: 30 };
      const all = [...members([window])];
      expect(members(intersect(ranges, window))).toEqual(new Set(all.filter((offset) => model.has(offset))));
      expect(members(holes(ranges, window))).toEqual(new Set(all.filter((offset) => !model.has(offset))));
    }
  });
});

test("size counts both ends", () => expect(size({ from: 3, to: 3 })).toBe(1));
