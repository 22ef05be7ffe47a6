import { expect, test } from "vitest";
import { kindly, worded } from "../../src/realtime/notices";

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

test.each([
  [null, "No answer came."],
  [{ code: "forbidden", message: "No.", temporary: false, retryAfter: null }, "No."],
  [{ code: "rate_limited", message: "x", temporary: true, retryAfter: 0.2 }, "That was a bit too fast. It goes on in a moment."],
  [{ code: "rate_limited", message: "x", temporary: true, retryAfter: 4.2 }, "That was a bit too fast. It goes on in 5 seconds."],
  [{ code: "unavailable", message: "x", temporary: true, retryAfter: null }, "The server cannot answer just now. It may in a moment."],
])("a refusal of %o is said kindly", (refusal, words) => expect(kindly(refusal)).toBe(words));
