import { beforeEach, expect, test } from "vitest";
import { Mentions } from "../../src/realtime/mentions";
import { FakePorts } from "../support";

let ports: FakePorts;
let mentions: Mentions;

beforeEach(() => {
  ports = new FakePorts();
  mentions = new Mentions(ports);
});

const mention = (number: number, room = "tea", offset = number) => ({ number, room, id: "m", offset, user: "a", name: "Ada", at: 1 });
const welcome = (...rooms: object[]) => ({ user: "u", name: "U", rooms });
const told = (open = "", readTo = 0): string[] =>
  mentions.list(open, readTo).map(({ number, fresh }) => `${number}${fresh ? " new" : ""}`);

test("a welcome says how many are new in each room, and asks for the rest", async () => {
  expect(mentions.take("welcome", welcome({ room: "tea", unread: 9, mentions: 1 }, { room: "den", unread: 2 }))).toBe(true);
  expect(ports.link.last("mentions").args).toEqual([]);
  await ports.link.last("mentions").answer({ ok: true, mentions: [mention(1), mention(2, "den"), mention(3)] });
  expect([told(), ports.changes, mentions.failed]).toEqual([["3 new", "2", "1"], 1, false]);
});

test("one that comes is new until its room is read, on whatever device", () => {
  expect(mentions.take("mention", mention(1))).toBe(true);
  expect(mentions.take("mention", mention(1))).toBe(false); // told twice
  expect(mentions.take("mention", mention(2))).toBe(true);
  expect(mentions.take("unread", { room: "tea", unread: 5, last: 9 })).toBe(false);
  expect(told()).toEqual(["2 new", "1 new"]);
  expect(mentions.take("unread", { room: "tea", unread: 1, last: 9 })).toBe(true);
  expect(told()).toEqual(["2 new", "1"]);
  mentions.take("unread", { room: "tea", unread: 0, last: 9 });
  expect(told()).toEqual(["2", "1"]);
});

test("in the open room what was read is not new, whatever the session says", () => {
  for (const number of [4, 7]) mentions.take("mention", mention(number));
  expect(told("tea", 4)).toEqual(["7 new", "4"]);
  expect(told("den", 9)).toEqual(["7 new", "4 new"]);
});

test("with the room go its mentions", () => {
  for (const [number, room] of [[1, "tea"], [2, "den"]] as const) mentions.take("mention", mention(number, room));
  expect(mentions.take("room_left", { room: "tea" })).toBe(true);
  expect(mentions.take("room_left", { room: "tea" })).toBe(false);
  expect(told()).toEqual(["2 new"]);
});

test("the newest are kept, however many come", () => {
  for (let number = 1; number <= 210; number += 1) mentions.take("mention", mention(number));
  expect([told().length, told()[0], told().at(-1)]).toEqual([200, "210 new", "11 new"]);
});

test.each([
  ["a refusal", { ok: false, error: { code: "rate_limited", message: "no", temporary: true } }],
  ["nonsense", 7],
])("after %s what came is still there", async (_what, answer) => {
  mentions.take("mention", mention(1));
  void mentions.load();
  await ports.link.last("mentions").answer(answer);
  expect([told(), mentions.failed]).toEqual([["1 new"], true]);
});

test.each([["welcome", {}], ["mention", { number: 1 }], ["unread", null], ["room_left", 7], ["message", mention(1)]])(
  "%s of %o changes nothing",
  (name, value) => expect([mentions.take(name, value), told()]).toEqual([false, []]),
);
