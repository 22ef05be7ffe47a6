// Who is there and what they do: states, typing, events that are passed on.

import { end, once, open, settled, until } from "./rooms_kit.mjs";

const bob = open("/board", { auth: { user: "bob" } });
await once(bob, "welcome"); // first, or nobody tells him who comes
const alice = open("/board", { auth: { user: "alice", name: "Alice" } });
const told = (name, key) =>
  bob.seen.filter(([event, payload]) => event === name && (!key || payload[key])).map(([, payload]) => payload);
const named = (key) => told("presence", key).flatMap((diff) => diff[key].map(({ user }) => user));

const welcome = await once(alice, "welcome");
await until(bob, () => named("joined").includes("alice"));
await settled(alice);

const away = await alice.emitWithAck("status", { state: "away" });
await until(bob, () => named("away").includes("alice"));
const members = await bob.emitWithAck("members", { all: true });
const online = await alice.emitWithAck("status", { state: "online" });
await until(bob, () => named("back").includes("alice"));
const wrong = await alice.emitWithAck("status", { state: "asleep" });

// it is said once, and ends by itself
await alice.emitWithAck("typing", true);
await until(bob, () => told("typing").length === 2);

const drawn = await alice.emitWithAck("draw", [1, 2], new Uint8Array([0, 255]));
await until(bob, () => bob.seen.some(([name]) => name === "draw"));
for (let at = 0; at <= 200; at += 1) alice.emit("cursor", at);
const cursors = () => bob.seen.filter(([name]) => name === "cursor").map(([, at]) => at);
await until(bob, () => cursors().at(-1) === 200);

const before = Date.now();
alice.disconnect();
await until(bob, () => named("left").includes("alice"));
const gone = await bob.emitWithAck("members", { all: true });
end({
  state: welcome.state,
  away,
  members,
  online,
  wrong,
  typing: told("typing"),
  drawn,
  draw: bob.seen.find(([name]) => name === "draw").slice(1),
  ascending: cursors().every((at, place, all) => !place || at > all[place - 1]),
  gone,
  before,
  after: Date.now(),
});
