import { expect, test } from "vitest";
import { noted, type Note } from "../../src/realtime/notes";
import type { User } from "../../src/realtime/wire";

const [ada, bo, me]: [User, User, User] = [
  { id: "a", name: "Ada" },
  { id: "b", name: "Bo" },
  { id: "me", name: "Me" },
];

function note(notes: readonly Note[], joined: User[], left: User[], after = 5, now = 0): Note[] {
  return noted(notes, { online: 0, total: 0, joined, left }, "me", after, now);
}

test("my own coming and going is not news", () => {
  expect(note([], [me], [])).toEqual([]);
  expect(note([], [me, ada], [me])).toMatchObject([{ joined: [ada], left: [] }]);
});

test("a busy door fills one line until something else happens", () => {
  const one = note(note([], [ada], []), [bo], []);
  expect(one).toMatchObject([{ after: 5, joined: [ada, bo] }]);
  expect(note(one, [], [ada], 6)).toHaveLength(2);
  expect(note(one, [], [ada], 5, 61_000)).toHaveLength(2);
});

test("the line tells the end of the coming and going", () => {
  const gone = note(note([], [ada], []), [], [ada]);
  expect(gone).toMatchObject([{ joined: [], left: [ada] }]);
  expect(note(gone, [ada], [])).toMatchObject([{ joined: [ada], left: [] }]);
});

test("keys stay unique and the number of lines bounded", () => {
  let notes: Note[] = [];
  for (let after = 0; after < 80; after += 1) notes = note(notes, [ada], [], after);
  expect(notes).toHaveLength(50);
  expect(new Set(notes.map(({ key }) => key)).size).toBe(50);
});
