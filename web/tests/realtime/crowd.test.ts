import { beforeEach, expect, test, vi } from "vitest";
import { Crowd } from "../../src/realtime/crowd";
import { parseWelcome, type Welcome } from "../../src/realtime/wire";
import { FakePorts } from "../support";

let ports: FakePorts;
let crowd: Crowd;

beforeEach(() => {
  vi.useFakeTimers({ now: 1_000 });
  ports = new FakePorts();
  crowd = new Crowd(ports);
  return () => vi.useRealTimers();
});

function welcome(online: number, total: number): Welcome {
  return parseWelcome({ user: "me", name: "Me", position: "e.0", permissions: [], online, total })!;
}
const names = (): string[] => [...crowd.presence.people.values()].map(({ name }) => name);

test("the counts are there at once, the names when the room answers", async () => {
  crowd.welcomed(welcome(2, 7));
  expect(crowd.presence).toMatchObject({ online: 2, total: 7 });
  expect(ports.link.last("members").args).toEqual([{}]);
  await ports.link.last("members").answer({ ok: true, online: [{ user: "me", name: "Me" }, { user: "a", name: "Ada" }], total: 8 });
  expect([names(), crowd.presence.total, ports.changes]).toEqual([["Me", "Ada"], 8, 1]);
});

test("a room that does not tell who is in it still has its counts", async () => {
  crowd.welcomed(welcome(2, 7));
  await ports.link.last("members").answer({ ok: false, error: { code: "forbidden", message: "no", temporary: false } });
  crowd.welcomed(welcome(3, 7));
  await ports.link.last("members").drop();
  expect([crowd.presence.online, names(), ports.changes]).toEqual([3, [], 0]);
});

test("who comes and goes changes the names, the counts and the lines", () => {
  ports.highest = 4;
  const ada = { id: "a", name: "Ada" };
  crowd.diff({ online: 2, total: 2, joined: [ada, { id: "me", name: "Me" }], left: [] }, "me");
  expect(names()).toEqual(["Ada", "Me"]);
  expect(crowd.notes).toMatchObject([{ after: 4, at: 1_000, joined: [ada], left: [] }]);
  crowd.diff({ online: 1, total: 2, joined: [], left: [ada] }, "me");
  expect([crowd.presence.online, names()]).toEqual([1, ["Me"]]);
  crowd.forgetNotes();
  expect(crowd.notes).toEqual([]);
});
