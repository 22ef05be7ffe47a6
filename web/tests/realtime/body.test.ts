import { expect, test } from "vitest";
import { bodyText, isPlainText } from "../../src/realtime/body";

test.each([
  ["text", "text"],
  [{ a: [1, "b", null] }, '{"a":[1,"b",null]}'],
  [null, "null"],
  [undefined, "null"],
  [0, "0"],
  [new ArrayBuffer(4), "[4 bytes]"],
  [new Uint8Array(1), "[1 byte]"],
  [{ file: new ArrayBuffer(3) }, '{"file":"[3 bytes]"}'],
])("%o", (body, text) => expect(bodyText(body)).toBe(text));

test("only a string is text", () => {
  expect([isPlainText("x"), isPlainText({}), isPlainText(null)]).toEqual([true, false, false]);
});
