import { beforeEach, expect, test } from "vitest";
import { initial } from "../../src/realtime/connection";
import { Crowd } from "../../src/realtime/crowd";
import { Historian } from "../../src/realtime/historian";
import { Mentions } from "../../src/realtime/mentions";
import { Outbox } from "../../src/realtime/outbox";
import { Reader } from "../../src/realtime/reader";
import { Seeker } from "../../src/realtime/seeker";
import { Timeline } from "../../src/realtime/timeline";
import { Typist } from "../../src/realtime/typist";
import { drawn, type RoomParts } from "../../src/realtime/view";
import { UNSET } from "../../src/realtime/wire";
import { FakePorts, FakeStore, message, nothingFound } from "../support";

const me = { id: "u-me", name: "Me" };
let parts: RoomParts;

beforeEach(() => {
  const timeline = new Timeline();
  const ports = Object.assign(new FakePorts(), { timeline });
  parts = {
    room: "lobby",
    connection: initial,
    me,
    notice: null,
    mayPost: true,
    mayLookBack: false,
    mayModerate: false,
    settings: UNSET,
    sanctions: nothingFound,
    mine: [],
    directory: nothingFound,
    search: nothingFound,
    peer: null,
    unreadAfter: null,
    timeline,
    historian: new Historian(ports),
    outbox: new Outbox(new FakeStore()),
    reader: new Reader(ports),
    typist: new Typist(ports),
    crowd: new Crowd(ports),
    mentions: new Mentions(ports),
    seeker: new Seeker(Object.assign(ports, { historian: new Historian(ports) })),
  };
  return () => parts.typist.stop();
});

test("an empty room", () => {
  expect(drawn(parts)).toMatchObject({
    room: "lobby",
    me,
    rows: [],
    typing: [],
    unread: 0,
    loading: null,
    historyFailed: false,
    complete: false,
    outboxFull: false,
    mayPost: true,
    mayLookBack: false,
  });
});

test("every part has its rows, mine below", () => {
  parts.timeline.add(message(1));
  parts.timeline.add(message(4, { user: me }));
  parts.outbox.add("own", "later", message(5).at);
  parts.crowd.diff({ online: 1, total: 1, joined: [], left: [{ id: "u-bo", name: "Bo" }] }, me.id);
  expect(drawn({ ...parts, unreadAfter: 0 }).rows.map(({ kind }) => kind)).toEqual([
    "note", "unread", "day", "message", "gap", "message", "entry",
  ]);
});

test("unread is what others wrote past the read position", () => {
  for (const offset of [1, 2, 3]) parts.timeline.add(message(offset));
  parts.timeline.add(message(4, { user: me }));
  parts.reader.heard(1);
  expect(drawn(parts).unread).toBe(2);
  expect(drawn({ ...parts, me: null }).unread).toBe(3);
});

test("I do not see myself type", () => {
  for (const id of ["u-me", "u-ada"]) parts.typist.heard({ id, name: id }, true);
  expect(drawn(parts).typing.map(({ id }) => id)).toEqual(["u-ada"]);
});

test("a view handed out does not change", () => {
  parts.timeline.add(message(1));
  const before = drawn(parts);
  const rows = [...before.rows];
  parts.timeline.add(message(2));
  expect(before.rows).toEqual(rows);
});
