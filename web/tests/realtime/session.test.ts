import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { Row } from "../../src/realtime/rows";
import { RoomSession } from "../../src/realtime/session";
import { FakeLink, FakeStore, message, sent } from "../support";

let link: FakeLink;
let store: FakeStore;
let session: RoomSession;
let ids: number;

beforeEach(() => {
  vi.useFakeTimers({ now: 1_700_000_000_000 });
  link = new FakeLink();
  store = new FakeStore();
  ids = 0;
  session = create();
  session.open();
});
afterEach(() => {
  session.close();
  vi.useRealTimers();
});

function create(): RoomSession {
  const newId = (): string => `own-${(ids += 1)}`;
  return new RoomSession({ room: "lobby", store, openLink: link.connect, changed: () => undefined, newId, random: () => 0 });
}

const shown = (): string[] => session.view().rows.filter(({ kind }) => kind !== "day").map(describeRow);

function describeRow(row: Row): string {
  if (row.kind === "message") return `${row.message.offset}`;
  if (row.kind === "entry") return `${row.entry.id} ${row.entry.state}`;
  return row.kind === "gap" ? `${row.gap.kind} ${row.gap.from}-${row.gap.to}` : row.kind;
}

function page(from: number, to: number, more: boolean, top = to, epoch = "e1") {
  const items = Array.from({ length: to - from + 1 }, (_, index) => sent(message(from + index)));
  return { ok: true, items, more, position: `${epoch}.${top}` };
}

async function arrive(top: number, from = 1): Promise<void> {
  link.welcome({ position: `e1.${top}` });
  await link.last("history").answer(page(from, top, from > 1));
}

test("a welcome asks for the first page of 50 and for the members", async () => {
  expect(session.view().connection.state).toBe("connecting");
  link.welcome({ position: "e1.3", online: 4, total: 9 });
  expect(session.view()).toMatchObject({ connection: { state: "live" }, presence: { online: 4, total: 9 } });
  expect(link.last("history").args).toEqual([{ limit: 50 }]);
  await link.last("members").answer({ ok: true, online: [{ user: "u-ada", name: "Ada" }], total: 9 });
  expect([...session.view().presence.people.keys()]).toEqual(["u-ada"]);
  link.message(message(4));
  await link.last("history").answer(page(1, 3, false));
  expect(shown()).toEqual(["1", "2", "3", "4"]);
  expect(session.view().complete).toBe(true);
});

test("older pages go by the oldest known offset, one at a time", async () => {
  await arrive(100, 51);
  void session.older();
  void session.older();
  expect(link.of("history").map(({ args }) => args[0])).toEqual([{ limit: 50 }, { before: 51, limit: 50 }]);
  await link.last("history").answer(page(1, 50, false, 100));
  expect(shown()).toHaveLength(100);
  expect(await session.older()).toBe(false);
});

test("messages replayed before the welcome of a recovered connection count once, in order", async () => {
  await arrive(2);
  link.events.lost();
  expect(session.view().connection.state).toBe("reconnecting");
  link.message(message(3));
  link.message(message(4));
  link.welcome({ position: "e1.4" }, true);
  link.message(message(4));
  await vi.advanceTimersByTimeAsync(10_000);
  expect(shown()).toEqual(["1", "2", "3", "4"]);
  expect(session.view().connection).toMatchObject({ state: "live", recovered: true });
  expect(link.of("history")).toHaveLength(1);
});

test("a declared gap waits for the user, and then loads by history", async () => {
  await arrive(2);
  link.events.lost();
  link.welcome({ position: "e1.9" });
  link.events.event("gap", [{ from: 3, to: 9 }, "e1.9"]);
  link.message(message(10));
  await vi.advanceTimersByTimeAsync(10_000);
  expect(shown()).toEqual(["1", "2", "lost 3-9", "10"]);
  expect(link.of("history")).toHaveLength(1);
  void session.fill(9);
  expect(link.last("history").args).toEqual([{ before: 10, limit: 7 }]);
  await link.last("history").answer(page(3, 9, true, 10));
  expect(shown()).toEqual(["1", "2", "3", "4", "5", "6", "7", "8", "9", "10"]);
});

test("a hole nobody declared is filled by itself, after replayed messages had their time", async () => {
  await arrive(2);
  link.message(message(5));
  expect(shown()).toEqual(["1", "2", "5"]);
  link.message(message(4));
  await vi.advanceTimersByTimeAsync(2_000);
  expect(link.last("history").args).toEqual([{ before: 4, limit: 1 }]);
  await link.last("history").answer(page(3, 3, true, 5));
  expect(shown()).toEqual(["1", "2", "3", "4", "5"]);
});

test("a hole that history cannot fill is shown, not asked for for ever", async () => {
  await arrive(2);
  link.message(message(5));
  await vi.advanceTimersByTimeAsync(2_000);
  await link.last("history").drop();
  await vi.advanceTimersByTimeAsync(60_000);
  expect(shown()).toEqual(["1", "2", "missing 3-4", "5"]);
  expect(link.of("history")).toHaveLength(2);
  for (let offset = 6; offset < 20; offset += 1) {
    link.message(message(offset));
    await vi.advanceTimersByTimeAsync(2_000);
    await link.last("history").drop();
  }
  expect(link.of("history")).toHaveLength(5);
});

test("another epoch begins anew and loads anew", async () => {
  await arrive(9);
  link.events.lost();
  link.welcome({ position: "e2.1" });
  expect(shown()).toEqual([]);
  expect(session.view().notice?.code).toBe("history_anew");
  await link.last("history").answer(page(1, 1, false, 1, "e2"));
  expect(shown()).toEqual(["1"]);
});

test("an own message is shown at once, once, and keeps its place when the room shows it", async () => {
  await arrive(1);
  session.post("hi");
  expect(shown()).toEqual(["1", "own-1 sending"]);
  expect(link.last("message").args).toEqual(["hi", { id: "own-1" }]);
  await link.last("message").answer({ ok: true, id: "own-1", offset: 3, at: 5 });
  expect(shown()).toEqual(["1", "own-1 sent"]);
  link.message(message(2));
  expect(shown()).toEqual(["1", "2", "own-1 sent"]);
  link.message(message(3, { id: "own-1", user: { id: "u-me", name: "Me" } }));
  expect(shown()).toEqual(["1", "2", "3"]);
  expect(store.kept.size).toBe(0);
});

test("somebody else's message with the same id is not mine", async () => {
  await arrive(1);
  session.post("hi");
  link.message(message(2, { id: "own-1" }));
  expect(shown()).toEqual(["1", "2", "own-1 sending"]);
});

test("what was written while away goes out after the return, in order, one by one", async () => {
  await arrive(1);
  link.events.lost();
  session.post("one");
  session.post("two");
  expect(link.of("message")).toHaveLength(0);
  link.welcome({ position: "e1.1" }, true);
  expect(link.of("message").map(({ args }) => args[0])).toEqual(["one"]);
  await link.last("message").answer({ ok: true, id: "own-1", offset: 2, at: 0 });
  expect(link.of("message").map(({ args }) => args[0])).toEqual(["one", "two"]);
});

test("an answer lost with the connection: the same id goes out again", async () => {
  await arrive(1);
  session.post("hi");
  const first = link.last("message");
  link.events.lost();
  await first.drop();
  await vi.advanceTimersByTimeAsync(60_000);
  expect(link.of("message")).toHaveLength(1);
  link.welcome({ position: "e1.1" }, true);
  expect(link.of("message").map(({ args }) => args)).toEqual([["hi", { id: "own-1" }], ["hi", { id: "own-1" }]]);
});

test("after a return the resend does not wait out the back-off of the broken connection", async () => {
  await arrive(1);
  session.post("hi");
  link.events.lost();
  await link.last("message").drop();
  link.welcome({ position: "e1.1" }, true);
  expect(link.of("message")).toHaveLength(2);
});

test("an answer that fails late does not free what the new connection has under way", async () => {
  await arrive(1);
  session.post("one");
  session.post("two");
  const first = link.last("message");
  link.events.lost();
  link.welcome({ position: "e1.1" }, true);
  await first.drop();
  await vi.advanceTimersByTimeAsync(60_000);
  expect(link.of("message").map(({ args }) => args[0])).toEqual(["one", "one"]);
});

test("unsent messages of before the reload go out with their ids", async () => {
  session.post("kept");
  session = create();
  session.open();
  expect(shown()).toEqual(["own-1 sending"]);
  link.welcome();
  expect(link.last("message").args).toEqual(["kept", { id: "own-1" }]);
  await link.last("message").answer({ ok: true, id: "own-1", offset: 1, at: 0 });
  expect(store.kept.size).toBe(0);
});

test("a resent message that lies in older history leaves the end of the list", async () => {
  session.post("kept");
  link.welcome({ position: "e1.100" });
  await link.last("history").answer(page(51, 100, true));
  await link.last("message").answer({ ok: true, id: "own-1", offset: 20, at: 0 });
  expect(shown().at(-1)).toBe("100");
});

test("refusals: temporary waits as asked, for good asks the user", async () => {
  await arrive(1);
  session.post("hi");
  const error = { code: "slow", message: "Slow.", temporary: true, retry_after: 4 };
  await link.last("message").answer({ ok: false, error });
  await vi.advanceTimersByTimeAsync(3_999);
  expect(link.of("message")).toHaveLength(1);
  await vi.advanceTimersByTimeAsync(1);
  expect(link.of("message")).toHaveLength(2);
  await link.last("message").answer({ ok: false, error: { ...error, temporary: false } });
  expect(shown()).toEqual(["1", "own-1 failed"]);
  session.retry("own-1");
  expect(link.of("message")).toHaveLength(3);
});

test("read is told only while the end is in view, and not for every message", async () => {
  await arrive(3);
  link.message(message(4));
  expect(session.view().unread).toBe(1);
  await vi.advanceTimersByTimeAsync(5_000);
  expect(link.of("read")).toHaveLength(0);
  session.watching(true);
  expect(session.view().unread).toBe(0);
  await vi.advanceTimersByTimeAsync(0);
  await link.last("read").answer({ ok: true });
  for (let offset = 5; offset < 15; offset += 1) {
    link.message(message(offset));
    await vi.advanceTimersByTimeAsync(50);
  }
  await vi.advanceTimersByTimeAsync(1_000);
  expect(link.of("read").map(({ args }) => args[0])).toEqual([4, 14]);
});

test("what was unread at the welcome gets a line; reading on another device counts", async () => {
  link.welcome({ position: "e1.5", unread: 2, read: 3 });
  await link.last("history").answer(page(1, 5, false));
  expect(shown()).toEqual(["1", "2", "3", "unread", "4", "5"]);
  expect(session.view().unread).toBe(2);
  link.events.event("read", [{ user: "u-ada", name: "Ada", offset: 5 }]);
  expect(session.view().unread).toBe(2);
  link.events.event("read", [{ user: "u-me", name: "Me", offset: 5 }]);
  expect(session.view().unread).toBe(0);
});

test("typing is throttled, ends by itself, and others' ends too", async () => {
  await arrive(1);
  for (let key = 0; key < 20; key += 1) session.typed("h");
  expect(link.of("typing").map(({ args }) => args[0])).toEqual([true]);
  await vi.advanceTimersByTimeAsync(5_000);
  expect(link.of("typing").map(({ args }) => args[0])).toEqual([true, false]);
  link.events.event("typing", [{ user: "u-ada", name: "Ada", on: true }]);
  link.events.event("typing", [{ user: "u-me", name: "Me", on: true }]);
  expect(session.view().typing.map(({ id }) => id)).toEqual(["u-ada"]);
  await vi.advanceTimersByTimeAsync(8_000);
  expect(session.view().typing).toEqual([]);
});

test("a message ends its writer's typing", async () => {
  await arrive(1);
  link.events.event("typing", [{ user: "u-ada", name: "Ada", on: true }]);
  link.message(message(2));
  expect(session.view().typing).toEqual([]);
});

test("who comes and who goes", async () => {
  await arrive(1);
  const ada = { user: "u-ada", name: "Ada" };
  link.events.event("presence", [{ online: 2, total: 3, joined: [ada], left: [] }]);
  expect(session.view().presence).toMatchObject({ online: 2, total: 3 });
  expect(shown()).toEqual(["1", "note"]);
});

test("a temporary refusal of the connect comes back when it may, one for good does not", async () => {
  const refusal = { code: "busy", message: "Busy.", temporary: true, retryAfter: 3 };
  link.events.refused(refusal);
  expect(session.view().connection).toMatchObject({ state: "connecting", reason: { code: "busy" } });
  await vi.advanceTimersByTimeAsync(2_999);
  expect(link.opened).toBe(1);
  await vi.advanceTimersByTimeAsync(1);
  expect(link.opened).toBe(2);
  link.events.refused({ ...refusal, temporary: false });
  await vi.advanceTimersByTimeAsync(600_000);
  expect(link.opened).toBe(2);
  expect(session.view().connection).toMatchObject({ state: "closed", refused: true });
});

test("an end by the server keeps what is unsent and sends it after joining again", async () => {
  await arrive(1);
  link.events.event("notice", [{ code: "kicked", message: "Out.", number: 3501, reconnect: false }]);
  link.events.ended();
  session.post("later");
  await vi.advanceTimersByTimeAsync(600_000);
  expect(session.view().connection).toMatchObject({ state: "closed", reason: { message: "Out." } });
  expect([link.opened, link.of("message").length]).toEqual([1, 0]);
  session.open();
  link.welcome({ position: "e1.1" });
  expect(link.of("message")).toHaveLength(1);
});

test("a notice that is no farewell is shown while the stay goes on, and is not why it ends later", async () => {
  await arrive(1);
  link.events.event("notice", [{ code: "token_expiring", message: "soon", expires_in: 59.99 }]);
  expect(session.view().notice?.message).toContain("expires in 60 seconds");
  link.events.ended();
  expect(session.view().connection).toMatchObject({ state: "closed", reason: { code: "ended" } });
  session.open();
  link.welcome({ position: "e1.1" });
  expect(session.view().notice).toBeNull();
});

test("without leave to look back no history is asked for", async () => {
  link.welcome({ position: "e1.7", permissions: ["join", "read", "post"] });
  expect(session.view()).toMatchObject({ mayLookBack: false, mayPost: true });
  link.message(message(8));
  link.message(message(11));
  await vi.advanceTimersByTimeAsync(60_000);
  expect(await session.older()).toBe(false);
  await session.fill(10);
  expect(shown()).toEqual(["8", "missing 9-10", "11"]);
  expect(link.of("history")).toEqual([]);
});

test("who may not post is told by the view; a return may bring the leave", async () => {
  expect(session.view().mayPost).toBe(true);
  link.welcome({ permissions: ["join", "read", "history"] });
  expect(session.view().mayPost).toBe(false);
  link.events.lost();
  link.welcome();
  expect(session.view().mayPost).toBe(true);
});

test("a history that is refused for a while is asked for again, and a failure is said", async () => {
  link.welcome({ position: "e1.3" });
  await link.last("history").answer({ ok: false, error: { code: "rate", message: "Rate.", temporary: true, retry_after: 2 } });
  await vi.advanceTimersByTimeAsync(2_000);
  expect(link.of("history")).toHaveLength(2);
  await link.last("history").drop();
  expect(session.view()).toMatchObject({ historyFailed: true, loading: null });
  void session.older();
  await link.last("history").answer(page(1, 3, false));
  expect(session.view().historyFailed).toBe(false);
  expect(shown()).toEqual(["1", "2", "3"]);
});

test("a fresh token goes over the live connection", async () => {
  await arrive(1);
  void session.refresh("new");
  expect(link.last("auth").args).toEqual([{ token: "new" }]);
  await link.last("auth").answer({ ok: false, error: { code: "expired", message: "Expired.", temporary: false } });
  expect(session.view().notice?.message).toBe("Expired.");
});

test("junk and unknown events change nothing", async () => {
  await arrive(2);
  const before = shown();
  for (const name of ["message", "gap", "presence", "typing", "read", "notice", "welcome", "toString", "cursor"]) {
    link.events.event(name, []);
    link.events.event(name, ["x", "e9.9999"].slice(0, name === "cursor" || name === "toString" ? 2 : 1));
  }
  link.events.event("typing", [{ user: "u-ada", name: "Ada", on: true }, "e9.9999"]);
  expect(shown()).toEqual(before);
  expect(session.view().connection.state).toBe("live");
});

test("a long stay keeps a bounded list while the end is in view", async () => {
  await arrive(1);
  session.watching(true);
  for (let offset = 2; offset <= 1_300; offset += 1) link.message(message(offset));
  const rows = shown();
  expect(rows.length).toBeLessThanOrEqual(1_200);
  expect(rows.at(-1)).toBe("1300");
  expect(session.view().complete).toBe(false);
});

test("leaving stops every timer", async () => {
  await arrive(1);
  session.post("x");
  session.typed("y");
  link.message(message(9));
  session.close();
  expect(link.closed).toBe(true);
  expect(vi.getTimerCount()).toBe(0);
});

test("what is done to messages is asked for, and shown when the room says so", async () => {
  await arrive(1);
  const edited = session.edit(1, "new");
  await link.last("edit").answer({ ok: false, error: { code: "forbidden", message: "not yours", temporary: false } });
  expect([await edited, session.view().notice?.message]).toEqual([false, "not yours"]);
  const event = { id: "id-1", offset: 1, user: "u-me", name: "Me", at: 9 };
  link.events.event("edit", [{ ...event, body: "new" }, "e1.2"]);
  link.events.event("reaction", [{ ...event, emoji: "🎉", on: true, count: 1 }, "e1.3"]);
  const [row] = session.view().rows.filter(({ kind }) => kind === "message");
  expect(row).toMatchObject({ message: { body: "new", edited: 9, reactions: [{ emoji: "🎉", count: 1, mine: true }] } });
  link.events.event("delete", [event, "e1.4"]);
  expect(session.view().rows).toMatchObject([{ kind: "day" }, { message: { deleted: 9, body: null } }]);
});

test("an answer goes out with the message that it answers, also after a reload", async () => {
  await arrive(1);
  session.post("yes", { replyTo: 1, mentions: ["u-ada"] });
  expect(link.last("message").args).toMatchObject(["yes", { reply_to: 1, mentions: ["u-ada"] }]);
  expect(session.view().rows.at(-1)).toMatchObject({ kind: "entry", answers: { offset: 1 } });
  expect([...store.kept.values()]).toMatchObject([{ body: "yes", replyTo: 1, mentions: ["u-ada"] }]);
});

test("a room's topic, and who may write while it is read-only", async () => {
  await arrive(1);
  link.events.event("room", [{ topic: "Tea\n\u202eat five", slow_mode: 0, read_only: true }]);
  expect([session.view().settings.topic, session.view().mayPost]).toEqual(["Tea at five", false]);
  link.events.event("room", [{ topic: "", slow_mode: 0, read_only: false }]);
  expect([session.view().settings.topic, session.view().mayPost]).toEqual(["", true]);
  link.welcome({ topic: "", read_only: true, permissions: ["join", "read"] });
  expect(session.view().mayPost).toBe(false);
  link.events.event("room", [{ topic: "", slow_mode: 0, read_only: false }]);
  expect(session.view().mayPost).toBe(true);
  link.welcome({ topic: "", read_only: true, permissions: ["join", "read", "post", "moderate"] });
  expect([session.view().mayPost, session.view().mayModerate]).toEqual([true, true]);
});

test("whoever is mentioned is told, and gets there", async () => {
  session.seek(20); // before the room is there
  await arrive(300, 251);
  expect(link.last("history").args).toEqual([{ before: 46, limit: 50 }]);
  await link.last("history").answer(page(1, 45, false, 300));
  expect([session.view().found, session.view().notice]).toEqual([{ offset: 20, times: 1 }, null]);
  expect(shown()).toContain("skipped 46-250");
  link.message(message(301));
  const named = { number: 5, room: "lobby", id: "x", offset: 301, user: "u-bo", name: "Bo", at: 9 };
  link.events.mine("welcome", [{ user: "u-me", name: "Me", rooms: [] }]);
  link.events.mine("mention", [named]);
  expect(session.view().mentions).toMatchObject([{ offset: 301, fresh: true }]);
  session.watching(true);
  expect(session.view().mentions).toMatchObject([{ offset: 301, fresh: false }]);
  await link.last("mentions").drop();
  expect(session.view().mentionsFailed).toBe(true);
  session.listMentions();
  await link.last("mentions").answer({ ok: true, mentions: [{ ...named, number: 4, offset: 7 }] });
  expect([session.view().mentions.length, session.view().mentionsFailed]).toEqual([2, false]);
});

test("whom the room knows is asked for when somebody is about to be named", async () => {
  session.meet();
  expect(link.of("members")).toEqual([]);
  await arrive(1);
  session.meet();
  expect(link.last("members").args).toEqual([{ all: true }]);
  await link.last("members").answer({ ok: true, online: [], members: [{ user: "u-bo", name: "Bo" }], total: 1 });
  expect(session.view().people).toEqual([{ id: "u-bo", name: "Bo" }]);
});

test("public rooms are asked for in the user's session, in pages", async () => {
  await arrive(1);
  void session.directory.find("");
  expect(link.last("directory").args).toEqual([{}]);
  void session.directory.find("tea");
  await link.last("directory").answer({ ok: true, rooms: [{ room: "tea", topic: "", online: 1, total: 1 }], next: "1.tea" });
  void session.directory.more();
  expect(link.last("directory").args).toEqual([{ query: "tea", after: "1.tea" }]);
  await link.last("directory").answer({ ok: true, rooms: [{ room: "teapot", topic: "" }] });
  expect(session.view().directory).toMatchObject({ items: [{ room: "tea" }, { room: "teapot" }], more: false });
});

test("the room is searched, further back page by page, and a new log has nothing of the old", async () => {
  await arrive(3);
  void session.search.find("tea");
  expect(link.last("search").args).toEqual([{ query: "tea" }]);
  await link.last("search").answer({ ok: true, items: [sent(message(3))], complete: false, searched_to: 2, next: 2 });
  void session.search.more();
  expect(link.last("search").args).toEqual([{ query: "tea", before: 2 }]);
  await link.last("search").answer({ ok: true, items: [sent(message(1))], complete: true, searched_to: 1 });
  expect(session.view().search).toMatchObject({ items: [{ offset: 3 }, { offset: 1 }], more: false, partial: false });
  link.welcome({ position: "e2.0" });
  expect(session.view().search).toMatchObject({ query: null, items: [] });
});
