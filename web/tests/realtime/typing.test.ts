import { expect, test } from "vitest";
import { TypingSignal, TypingUsers } from "../../src/realtime/typing";

const ada = { id: "a", name: "Ada" };
const bo = { id: "b", name: "Bo" };

test("a burst of keys is told once, long typing again and again", () => {
  const signal = new TypingSignal();
  const told = Array.from({ length: 100 }, (_, index) => index * 100).filter((now) => signal.typed(now));
  expect(told).toEqual([0, 3_000, 6_000, 9_000]);
});

test("stopping is told only if typing was, and then typing is told anew at once", () => {
  const signal = new TypingSignal();
  expect(signal.stopped()).toBe(false);
  signal.typed(0);
  expect([signal.stopped(), signal.stopped()]).toEqual([true, false]);
  expect(signal.typed(1)).toBe(true);
});

test("idle counts from the last key", () => {
  const signal = new TypingSignal();
  expect(signal.idleIn(0)).toBeNull();
  signal.typed(0);
  signal.typed(2_000);
  expect(signal.idleIn(3_000)).toBe(4_000);
  expect(signal.idleIn(99_000)).toBe(0);
});

test("nobody types for ever", () => {
  const users = new TypingUsers();
  users.set(ada, true, 0);
  users.set(bo, true, 1_000);
  expect(users.nextIn(0)).toBe(8_000);
  expect([users.expire(7_999), users.expire(8_000)]).toEqual([false, true]);
  expect(users.users).toEqual([bo]);
  users.set(bo, true, 8_500);
  expect(users.expire(9_500)).toBe(false);
  users.set(bo, false, 9_000);
  expect([users.users, users.nextIn(9_000)]).toEqual([[], null]);
});
