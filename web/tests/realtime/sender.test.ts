import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Outbox } from "../../src/realtime/outbox";
import { Sender } from "../../src/realtime/sender";
import { FakePorts, FakeStore } from "../support";

let ports: FakePorts;
let outbox: Outbox;
let sender: Sender;

beforeEach(() => {
  vi.useFakeTimers({ now: 0 });
  ports = new FakePorts();
  outbox = new Outbox(new FakeStore());
  sender = new Sender(Object.assign(ports, { outbox }));
  for (const id of ["a", "b"]) outbox.add(id, `text ${id}`, 0);
});
afterEach(() => {
  sender.stop();
  vi.useRealTimers();
});

const out = (): unknown[] => ports.link.of("message").map(({ args }) => args[0]);
const taken = (offset: number) => ({ ok: true, id: "x", offset, at: 0 });

test("one at a time, in order, each with its id", async () => {
  sender.pump();
  sender.pump();
  expect(ports.link.of("message").map(({ args }) => args)).toEqual([["text a", { id: "a" }]]);
  await ports.link.last("message").answer(taken(1));
  expect(out()).toEqual(["text a", "text b"]);
  await ports.link.last("message").answer(taken(2));
  expect(outbox.entries.map(({ state, offset }) => [state, offset])).toEqual([["sent", 1], ["sent", 2]]);
  expect(ports.changes).toBe(2);
});

test("nothing goes out while the connection is away", () => {
  ports.live = false;
  sender.pump();
  expect(out()).toEqual([]);
});

test("a temporary refusal is waited out, and holds the next one back", async () => {
  sender.pump();
  const error = { code: "rate_limited", message: "too fast", temporary: true, retry_after: 2 };
  await ports.link.last("message").answer({ ok: false, error });
  await vi.advanceTimersByTimeAsync(1_999);
  expect(out()).toEqual(["text a"]);
  await vi.advanceTimersByTimeAsync(1);
  expect(out()).toEqual(["text a", "text a"]);
});

test("a refusal for good lets the next one go", async () => {
  sender.pump();
  await ports.link.last("message").answer({ ok: false, error: { code: "too_large", message: "big", temporary: false } });
  expect(out()).toEqual(["text a", "text b"]);
  expect(outbox.entries[0]).toMatchObject({ state: "failed", error: { code: "too_large" } });
});

test.each([["no answer", undefined], ["an answer that is none", { ok: true }]])("%s: the same goes out again", async (_what, answer) => {
  sender.pump();
  const asked = ports.link.last("message");
  await (answer ? asked.answer(answer) : asked.drop());
  await vi.advanceTimersByTimeAsync(1_000);
  expect(ports.link.of("message").map(({ args }) => args[1])).toEqual([{ id: "a" }, { id: "a" }]);
});

test("a late answer counts only where it is good news", async () => {
  sender.pump();
  const first = ports.link.last("message");
  sender.reconnected();
  const second = ports.link.last("message");
  await first.drop();
  expect(out()).toEqual(["text a", "text a"]);
  await second.answer(taken(1));
  expect(out()).toEqual(["text a", "text a", "text b"]);

  const third = ports.link.last("message");
  sender.reconnected();
  await third.answer(taken(2));
  expect(outbox.entries.map(({ state }) => state)).toEqual(["sent", "sent"]);
});

test("stopped is stopped", async () => {
  sender.pump();
  await ports.link.last("message").drop();
  sender.stop();
  expect(vi.getTimerCount()).toBe(0);
});
