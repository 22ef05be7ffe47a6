import { expect, test } from "vitest";
import { initial, reduce, type Connection, type ConnectionEvent } from "../../src/realtime/connection";

function after(...events: ConnectionEvent[]): Connection {
  return events.reduce(reduce, initial);
}

const open: ConnectionEvent = { type: "open" };
const lost: ConnectionEvent = { type: "lost" };
const welcome = (recovered: boolean): ConnectionEvent => ({ type: "welcome", recovered });
const refused = (temporary: boolean): ConnectionEvent => ({
  type: "refused",
  refusal: { code: "full", message: "full", temporary, retryAfter: 1 },
});

test("the first connect goes live and has recovered nothing", () => {
  const live = after(open, { type: "transport", name: "polling" }, welcome(false));
  expect(live).toMatchObject({ state: "live", transport: "polling", recovered: null });
  expect(reduce(live, { type: "transport", name: "websocket" }).transport).toBe("websocket");
});

test("a server that cannot be reached at first is still the first connect", () => {
  const waiting = after(open, lost, { type: "attempt", number: 2 }, lost);
  expect(waiting).toMatchObject({ state: "connecting", attempt: 2 });
  expect(reduce(waiting, welcome(false))).toMatchObject({ state: "live", attempt: 0, recovered: null });
});

test.each([true, false])("a return says whether something was missed: recovered %s", (recovered) => {
  const away = after(open, welcome(false), lost);
  expect(away).toMatchObject({ state: "reconnecting", transport: null });
  expect(reduce(away, welcome(recovered))).toMatchObject({ state: "live", recovered });
});

test("a refusal for good closes with its reason, a temporary one waits", () => {
  expect(after(open, refused(false))).toMatchObject({ state: "closed", refused: true, reason: { code: "full" } });
  const waiting = after(open, refused(true));
  expect(waiting).toMatchObject({ state: "connecting", refused: false, reason: { code: "full" } });
  expect(reduce(waiting, welcome(false)).reason).toBeNull();
  expect(after(open, welcome(false), lost, refused(true)).state).toBe("reconnecting");
});

test("an end by the server shows the last notice", () => {
  const fallback = { code: "ended", message: "ended" };
  const notice = { code: "kicked", message: "out" };
  expect(after(open, welcome(false), { type: "ended", fallback }).reason).toBe(fallback);
  const ended = after(open, welcome(false), { type: "farewell", notice }, { type: "ended", fallback });
  expect(ended).toMatchObject({ state: "closed", refused: false, reason: notice });
  expect(reduce(ended, lost)).toBe(ended);
  expect(reduce(ended, open)).toMatchObject({ state: "connecting", reason: null });
});

test("leaving forgets everything", () => {
  expect(after(open, welcome(false), lost, welcome(true), { type: "left" })).toEqual(initial);
});
