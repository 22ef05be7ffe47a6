import { beforeEach, describe, expect, test } from "vitest";
import { Outbox, OUTBOX_LIMIT } from "../../src/realtime/outbox";
import type { Refusal } from "../../src/realtime/wire";
import { FakeStore, randomFrom } from "../support";

const permanent: Refusal = { code: "too_long", message: "too long", temporary: false, retryAfter: null };
const slow = (retryAfter: number | null): Refusal => ({ code: "slow", message: "slow", temporary: true, retryAfter });

let store: FakeStore;
let outbox: Outbox;

beforeEach(() => {
  store = new FakeStore();
  outbox = new Outbox(store);
});

function sending(now = 0): string | null {
  const next = outbox.next(now);
  return next && "send" in next ? next.send.id : null;
}

test("one under way at a time, in order", () => {
  outbox.add("a", "1", 0);
  outbox.add("b", "2", 0);
  expect(sending()).toBe("a");
  outbox.begin("a");
  expect(outbox.next(0)).toBeNull();
  outbox.taken("a", 7);
  expect(sending()).toBe("b");
  expect(outbox.entries[0]).toMatchObject({ id: "a", state: "sent", offset: 7 });
});

test("a message survives a reload with its id until the room took it", () => {
  outbox.add("a", "1", 5);
  outbox.add("b", "2", 5);
  outbox.begin("a");
  const reloaded = new Outbox(store);
  expect(reloaded.entries.map(({ id, body, state }) => [id, body, state])).toEqual([
    ["a", "1", "sending"],
    ["b", "2", "sending"],
  ]);
  outbox.taken("a", 1);
  expect(new Outbox(store).entries.map(({ id }) => id)).toEqual(["b"]);
});

test("order survives a reload though the store has none and the clock stood still or went back", () => {
  for (const [index, id] of ["z", "m", "a", "q"].entries()) outbox.add(id, id, 100 - index);
  const shuffled = new FakeStore();
  for (const entry of [...store.kept.values()].reverse()) shuffled.put(entry);
  expect(new Outbox(shuffled).entries.map(({ id }) => id)).toEqual(["z", "m", "a", "q"]);
});

test("a temporary refusal holds the ones behind it back", () => {
  outbox.add("a", "1", 0);
  outbox.add("b", "2", 0);
  outbox.begin("a");
  outbox.refused("a", slow(5), 1_000, 0);
  expect(outbox.next(5_999)).toEqual({ waitUntil: 6_000 });
  expect(sending(6_000)).toBe("a");
  expect(outbox.entries[0]).toMatchObject({ state: "sending", error: { code: "slow" } });
});

test("repeated refusals wait longer each time, never shorter than asked", () => {
  outbox.add("a", "1", 0);
  const waits = [1, 2, 3, 4, 20].map(() => {
    outbox.begin("a");
    outbox.refused("a", slow(null), 0, 0);
    return outbox.entries[0]!.notBefore;
  });
  expect(waits).toEqual([1_000, 2_000, 4_000, 8_000, 16_000]);
  outbox.begin("a");
  outbox.refused("a", slow(3), 0, 0);
  expect(outbox.entries[0]!.notBefore).toBe(30_000);
});

test("a refusal for good fails the message, not the ones behind it", () => {
  outbox.add("a", "1", 0);
  outbox.add("b", "2", 0);
  outbox.begin("a");
  outbox.refused("a", permanent, 0, 0);
  expect(outbox.entries[0]).toMatchObject({ state: "failed", error: permanent });
  expect(sending()).toBe("b");
  expect(new Outbox(store).entries[0]).toMatchObject({ id: "a", state: "failed", error: permanent });
});

test("a failed message is tried again or thrown away only by the user", () => {
  outbox.add("a", "1", 0);
  outbox.begin("a");
  outbox.refused("a", permanent, 0, 0);
  outbox.reconnected();
  expect(sending(1e9)).toBeNull();
  outbox.retry("a");
  expect(sending()).toBe("a");
  expect(new Outbox(store).entries[0]).toMatchObject({ state: "sending", error: null });
  expect(outbox.discard("a")).toBe(true);
  expect([outbox.entries.length, store.kept.size]).toEqual([0, 0]);
});

test("what is under way is not thrown away", () => {
  outbox.add("a", "1", 0);
  outbox.begin("a");
  expect(outbox.discard("a")).toBe(false);
  expect(outbox.entries).toHaveLength(1);
});

test("without an answer the same id goes out again, at once after a return", () => {
  outbox.add("a", "1", 0);
  outbox.begin("a");
  outbox.unanswered("a", 0, 0);
  expect(sending(0)).toBeNull();
  outbox.reconnected();
  expect(sending(0)).toBe("a");
});

test("a return does not lift the server's word to wait", () => {
  outbox.add("a", "1", 0);
  outbox.begin("a");
  outbox.refused("a", slow(60), 0, 0);
  outbox.reconnected();
  expect(outbox.next(0)).toEqual({ waitUntil: 60_000 });
});

test("shown by the room before the answer: gone, and the next may go", () => {
  outbox.add("a", "1", 0);
  outbox.add("b", "2", 0);
  outbox.begin("a");
  outbox.shown("a");
  outbox.taken("a", 3);
  expect(outbox.entries.map(({ id }) => id)).toEqual(["b"]);
  expect(sending()).toBe("b");
  expect(store.kept.has("a")).toBe(false);
});

test("a late answer of an earlier message does not free the present one", () => {
  outbox.add("a", "1", 0);
  outbox.add("b", "2", 0);
  outbox.begin("a");
  outbox.shown("a");
  outbox.begin("b");
  outbox.taken("a", 3);
  expect(outbox.next(0)).toBeNull();
});

test("is bounded, and keeps the oldest when the store holds too much", () => {
  for (let index = 0; index < OUTBOX_LIMIT; index += 1) expect(outbox.add(`${index}`, "x", index)).toBe(true);
  expect(outbox.add("one more", "x", 0)).toBe(false);
  expect(store.kept.size).toBe(OUTBOX_LIMIT);
  store.put({ id: "other tab", body: "x", at: 1e15, error: null });
  expect(new Outbox(store).entries).toHaveLength(OUTBOX_LIMIT);
});

test("sent messages leave once their place is known", () => {
  outbox.add("a", "1", 0);
  outbox.begin("a");
  outbox.taken("a", 9);
  outbox.settle((offset) => offset < 9);
  expect(outbox.entries).toHaveLength(1);
  outbox.settle((offset) => offset === 9);
  expect(outbox.entries).toHaveLength(0);
});

describe("against a room that loses answers, refuses and restarts", () => {
  test.each(Array.from({ length: 60 }, (_, seed) => seed))("seed %i: each message once, in order", (seed) => {
    const random = randomFrom(seed);
    const log: string[] = [];
    let now = 0;
    let written = 0;
    for (let step = 0; step < 400; step += 1) {
      now += Math.floor(random() * 3_000);
      if (written < 40 && random() < 0.3) outbox.add(`m${written++}`, "x", now);
      const id = sending(now);
      if (id !== null) {
        outbox.begin(id);
        const fate = random();
        if (fate > 0.4 && !log.includes(id)) log.push(id);
        if (fate < 0.2) outbox.refused(id, slow(random() * 3), now, random());
        else if (fate < 0.6) outbox.unanswered(id, now, random());
        else outbox.taken(id, log.indexOf(id) + 1);
      }
      if (random() < 0.1) outbox.reconnected();
      if (random() < 0.05) outbox = new Outbox(store);
    }
    while (outbox.next(Infinity)) {
      const id = sending(Infinity)!;
      outbox.begin(id);
      if (!log.includes(id)) log.push(id);
      outbox.taken(id, log.indexOf(id) + 1);
    }
    expect(log).toEqual(Array.from({ length: written }, (_, index) => `m${index}`));
    expect(store.kept.size).toBe(0);
  });
});
