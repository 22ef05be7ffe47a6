import { describe, expect, test } from "vitest";
import { linkify } from "../../src/realtime/links";
import { randomFrom } from "../support";

const hrefs = (text: string): (string | null)[] => linkify(text).map(({ href }) => href).filter((href) => href !== null);

test.each([
  ["see https://a.example/x.", "https://a.example/x"],
  ["(https://a.example/x_(y))", "https://a.example/x_(y)"],
  ["https://a.example/?q=1&r=[2]!", "https://a.example/?q=1&r=[2]"],
  ["<https://a.example/>", "https://a.example/"],
  ["HTTPS://A.example/Path", "https://a.example/Path"],
  ["**https://a.example/b**", "https://a.example/b"],
])("%s", (text, href) => expect(hrefs(text)).toEqual([href]));

test.each(["javascript:alert(1)", "data:text/html,x", "ftp://a.example", "https://", "http://[", "xhttps://a.example", "a.example"])(
  "%s is no link",
  (text) => expect(linkify(text)).toEqual([{ text, href: null }]),
);

test("a mark that turns the reading direction ends a link", () => {
  expect(hrefs("https://a.example/\u202egpj.exe")).toEqual(["https://a.example/"]);
});

test("thousands of closing brackets are no work", () => {
  const started = performance.now();
  linkify(`https://a.example/${")".repeat(60_000)}`);
  expect(performance.now() - started).toBeLessThan(500);
});

describe("whatever is sent, the parts joined are the text and links are http", () => {
  const pieces = ["https://", "http://", "a.example", "/", ")", "(", " ", "\n", "<b>", ".", "javascript:", "é", "\u202e", "@", ":", "[", "%"];
  test.each(Array.from({ length: 40 }, (_, seed) => seed))("seed %i", (seed) => {
    const random = randomFrom(seed);
    const text = Array.from({ length: 60 }, () => pieces[Math.floor(random() * pieces.length)]).join("");
    const parts = linkify(text);
    expect(parts.map((part) => part.text).join("")).toBe(text);
    for (const { href } of parts) if (href !== null) expect(href).toMatch(/^https?:\/\/./);
  });
});
