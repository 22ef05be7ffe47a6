import { expect, test } from "vitest";
import type { Note } from "../../src/realtime/notes";
import type { Entry } from "../../src/realtime/outbox";
import { buildRows, type Row, type RowSource } from "../../src/realtime/rows";
import type { Gap } from "../../src/realtime/timeline";
import { message } from "../support";

const me = { id: "u-me", name: "Me" };

function rows(source: Partial<RowSource>): Row[] {
  return buildRows({ messages: [], gaps: [], notes: [], entries: [], me: me.id, unreadAfter: null, ...source });
}

function outline(built: Row[]): string[] {
  return built
    .filter(({ kind }) => kind !== "day")
    .map((row) => {
      if (row.kind === "message") return `${row.message.offset}${row.first ? "*" : ""}`;
      if (row.kind === "entry") return `${row.entry.id}${row.first ? "*" : ""}`;
      if (row.kind === "gap") return `gap ${row.gap.from}-${row.gap.to}`;
      return row.kind === "note" ? `note ${row.note.after}` : row.kind;
    });
}

const gap = (from: number, to: number): Gap => ({ from, to, kind: "lost" });
const note = (key: number, after: number): Note => ({ key, after, at: 0, joined: [me], left: [] });
const entry = (id: string): Entry => ({
  id,
  body: "x",
  at: message(5).at,
  state: "sending",
  error: null,
  attempts: 0,
  notBefore: 0,
  offset: null,
});

test("who is named by whom", () => {
  const messages = [message(1, { mentions: ["u-me"] }), message(2, { mentions: ["x"] }), message(3, { user: me, mentions: ["u-me"] })];
  const named = (built: Row[]): boolean[] => built.flatMap((row) => (row.kind === "message" ? [row.named] : []));
  expect(named(rows({ messages }))).toEqual([true, false, false]);
  expect(named(rows({ messages, me: null }))).toEqual([false, false, false]);
});

test("everything stands where it belongs", () => {
  const built = rows({
    messages: [message(1), message(2), message(6), message(7)],
    gaps: [gap(3, 5), gap(8, 9)],
    notes: [note(1, 0), note(2, 2), note(3, 6), note(4, 9)],
    entries: [entry("a"), entry("b")],
  });
  expect(outline(built)).toEqual([
    "note 0", "1*", "2", "note 2", "gap 3-5", "6*", "note 6", "7*", "gap 8-9", "note 9", "a*", "b",
  ]);
});

test("messages of one user in a row are grouped, not for ever", () => {
  const late = message(3, { at: message(2).at + 6 * 60_000 });
  const other = message(4, { user: me, at: late.at });
  expect(outline(rows({ messages: [message(1), message(2), late, other] }))).toEqual(["1*", "2", "3*", "4*"]);
});

test("the line for the unread stands before the first message of somebody else", () => {
  const messages = [message(1), message(2, { user: me }), message(3), message(4)];
  expect(outline(rows({ messages, unreadAfter: 1 }))).toEqual(["1*", "2*", "unread", "3*", "4"]);
  expect(outline(rows({ messages, unreadAfter: 4 }))).not.toContain("unread");
});

test("a day has one line", () => {
  const next = message(2, { at: message(1).at + 36 * 3_600_000 });
  const days = rows({ messages: [message(1), next, message(3, { at: next.at })] }).filter(({ kind }) => kind === "day");
  expect(days).toHaveLength(2);
});

test("a message keeps the key of the entry it was; keys are unique", () => {
  const [waiting] = rows({ entries: [entry("a")] }).filter(({ kind }) => kind === "entry");
  const sent = rows({ messages: [message(9, { id: "a", user: me }), message(10, { id: "a" })] });
  const keys = sent.map(({ key }) => key);
  expect(keys).toContain(waiting?.key);
  expect(new Set(keys).size).toBe(keys.length);
});
