import { expect, test } from "vitest";
import { parsePosition } from "../../src/realtime/position";

test("splits at the last dot", () => {
  expect(parsePosition("ab12.42")).toEqual({ epoch: "ab12", offset: 42 });
  expect(parsePosition("a.b.7")).toEqual({ epoch: "a.b", offset: 7 });
});

test.each([undefined, null, 7, "", "42", ".42", "e.", "e.-1", "e.1x", "e.1e3", "e.9999999999999999"])(
  "%o is no position",
  (text) => expect(parsePosition(text)).toBeNull(),
);
