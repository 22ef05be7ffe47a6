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

test("the members are asked for once, and again after a welcome or a refusal for a while", async () => {
  const people = (): string[] => crowd.people.map(({ name }) => name);
  const refused = (temporary: boolean) => ({ ok: false, error: { code: "x", message: "no", temporary } });
  for (const answer of [refused(true), refused(false)]) {
    void crowd.meet();
    void crowd.meet();
    await ports.link.last("members").answer(answer);
  }
  void crowd.meet();
  expect(ports.link.of("members")).toHaveLength(2);
  crowd.welcomed(welcome(1, 2));
  await ports.link.last("members").answer({ ok: true, online: [{ user: "a", name: "Ada" }], total: 2 });
  void crowd.meet();
  expect(ports.link.last("members").args).toEqual([{ all: true }]);
  const members = [{ user: "a", name: "Ada of old" }, { user: "b", name: "Bo" }];
  await ports.link.last("members").answer({ ok: true, online: [], members, total: 2 });
  expect(people()).toEqual(["Ada", "Bo"]);
  expect(crowd.people).toBe(crowd.people);
  crowd.diff({ online: 2, total: 3, joined: [{ id: "c", name: "Cy" }], left: [] }, "me");
  expect(people()).toEqual(["Ada", "Bo", "Cy"]);
  crowd.diff({ online: 1, total: 3, joined: [], left: [{ id: "c", name: "Cy" }] }, "me");
  expect(people()).toEqual(["Ada", "Bo", "Cy"]);
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
