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

test.each([
  ...["javascript:alert(1)", "data:text/html,x", "ftp://a.example", "https://", "http://[", "xhttps://a.example", "a.example"],
  ...["vbscript:x", "file:///etc/passwd", "JavaScript://a.example/%0aalert(1)", "java\nscript:x"],
  ...["https://bank.example@evil.example/", "https://bank.example:443@evil.example", "https://:x@evil.example/"],
  ...["mailto:", "mailto:a", "mailto:a@", "mailto:?to=a@b", "xmailto:a@b.example"],
])("%s is no link", (text) => expect(linkify(text)).toEqual([{ text, href: null }]));

test.each([
  ["mailto:ada@a.example", "mailto:ada@a.example"],
  ["mailto:ada@a.example?bcc=eve@b.example&body=x", "mailto:ada@a.example"],
  ["<mailto:ada@a.example>.", "mailto:ada@a.example"],
])("%s writes to somebody, and nothing else", (text, href) => expect(hrefs(text)).toEqual([href]));

describe("a link is shown as the address that it leads to", () => {
  const shown = (text: string): string => linkify(text).map((part) => part.shown ?? part.text).join("");

  test.each([
    ["https://\u0430pple.example/\u0430", "https://xn--pple-43d.example/\u0430"], // a Cyrillic a among Latin letters
    ["https://\u0430\u0440\u0440\u04cf\u0435.com", "https://xn--80ak6aa92e.com"], // all Cyrillic, but for the end
    ["https://g\u0131thub.example", "https://xn--gthub-n4a.example"], // without a dot
    ["https://\u0261oogle.example", "https://xn--oogle-qmc.example"], // a Latin letter of the phonetic alphabet
    ["http://0x7f.1/", "http://127.0.0.1/"],
    ["http://2130706433", "http://127.0.0.1"],
    ["https://%65vil.example/x", "https://evil.example/x"],
    ["https://\uff45vil.example", "https://evil.example"],
    ["https://a.example\u3002evil.example", "https://a.example.evil.example"],
    ["https://a.example:443/", "https://a.example/"],
    ["https:///evil.example/x", "https://evil.example/x"],
    ["https://\u4f8b\u3048.jp/", "https://xn--r8jz45g.jp/"],
  ])("%s is %s", (text, expected) => expect(shown(text)).toBe(expected));

  test.each([
    "https://b\u00fccher.example/",
    "https://\u043f\u0440\u0438\u043c\u0435\u0440.\u0440\u0444/\u0434",
    "https://\u4f8b\u3048.\u30c6\u30b9\u30c8",
    "HTTPS://A.Example/Path?q=\u0430#\u0430",
    "http://[::1]:3000/",
  ])("%s as it was written", (text) => {
    expect(linkify(text)).toEqual([{ text, href: new URL(text).href }]);
    expect(shown(text)).toBe(text);
  });

  test("what would hide in it ends it", () => {
    for (const hidden of ["\u00ad", "\u061c", "\u200b", "\u2060", "\u3164", "\ufe0f", "\u{e0041}"]) {
      expect(hrefs(`https://a.example/${hidden}b`)).toEqual(["https://a.example/"]);
    }
  });
});

test.each(["mailto:", "mailto:a", "http://", "https://a@", "http://[", "mailto:a@b?"])("a flood of %s is no work", (piece) => {
  const text = piece.repeat(1_000_000 / piece.length);
  const started = performance.now();
  expect(linkify(text).map((part) => part.text).join("")).toBe(text);
  expect(performance.now() - started).toBeLessThan(1_000);
});

test("a flood of links is text behind the hundredth", () => {
  const text = "http://a.example ".repeat(60_000);
  const started = performance.now();
  const parts = linkify(text);
  expect(performance.now() - started).toBeLessThan(500);
  expect(parts.filter(({ href }) => href !== null)).toHaveLength(100);
  expect(parts.map((part) => part.text).join("")).toBe(text);
});

test("a mark that turns the reading direction ends a link", () => {
  expect(hrefs("https://a.example/\u202egpj.exe")).toEqual(["https://a.example/"]);
});

test("thousands of closing brackets are no work", () => {
  const started = performance.now();
  linkify(`https://a.example/${")".repeat(60_000)}`);
  expect(performance.now() - started).toBeLessThan(500);
});

describe("whatever is sent, the parts joined are the text and links are http or mail", () => {
  const pieces = ["https://", "http://", "mailto:", "\u0430", "\u00ad", "a.example", "/", ")", "(", " ", "\n", "<b>", ".", "javascript:", "é", "\u202e", "@", ":", "[", "%"];
  test.each(Array.from({ length: 40 }, (_, seed) => seed))("seed %i", (seed) => {
    const random = randomFrom(seed);
    const text = Array.from({ length: 60 }, () => pieces[Math.floor(random() * pieces.length)]).join("");
    const parts = linkify(text);
    expect(parts.map((part) => part.text).join("")).toBe(text);
    for (const { href } of parts) if (href !== null) expect(href).toMatch(/^(https?:\/\/[^@/]+(\/|$)|mailto:[^?]+@)/);
  });
});
