import { expect, test } from "vitest";
import { excerpt } from "../../src/realtime/excerpt";

const shown = (body: unknown, query: string): string =>
  excerpt(body, query).map(({ text, hit }) => (hit ? `[${text}]` : text)).join("");

test.each([
  ["The tea is ready", "TEA", "The [tea] is ready"],
  ["one\n\n two", '"one two"', "[one two]"],
  ["teapot, tea", "tea teapot", "[teapot], [tea]"],
  ["1+1=2 (a.c) [x] \\d", "1+1 a.c [x] \\d", "[1+1]=2 ([a.c]) [[x]] [\\d]"],
  ["nothing of it", "zzz", "nothing of it"],
  ["whatever", '""', "whatever"],
  [{ note: "tea" }, "tea", '{"note":"[tea]"}'],
  ["a\u202eb tea", "tea", "ab [tea]"],
])("of %o, when %o was looked for, %o is shown", (body, query, expected) => expect(shown(body, query)).toBe(expected));

test("a long text is shown around the first word that was looked for", () => {
  const text = shown(`${"a ".repeat(500)}needle ${"b ".repeat(500)}`, "needle");
  expect(text).toMatch(/^…[a ]{38,40}\[needle\] [b ]+…$/);
  expect(text.length).toBeLessThan(170);
});

test("no character is cut in two", () => {
  for (const before of [0, 1]) {
    const parts = excerpt(`${"x".repeat(before)}${"😀".repeat(300)}needle${"😀".repeat(300)}`, "needle");
    for (const { text } of parts) expect(() => encodeURIComponent(text)).not.toThrow();
  }
});

test("much to look through takes no time", () => {
  const began = performance.now();
  shown("a".repeat(1_000_000), `${"a".repeat(150)}b`);
  expect(performance.now() - began).toBeLessThan(1_000);
});
