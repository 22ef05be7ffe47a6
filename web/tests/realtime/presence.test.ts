import { expect, test } from "vitest";
import { changed, counted, listed, nobody } from "../../src/realtime/presence";

const ada = { id: "a", name: "Ada" };
const bo = { id: "b", name: "Bo" };

test("diffs move people; the counts are the server's", () => {
  const start = listed(counted(nobody, 2, 9), [ada, bo], 9);
  const next = changed(start, { online: 40, total: 50, joined: [{ id: "c", name: "Cy" }], left: [ada] });
  expect([...next.people.keys()]).toEqual(["b", "c"]);
  expect(next).toMatchObject({ online: 40, total: 50 });
  expect([...start.people.keys()]).toEqual(["a", "b"]);
});

test("who left and came back within one diff is here", () => {
  const next = changed(listed(nobody, [ada], 1), { online: 1, total: 1, joined: [ada], left: [ada] });
  expect(next.people.has("a")).toBe(true);
});

test("a new name replaces the old one", () => {
  const next = changed(listed(nobody, [ada], 1), { online: 1, total: 1, joined: [{ id: "a", name: "Ada L." }], left: [] });
  expect([...next.people.values()]).toEqual([{ id: "a", name: "Ada L." }]);
});

test("a list of a part of the crowd does not lower the count", () => {
  expect(listed(counted(nobody, 5_000, 9_000), [ada], 9_000).online).toBe(5_000);
});
