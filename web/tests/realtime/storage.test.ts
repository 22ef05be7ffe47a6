import { expect, test } from "vitest";
import { MemoryStorage, outboxStore, usable } from "../../src/realtime/storage";

const entry = { id: "m", body: "hi", at: 1, error: null };
const extras = { replyTo: 7, mentions: ["u"] };

test("keeps what was put, per room and user", () => {
  const storage = new MemoryStorage();
  outboxStore(storage, "a b", "u").put(entry);
  expect(outboxStore(storage, "a b", "u").load()).toEqual([entry]);
  for (const [room, user] of [["a", "b u"], ["a b", "v"], ["a%20b", "u"]] as const) {
    expect(outboxStore(storage, room, user).load()).toEqual([]);
  }
  outboxStore(storage, "a b", "u").put({ ...entry, ...extras });
  expect(outboxStore(storage, "a b", "u").load()).toEqual([{ ...entry, ...extras }]);
  storage.setItem("sioserver.outbox a%20b u m", JSON.stringify({ ...entry, replyTo: "7", mentions: [7] }));
  expect(outboxStore(storage, "a b", "u").load()).toEqual([entry]);
  outboxStore(storage, "a b", "u").remove("m");
  expect(storage.length).toBe(0);
});

test("two tabs do not undo each other", () => {
  const storage = new MemoryStorage();
  const [one, two] = [outboxStore(storage, "r", "u"), outboxStore(storage, "r", "u")];
  one.put(entry);
  two.put({ ...entry, id: "n" });
  one.remove("m");
  expect(two.load().map(({ id }) => id)).toEqual(["n"]);
});

test("a refusal is kept, junk is not read", () => {
  const storage = new MemoryStorage();
  const store = outboxStore(storage, "r", "u");
  store.put({ ...entry, error: { code: "long", message: "Too long.", temporary: false, retryAfter: null } });
  for (const junk of ["", "{", "7", "null", '{"body":1,"at":1}']) storage.setItem(`sioserver.outbox r u junk${junk}`, junk);
  storage.setItem("something else", "x");
  expect(store.load()).toMatchObject([{ id: "m", error: { code: "long", message: "Too long." } }]);
});

test("a full or forbidden store is no reason to fail", () => {
  const full = new MemoryStorage();
  full.setItem = () => {
    throw new DOMException("full", "QuotaExceededError");
  };
  expect(() => outboxStore(full, "r", "u").put(entry)).not.toThrow();
  expect(usable(() => full)).toBeInstanceOf(MemoryStorage);
  const forbidden = usable(() => {
    throw new DOMException("no", "SecurityError");
  });
  forbidden.setItem("a", "b");
  expect(forbidden.getItem("a")).toBe("b");
});
