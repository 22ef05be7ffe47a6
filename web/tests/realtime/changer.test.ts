import { beforeEach, expect, test } from "vitest";
import { Changer } from "../../src/realtime/changer";
import type { Refusal } from "../../src/realtime/wire";
import { FakePorts } from "../support";

let ports: FakePorts & { refused(refusal: Refusal): void };
let refusals: Refusal[];
let changer: Changer;

beforeEach(() => {
  refusals = [];
  ports = Object.assign(new FakePorts(), { refused: (refusal: Refusal) => void refusals.push(refusal) });
  changer = new Changer(ports);
});

test("each asks for what it is called, by the message's offset", async () => {
  const all = [changer.edit(7, "new"), changer.remove(8), changer.react(9, "🎉", false)];
  expect(ports.link.asked.map(({ event, args }) => [event, ...args])).toEqual([
    ["edit", { offset: 7, body: "new" }],
    ["delete", { offset: 8 }],
    ["react", { offset: 9, emoji: "🎉", on: false }],
  ]);
  for (const asked of ports.link.asked) await asked.answer({ ok: true, id: "x", offset: 10, target: 7, at: 1 });
  expect(await Promise.all(all)).toEqual([true, true, true]);
  expect(refusals).toEqual([]);
});

test("what was refused, or not answered, is told", async () => {
  const [refused, lost] = [changer.remove(1), changer.edit(2, "x")];
  await ports.link.last("delete").answer({ ok: false, error: { code: "forbidden", message: "not yours", temporary: false } });
  await ports.link.last("edit").drop();
  expect(await Promise.all([refused, lost])).toEqual([false, false]);
  expect(refusals.map(({ code }) => code)).toEqual(["forbidden", "no_answer"]);
});

test("nothing is asked for without a connection", async () => {
  ports.live = false;
  expect(await changer.react(1, "🎉", true)).toBe(false);
  expect([ports.link.asked, refusals]).toEqual([[], []]);
});
