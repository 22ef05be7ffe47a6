import { expect, test } from "vitest";
import { delay } from "../../src/realtime/backoff";

test("doubles up to its most", () => {
  expect([1, 2, 3, 6, 99].map((attempt) => delay(attempt, 0))).toEqual([1_000, 2_000, 4_000, 30_000, 30_000]);
});

test("never earlier than the server asked, and spread", () => {
  expect(delay(1, 0, 12)).toBe(12_000);
  expect(delay(1, 1, 12)).toBe(15_000);
  expect(delay(4, 0, 0.5)).toBe(8_000);
});
