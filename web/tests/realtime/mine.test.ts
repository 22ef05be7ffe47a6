import { expect, test } from "vitest";
import { MyRooms } from "../../src/realtime/mine";

const standing = (room: string, unread: number) => ({ room, unread, last: 9 });
const user = { user: "u", name: "U" };

test("unread rooms come first, then by name; what changes is told one by one", () => {
  const mine = new MyRooms();
  expect(mine.take("welcome", { ...user, rooms: [standing("b", 0), standing("a", 0), standing("z", 2)] })).toBe(true);
  expect(mine.list.map(({ room }) => room)).toEqual(["z", "a", "b"]);
  expect(mine.take("unread", standing("b", 1))).toBe(true);
  expect(mine.take("unread", standing("z", 0))).toBe(true);
  expect(mine.take("room_joined", standing("@dm/bob", 0))).toBe(true);
  expect(mine.list).toEqual([
    { room: "b", unread: 1 },
    { room: "@dm/bob", unread: 0 },
    { room: "a", unread: 0 },
    { room: "z", unread: 0 },
  ]);
  expect(mine.take("room_left", { room: "z" })).toBe(true);
  expect(mine.list.map(({ room }) => room)).toEqual(["b", "@dm/bob", "a"]);
});

test("a welcome says all there is", () => {
  const mine = new MyRooms();
  mine.take("welcome", { ...user, rooms: [standing("a", 0)] });
  mine.take("welcome", { ...user, rooms: [standing("b", 0)] });
  expect(mine.list).toEqual([{ room: "b", unread: 0 }]);
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
