import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Reader } from "../../src/realtime/reader";
import { FakePorts } from "../support";

let ports: FakePorts;
let reader: Reader;

beforeEach(() => {
  vi.useFakeTimers({ now: 0 });
  ports = new FakePorts();
  reader = new Reader(ports);
});
afterEach(() => {
  reader.stop();
  vi.useRealTimers();
});

const told = (): unknown[] => ports.link.of("read").map(({ args }) => args[0]);

async function comes(offset: number, milliseconds = 0): Promise<void> {
  ports.highest = offset;
  reader.advance();
  await vi.advanceTimersByTimeAsync(milliseconds);
}

test("what comes in is read only while the end is in view", async () => {
  await comes(1, 5_000);
  expect([reader.readTo, told()]).toEqual([0, []]);
  reader.watch(true);
  await vi.advanceTimersByTimeAsync(0);
  expect([reader.readTo, told(), ports.changes]).toEqual([1, [1], 1]);
  reader.watch(false);
  await comes(2, 5_000);
  expect([reader.readTo, told()]).toEqual([1, [1]]);
});

test("told at most once a second, and the latest", async () => {
  reader.watch(true);
  for (let offset = 1; offset <= 25; offset += 1) {
    await comes(offset, 100);
    if (ports.link.of("read").length > 0) await ports.link.last("read").answer({ ok: true, unread: 0 });
  }
  expect(told()).toEqual([1, 10, 20]);
});

test("what another device read is not told again, and never goes back", async () => {
  reader.heard(5);
  reader.heard(3);
  reader.watch(true);
  await comes(5, 5_000);
  expect([reader.readTo, told()]).toEqual([5, []]);
});

test("without the room's word it is told again with the next message", async () => {
  reader.watch(true);
  await comes(1);
  await ports.link.last("read").drop();
  await vi.advanceTimersByTimeAsync(60_000);
  expect(told()).toEqual([1]);
  await comes(1);
  expect(told()).toEqual([1, 1]);
  await ports.link.last("read").answer({ ok: false, error: { code: "not_member", message: "no", temporary: false } });
  await comes(2, 1_000);
  expect(told()).toEqual([1, 1, 2]);
});

test("away, nothing is read and nothing is told", async () => {
  reader.watch(true);
  ports.highest = 3;
  reader.advance();
  ports.live = false;
  await vi.advanceTimersByTimeAsync(5_000);
  expect(told()).toEqual([]);
  ports.highest = 4;
  reader.advance();
  expect(reader.readTo).toBe(3);
});

test("a log that began anew is unread", async () => {
  reader.heard(90);
  reader.reset();
  reader.watch(true);
  await comes(2);
  expect(told()).toEqual([2]);
});
