import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Typist } from "../../src/realtime/typist";
import { FakePorts } from "../support";

const [ada, bo] = [{ id: "a", name: "Ada" }, { id: "b", name: "Bo" }];
let ports: FakePorts;
let typist: Typist;

beforeEach(() => {
  vi.useFakeTimers({ now: 0 });
  ports = new FakePorts();
  typist = new Typist(ports);
});
afterEach(() => {
  typist.stop();
  vi.useRealTimers();
});

const told = (): unknown[] => ports.link.of("typing").map(({ args }) => args[0]);
const typing = (): string[] => typist.users("me").map(({ name }) => name);

test("typing is told once, and its end after a rest", async () => {
  for (let key = 0; key < 5; key += 1) {
    typist.typed();
    await vi.advanceTimersByTimeAsync(100);
  }
  expect(told()).toEqual([true]);
  await vi.advanceTimersByTimeAsync(5_000);
  expect(told()).toEqual([true, false]);
});

test("sending ends it at once; what was not begun is not ended", () => {
  typist.stopped();
  typist.typed();
  typist.stopped();
  typist.stopped();
  expect(told()).toEqual([true, false]);
});

test("an answer that does not come troubles nobody", async () => {
  typist.typed();
  await ports.link.last("typing").drop();
  typist.stopped();
  expect(told()).toEqual([true, false]);
});

test("away, nothing is told", async () => {
  typist.typed();
  ports.live = false;
  typist.typed();
  await vi.advanceTimersByTimeAsync(60_000);
  expect(told()).toEqual([true]);
});

test("others are shown until their word is stale", async () => {
  typist.heard(ada, true);
  await vi.advanceTimersByTimeAsync(4_000);
  typist.heard(bo, true);
  typist.heard({ id: "me", name: "Me" }, true);
  expect(typing()).toEqual(["Ada", "Bo"]);
  await vi.advanceTimersByTimeAsync(4_000);
  expect([typing(), ports.changes]).toEqual([["Bo"], 1]);
  typist.heard(bo, false);
  expect(typing()).toEqual([]);
});

test("whose message came, types no more", () => {
  typist.heard(ada, true);
  typist.silenced("a");
  expect(typing()).toEqual([]);
});

test("a lost connection forgets both directions and every timer", () => {
  typist.typed();
  typist.heard(ada, true);
  typist.clear();
  expect([typing(), vi.getTimerCount()]).toEqual([[], 0]);
  typist.typed();
  expect(told()).toEqual([true, true]);
});
