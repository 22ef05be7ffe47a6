import { beforeEach, expect, test } from "vitest";
import { Moderator } from "../../src/realtime/moderator";
import { FakePorts } from "../support";

let ports: FakePorts;
let moderator: Moderator;

beforeEach(() => {
  ports = new FakePorts();
  moderator = new Moderator(ports);
});

const settings = { topic: "Tea", slowMode: 0, readOnly: false };

test.each([
  [{ what: "kick", seconds: null }, ["kick", { user: "eve" }]],
  [{ what: "mute", seconds: 600 }, ["mute", { user: "eve", seconds: 600 }]],
  [{ what: "ban", seconds: 600 }, ["ban", { user: "eve", seconds: 600 }]],
  [{ what: "ban", seconds: null }, ["ban", { user: "eve" }]],
] as const)("%o asks for %o", async (act, [event, argument]) => {
  const done = moderator.act({ user: "eve", ...act });
  expect(ports.link.last(event).args).toEqual([argument]);
  await ports.link.last(event).answer({ ok: true, user: "eve" });
  expect([await done, ports.refusals]).toEqual([true, []]);
});

test("what was refused is said", async () => {
  const done = moderator.act({ what: "kick", user: "eve", seconds: null });
  await ports.link.last("kick").answer({ ok: false, error: { code: "forbidden", message: "not them", temporary: false } });
  expect([await done, ports.refusals.map(({ message }) => message)]).toEqual([false, ["not them"]]);
  ports.live = false;
  expect(await moderator.act({ what: "kick", user: "eve", seconds: null })).toBe(false);
});

test("who is banned is listed in pages, and anew when somebody is let in again", async () => {
  void moderator.sanctions.find("ban");
  const eve = { user: "eve", until: null, by: "ada", reason: "", at: 1, address: false };
  await ports.link.last("bans").answer({ ok: true, items: [eve], next: "eve" });
  void moderator.sanctions.more();
  expect(ports.link.of("bans").map(({ args }) => args)).toEqual([[{ kind: "ban" }], [{ kind: "ban", after: "eve" }]]);
  await ports.link.last("bans").answer({ ok: true, items: [{ ...eve, user: "mallory" }] });
  expect(moderator.sanctions.view.items.map(({ user }) => user.id)).toEqual(["eve", "mallory"]);
  void moderator.lift("ban", "eve");
  await ports.link.last("unban").answer({ ok: true });
  expect(ports.link.last("bans").args).toEqual([{ kind: "ban" }]);
  void moderator.lift("mute", "eve");
  await ports.link.last("unmute").answer({ ok: true });
  expect(ports.link.of("bans")).toHaveLength(3); // the other list is shown
});

test("of the room only that is set which differs", () => {
  void moderator.set(settings, { ...settings, readOnly: true });
  void moderator.set(settings, { topic: "", slowMode: 5, readOnly: false });
  expect(ports.link.of("settings").map(({ args }) => args)).toEqual([[{ read_only: true }], [{ topic: "", slow_mode: 5 }]]);
});
