import { expect, test } from "vitest";
import { MyRooms, titleOf } from "../../src/realtime/mine";

const standing = (room: string, unread: number, more = {}) => ({ room, unread, last: 9, ...more });
const user = { user: "u", name: "U" };

test("unread rooms come first, then by name; what changes is told one by one", () => {
  const mine = new MyRooms();
  expect(mine.take("welcome", { ...user, rooms: [standing("b", 0), standing("a", 0), standing("z", 2)] })).toBe(true);
  expect(mine.list.map(({ room }) => room)).toEqual(["z", "a", "b"]);
  expect(mine.take("unread", standing("b", 1))).toBe(true);
  expect(mine.take("unread", standing("z", 0))).toBe(true);
  expect(mine.take("room_joined", standing("@dm/bob", 0))).toBe(true);
  expect(mine.list).toEqual([
    { room: "b", unread: 1, peer: null, mentions: 0 },
    { room: "a", unread: 0, peer: null, mentions: 0 },
    { room: "@dm/bob", unread: 0, peer: null, mentions: 0 },
    { room: "z", unread: 0, peer: null, mentions: 0 },
  ]);
  expect(mine.take("room_left", { room: "z" })).toBe(true);
  expect(mine.list.map(({ room }) => room)).toEqual(["b", "a", "@dm/bob"]);
});

test("a room of two is called by who the other one is, and its id is as the page writes it", () => {
  const mine = new MyRooms();
  const peer = { user: "b@x", name: "Bo" };
  mine.take("welcome", { ...user, rooms: [standing("@dm/b%40x", 0, { peer }), standing("cellar", 0), standing("attic", 0)] });
  expect(mine.list.map(({ room }) => room)).toEqual(["attic", "@dm/b@x", "cellar"]);
  expect(mine.list.map(titleOf)).toEqual(["attic", "Bo", "cellar"]);
  mine.take("unread", standing("@dm/b%40x", 1, { peer }));
  expect(mine.list[0]).toEqual({ room: "@dm/b@x", unread: 1, peer: { id: "b@x", name: "Bo" }, mentions: 0 });
  mine.take("room_left", { room: "@dm/b%40x" });
  expect(mine.list.length).toBe(2);
  expect(["tea", "@dm/bob", "\u202e"].map((room) => titleOf({ room, peer: null }))).toEqual(["tea", "bob", "?"]);
});

test("a welcome says all there is", () => {
  const mine = new MyRooms();
  mine.take("welcome", { ...user, rooms: [standing("a", 0)] });
  mine.take("welcome", { ...user, rooms: [standing("b", 0)] });
  expect(mine.list).toEqual([{ room: "b", unread: 0, peer: null, mentions: 0 }]);
});

test.each([
  ["welcome", { ...user }],
  ["unread", { room: 7 }],
  ["room_joined", null],
  ["room_left", { room: "nowhere" }],
  ["message", standing("a", 1)],
])("%s of %o changes nothing", (event, value) => {
  const mine = new MyRooms();
  expect([mine.take(event, value), mine.list]).toEqual([false, []]);
});
