import { describe, expect, test } from "vitest";
import * as wire from "../../src/realtime/wire";

const user = { id: "u", name: "U" };
const flat = { user: "u", name: "U" };

test("a message of any body", () => {
  const sent = { id: "m", offset: 3, ...flat, body: { a: 1 }, at: 1_700_000_000_000, extra: true };
  expect(wire.parseMessage(sent)).toEqual({ id: "m", offset: 3, user, body: { a: 1 }, at: 1_700_000_000_000 });
  expect(wire.parseMessage({ ...sent, at: 9e15 })?.at).toBe(0);
});

test("a user without a name is called by the id", () => {
  expect(wire.parseUser({ user: "u", name: "" })).toEqual({ id: "u", name: "u" });
});

test("a name can be shown as it is, whoever has sent it", () => {
  expect(wire.parseUser({ user: "u", name: " \u202eEve\u2066\n  of\u200b Eden " })?.name).toBe("Eve of Eden");
  expect(wire.parseUser({ user: "u\u202e", name: "\u200b\u3164" })).toEqual({ id: "u\u202e", name: "u" });
  expect(wire.parseUser({ user: "\u202e" })?.name).toBe("?");
});

test("a welcome", () => {
  const position = { epoch: "e", offset: 5 };
  const counts = { room: "r", online: 1, total: 2, recovered: true, unread: 3, read: 2, permissions: ["post"] };
  const welcome = { ...counts, ...flat, position: "e.5" };
  expect(wire.parseWelcome(welcome)).toEqual({ ...counts, user, position, peer: null, settings: wire.UNSET });
  expect(wire.parseWelcome({ ...flat, rooms: [] })).toBeNull();
  expect(wire.parseWelcome({ ...welcome, permissions: undefined })).toBeNull();
  expect(wire.parseWelcome({ ...welcome, position: "5" })).toBeNull();
});

test("a message with all that was done to it, and what is done to one", () => {
  const done = { edited: 8, deleted: 9, reactions: { "🎉": 2, "\u202e": 1, x: 0 }, mine: ["🎉"], reply_to: 3 };
  expect(wire.parseMessage({ id: "m", offset: 7, ...flat, body: null, at: 1, ...done })).toEqual({
    ...{ id: "m", offset: 7, user, body: null, at: 1, edited: 8, deleted: 9, replyTo: 3 },
    reactions: [{ emoji: "🎉", count: 2, mine: true }],
  });
  const common = { id: "m", offset: 7, ...flat, at: 5 };
  expect(wire.parseOperation("edit", { ...common, body: "x" })).toEqual({ kind: "edit", target: 7, user, at: 5, body: "x" });
  expect(wire.parseOperation("delete", common)).toEqual({ kind: "delete", target: 7, user, at: 5 });
  const reaction = { emoji: "🎉", on: true, count: 1 };
  expect(wire.parseOperation("reaction", { ...common, ...reaction })).toEqual({ kind: "reaction", target: 7, user, at: 5, ...reaction });
  expect(wire.parseOperation("reaction", common)).toBeNull();
  expect(wire.parseOperation("delete", { ...common, offset: "7" })).toBeNull();
});

test("whom a message names, and who has named the user", () => {
  const named = wire.parseMessage({ id: "m", offset: 7, ...flat, body: "x", at: 1, mentions: ["a", 7] });
  expect(named?.mentions).toEqual(["a"]);
  const mention = { number: 5, room: "@dm/a%40b", id: "m", offset: 7, ...flat, at: 1 };
  const parsed = { number: 5, room: "@dm/a@b", offset: 7, user, at: 1 };
  expect(wire.parseMention(mention)).toEqual(parsed);
  for (const broken of [{ number: "5" }, { room: "" }, { offset: -1 }, { user: "" }]) {
    expect(wire.parseMention({ ...mention, ...broken })).toBeNull();
  }
  expect(wire.parseMentions({ ok: true, mentions: [mention, 7] })).toEqual({ ok: true, value: [parsed] });
  expect(wire.parseMentions({ ok: true })).toBeNull();
  expect(wire.parseStanding({ room: "a", unread: 3, mentions: 2 })).toEqual({ room: "a", unread: 3, peer: null, mentions: 2 });
  expect(wire.parseEverybody({ ok: true, online: [], total: 1, members: [flat] })).toEqual({ ok: true, value: [user] });
  expect(wire.parseEverybody({ ok: true, online: [flat], total: 1 })).toBeNull();
});

test("a page of the directory", () => {
  const rooms = [{ room: "tea", topic: "a\nb", online: 1, total: 2 }, { room: "den", topic: "" }, { room: "@dm/x" }, { room: "te\u202ea" }, 7];
  expect(wire.parseDirectory({ ok: true, rooms, next: "2.tea" })).toEqual({
    ok: true,
    value: {
      items: [{ room: "tea", topic: "a b", online: 1, total: 2 }, { room: "den", topic: "", online: null, total: null }],
      next: "2.tea",
    },
  });
  expect(wire.parseDirectory({ ok: true, rooms: 7 })).toBeNull();
});

test("who is banned, and what a room is set to", () => {
  const sanction = { user: "eve\u202e", until: 9, by: "ada", reason: "spam\n", at: 1, address: false };
  const items = [{ user: { id: "eve\u202e", name: "eve" }, until: 9, by: "ada", reason: "spam" }];
  expect(wire.parseBans({ ok: true, items: [sanction, { user: "x" }, 7], next: "x" })).toEqual({ ok: true, value: { items, next: "x" } });
  expect(wire.parseBans({ ok: true, items: [{ ...sanction, until: null }] })).toMatchObject({ value: { items: [{ until: null }], next: null } });
  expect(wire.parseBans({ ok: true })).toBeNull();
  expect(wire.parseSettings({ topic: "a", slow_mode: 2.5, read_only: true })).toEqual({ topic: "a", slowMode: 2.5, readOnly: true });
  expect(wire.parseSettings({ topic: "a", slow_mode: "x" })).toEqual({ topic: "a", slowMode: 0, readOnly: false });
});

test("what a search has found", () => {
  const item = { id: "m", offset: 7, ...flat, body: "x", at: 1 };
  const items = [{ id: "m", offset: 7, user, body: "x", at: 1 }];
  expect(wire.parseSearch({ ok: true, items: [item, 7], complete: true, searched_to: 1 })).toEqual({ ok: true, value: { items, next: null, partial: false } });
  expect(wire.parseSearch({ ok: true, items: [], complete: false, searched_to: 4, next: 4 })).toMatchObject({ value: { next: 4, partial: true } });
  expect(wire.parseSearch({ ok: true })).toBeNull();
});

test("the answers", () => {
  const error = { code: "slow", message: "Slow.", temporary: true, retry_after: 2.5 };
  const refusal = { code: "slow", message: "Slow.", temporary: true, retryAfter: 2.5 };
  expect(wire.parseSent({ ok: true, id: "m", offset: 7, at: 1 })).toEqual({ ok: true, value: { offset: 7, at: 1 } });
  expect(wire.parseSent({ ok: false, error })).toEqual({ ok: false, error: refusal });
  expect(wire.parseDone({ ok: true })).toEqual({ ok: true, value: true });
  expect(wire.parseHistory({ ok: true, items: [{ junk: 1 }], more: true, position: "e.1" })).toEqual({
    ok: true,
    value: { items: [], more: true, position: { epoch: "e", offset: 1 } },
  });
});

test("users have one spelling", () => {
  const online = [{ user: "a", name: "A" }, { id: "b", name: "B" }, { user: { id: "c", name: "C" } }, 7];
  const answer = wire.parseMembers({ ok: true, online, total: 9 });
  expect(answer).toEqual({ ok: true, value: { total: 9, online: [{ id: "a", name: "A" }] } });
  for (const parse of [wire.parseMessage, wire.parseTyping, wire.parseRead]) {
    expect(parse({ id: "m", offset: 1, on: true, user: { id: "u", name: "U" } })).toBeNull();
  }
});

test("presence, gap, typing, read and notice", () => {
  expect(wire.parsePresence({ online: 1, total: 2, joined: [flat, null], left: [] })).toEqual({ online: 1, total: 2, joined: [user], left: [] });
  expect(wire.parseGap({ from: 2, to: 4 })).toEqual({ from: 2, to: 4 });
  expect(wire.parseGap({ from: 5, to: 4 })).toBeNull();
  expect(wire.parseTyping({ ...flat, on: true })).toEqual({ user, on: true });
  expect(wire.parseRead({ ...flat, offset: 3 })).toEqual({ user, offset: 3 });
  expect(wire.parseNotice({ code: "x" })).toEqual({ code: "x", message: "x", reconnect: null, expiresIn: null });
  expect(wire.parseNotice({ code: "kicked", message: "Out.", number: 3501, reconnect: false })).toMatchObject({ reconnect: false });
  expect(wire.parseNotice({ code: "token_expiring", message: "m", expires_in: 59.5 })).toMatchObject({ expiresIn: 59.5 });
});

describe("nothing a server sends throws", () => {
  const junk = [undefined, null, 0, -1, 1.5, NaN, "", "x", [], {}, [null], { ok: 1 }, { ok: true }, { ok: false }, { user: {} }, { user: [] }, { id: 1, offset: "2" }, new ArrayBuffer(1)];
  const parsers = Object.entries(wire).filter(([name]) => name.startsWith("parse"));
  test.each(parsers)("%s", (_name, parse) => {
    for (const value of junk) expect(() => (parse as (value: unknown) => unknown)(value)).not.toThrow();
    expect((parse as (value: unknown) => unknown)("x")).toBeNull();
  });
});
