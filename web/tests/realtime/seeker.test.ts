import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Historian } from "../../src/realtime/historian";
import { Seeker } from "../../src/realtime/seeker";
import { Timeline } from "../../src/realtime/timeline";
import { FakePorts, message, sent } from "../support";

let ports: FakePorts;
let timeline: Timeline;
let historian: Historian;
let seeker: Seeker;

beforeEach(() => {
  vi.useFakeTimers({ now: 0 });
  timeline = new Timeline();
  const given = Object.assign(new FakePorts(), { timeline });
  ports = given;
  // As in a session: whatever changes, the seeker looks again.
  const changed = (): void => seeker.look();
  historian = new Historian({ ...given, changed });
  seeker = new Seeker({ ...given, historian });
});
afterEach(() => {
  historian.stop();
  vi.useRealTimers();
});

function page(from: number, to: number, more: boolean, top: number) {
  const items = Array.from({ length: to - from + 1 }, (_, index) => sent(message(from + index)));
  return { ok: true, items, more, position: `e.${top}` };
}

async function arrive(from: number, to: number): Promise<void> {
  timeline.reach({ epoch: "e", offset: to });
  historian.welcomed();
  await ports.link.last("history").answer(page(from, to, from > 1, to));
}

const refusals = (): string[] => ports.refusals.map(({ message }) => message);

test("what is here is found at once, as often as it is asked for", async () => {
  await arrive(1, 5);
  seeker.seek(3);
  seeker.seek(3);
  expect([seeker.found, ports.link.of("history").length]).toEqual([{ offset: 3, times: 2 }, 1]);
});

test("before the room is there it waits for the first page, then reads around", async () => {
  seeker.seek(100);
  expect(ports.link.asked).toEqual([]);
  await arrive(951, 1_000);
  expect([seeker.found, ports.link.last("history").args]).toEqual([null, [{ before: 126, limit: 50 }]]);
  await ports.link.last("history").answer(page(76, 125, true, 1_000));
  expect([seeker.found, refusals()]).toEqual([{ offset: 100, times: 1 }, []]);
});

test("without a connection it waits", async () => {
  await arrive(951, 1_000);
  ports.live = false;
  seeker.seek(100);
  expect(ports.link.of("history")).toHaveLength(1);
  ports.live = true;
  seeker.look();
  expect(ports.link.of("history")).toHaveLength(2);
});

test("what the history does not have is said to be gone, after one look", async () => {
  await arrive(951, 1_000);
  seeker.seek(100);
  await ports.link.last("history").answer(page(120, 125, false, 1_000));
  expect([seeker.found, refusals()]).toEqual([null, ["This message is no longer kept."]]);
  seeker.seek(90);
  expect([ports.link.of("history").length, refusals().length]).toEqual([2, 2]);
});

test("what is known to be gone is not looked for", async () => {
  await arrive(951, 1_000);
  timeline.declareLost({ from: 1_001, to: 1_009 });
  timeline.add(message(1_010));
  timeline.addPage({ items: [message(1_008)], more: false, before: 1_010, top: 1_010 });
  expect(timeline.gaps()).toMatchObject([{ kind: "gone", from: 1_001, to: 1_007 }]);
  seeker.seek(1_003);
  expect([ports.link.of("history").length, refusals()]).toEqual([1, ["This message is no longer kept."]]);
});

test("a history that cannot be loaded is said so", async () => {
  await arrive(951, 1_000);
  seeker.seek(100);
  await ports.link.last("history").answer({ ok: false, error: { code: "x", message: "no", temporary: false } });
  expect(refusals()).toEqual(["The history could not be loaded. Try again."]);
});

test("who may not look back is told", async () => {
  ports.lookBack = false;
  seeker.seek(100);
  timeline.add(message(200));
  seeker.seek(200);
  expect([refusals(), seeker.found?.offset]).toEqual([["The history of this room is not shown to you."], 200]);
});
