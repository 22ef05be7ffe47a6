import { describe, expect, test } from "vitest";
import { cutAt, pieces, plainEmoji, plainName } from "../../src/realtime/strangers";
import { randomFrom } from "../support";

describe("names", () => {
  test.each([
    ["Ada Lovelace", "Ada Lovelace"],
    ["  Zo\u00eb\n\t of  Z\u00fcrich ", "Zo\u00eb of Z\u00fcrich"],
    ["e\u0301", "\u00e9"],
    ["\u202egnp.exe\u2066", "gnp.exe"],
    ["a\u200bd\u2060m\ufeffin", "admin"],
    ["nul\u0000\u001b[31m\u0085", "nul[31m"],
    ["\u3164\u115f\u2800\ufe0f", ""],
    ["half\ud800", "half"],
    ["\u0301\u0301loose", "loose"],
    ["<img src=x onerror=alert(1)>", "<img src=x onerror=alert(1)>"],
    ["\u05e9\u05dc\u05d5\u05dd", "\u05e9\u05dc\u05d5\u05dd"],
  ])("%j", (text, name) => expect(plainName(text)).toBe(name));

  test("are short, and few marks stand on a letter", () => {
    expect([...plainName("\u{1d49c}".repeat(1_000))]).toHaveLength(128);
    expect(plainName(`x${"\u0336".repeat(10_000)}`)).toBe(`x${"\u0336".repeat(4)}`);
  });
});

describe("texts", () => {
  test("show where something hides", () => {
    expect(pieces("a\u202eb\u200b\u0000")).toEqual([
      { text: "a", mark: null },
      { text: "\u202e", mark: "U+202E" },
      { text: "b", mark: null },
      { text: "\u200b", mark: "U+200B" },
      { text: "\u0000", mark: "U+0000" },
    ]);
  });

  test("are left alone where it is part of a language", () => {
    for (const text of ["", "tab\tline\r\nend", "\u05d0\u200f!", "\u0645\u06cc\u200c\u062e", "\u{1f468}\u200d\u{1f469}", "e\u0301"]) {
      expect(pieces(text)).toEqual(text === "" ? [] : [{ text, mark: null }]);
    }
  });

  test.each(Array.from({ length: 30 }, (_, seed) => seed))("joined are the text again, seed %i", (seed) => {
    const random = randomFrom(seed);
    const signs = ["a", "\n", "\u202e", "\u2066", "\u200b", "\u{1f600}", "\u0000", "\ud800"];
    const text = Array.from({ length: 80 }, () => signs[Math.floor(random() * signs.length)]).join("");
    expect(pieces(text).map((piece) => piece.text).join("")).toBe(text);
  });

  test("a flood of hidden characters is bounded, and does nothing", () => {
    const found = pieces("a\u202e".repeat(100_000));
    expect(found.length).toBeLessThan(2_100);
    expect(found.at(-1)!.mark).toBeNull();
    expect(found.at(-1)!.text).not.toContain("\u202e");
  });

  test("are cut where they would fill the page", () => {
    expect(cutAt("")).toBe(0);
    expect(cutAt("x".repeat(10_000))).toBe(10_000);
    expect(cutAt("x".repeat(1_000_000))).toBe(10_000);
    expect(cutAt(`${"x".repeat(9_999)}\u{1f600}`)).toBe(9_999); // not between the halves of a sign
    expect(cutAt("x\n".repeat(200))).toBe(399);
    expect(cutAt("x\n".repeat(199))).toBe(398);
  });
});

test("an emoji is taken as it is, or not at all", () => {
  for (const emoji of ["👍", "❤️", "👩‍👩‍👧", "🏴󠁧󠁢󠁥󠁮󠁧󠁿", "ok", "é"]) expect(plainEmoji(emoji)).toBe(emoji);
  for (const text of ["", "\u200d", "a\u202eb", " a", "a\nb", "x".repeat(33), `a${"\u0301".repeat(20)}`]) expect(plainEmoji(text)).toBe(null);
});
