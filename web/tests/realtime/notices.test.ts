import { expect, test } from "vitest";
import { worded } from "../../src/realtime/notices";

function notice(code: string, expiresIn: number | null) {
  return worded({ code, message: "the server's words", reconnect: null, expiresIn });
}

test.each([
  [59.994, "60 seconds"],
  [1.2, "1 second"],
  [0, "0 seconds"],
  [600, "10 minutes"],
])("a token that expires in %d s: %s", (expiresIn, words) => {
  expect(notice("token_expiring", expiresIn)).toEqual({ code: "token_expiring", message: expect.stringContaining(` in ${words}.`) });
});

test("every other notice keeps the server's words", () => {
  expect(notice("rate_limited", null)).toEqual({ code: "rate_limited", message: "the server's words" });
  expect(notice("token_expiring", null).message).toBe("the server's words");
});
