import { expect, test } from "vitest";
import { begun, completed, named, offered } from "../../src/realtime/naming";

const user = (name: string, id = `u-${name}`) => ({ id, name });

test.each([
  ["@", { from: 0, query: "" }],
  ["hi @ad", { from: 3, query: "ad" }],
  ["(@Ada Lo", { from: 1, query: "Ada Lo" }],
  ["@a @b", { from: 3, query: "b" }],
  ["ada@example", null],
  ["@ada\nand", null],
  ["ada", null],
])("in %o the name that is being written is %o", (text, expected) => expect(begun(text, text.length)).toEqual(expected));

test("only what stands before the caret counts, and not what was said long before", () => {
  expect(begun("@ada", 2)).toEqual({ from: 0, query: "a" });
  expect(begun(`@${"x".repeat(500)}`, 501)).toBe(null);
});

test("whole names come first, then their parts, then ids, and never oneself", () => {
  const people = [user("Bo Ada"), user("Adam"), user("Zoe", "ada-7"), user("Ada"), user("Cy"), user("Ada Me", "me")];
  expect(offered(people, "ADA", "me").map(({ name }) => name)).toEqual(["Ada", "Adam", "Bo Ada", "Zoe"]);
  expect(offered(Array.from({ length: 20 }, (_, n) => user(`A${n}`)), "", null)).toHaveLength(6);
});

test("what was begun becomes the name, with one space behind it", () => {
  expect(completed("hi @ad", { from: 3, query: "ad" }, "Ada")).toEqual({ text: "hi @Ada ", caret: 8 });
  expect(completed("@a is here", { from: 0, query: "a" }, "Ada")).toEqual({ text: "@Ada is here", caret: 5 });
});

test.each([
  ["@Ada!", ["u-Ada"]],
  ["and @ada, @Ann Lee, @ada", ["u-Ada", "u-Ann Lee"]],
  ["@Ann went", ["u-Ann"]],
  ["@Adamant", []],
  ["mail ada@Ada", []],
  ["@me, @Bo", []], // oneself, and a name that two have
])("%o names %o", (text, ids) => {
  const people = [user("Ada"), user("Ann"), user("Ann Lee"), user("me", "me"), user("Bo", "1"), user("Bo", "2")];
  expect(named(text, people, [], "me")).toEqual(ids);
});

test("of two with the same name the one that was chosen is meant", () => {
  expect(named("@Bo", [user("Bo", "1"), user("Bo", "2")], [user("Bo", "2")], null)).toEqual(["2"]);
});

test("however long a text is, so many names and no more", () => {
  const people = Array.from({ length: 300 }, (_, n) => user(`p${n}.`));
  expect(named(people.map(({ name }) => `@${name}`).join(" "), people, [], null)).toHaveLength(50);
  expect(named("@ ".repeat(300_000), people, [], null)).toEqual([]);
});
