// Messages are edited, deleted and reacted to, while somebody looks on and somebody is away.

import { end, once, open, settled, until } from "./rooms_kit.mjs";

const DURABLE = ["message", "edit", "delete", "reaction"];
const durable = (socket) => socket.seen.filter(([name]) => DURABLE.includes(name));

const alice = open("/den", { auth: { user: "alice", name: "Alice" } });
await once(alice, "welcome");
const bob = open("/den", { auth: { user: "bob" }, reconnection: false });
await once(bob, "welcome");
const over = [await settled(alice), await settled(bob)];

await alice.emitWithAck("message", "one", { id: "m1", mentions: ["bob"] });
await alice.emitWithAck("message", Buffer.from([0, 255]), { id: "m2", reply_to: "m1" });
await until(bob, () => durable(bob).length === 2);

const acks = [
  await bob.emitWithAck("react", { id: "m1", emoji: "👍" }),
  await alice.emitWithAck("edit", { id: "m1", body: { text: "uno" } }),
  await bob.emitWithAck("edit", { id: "m1", body: "mine" }),
  await bob.emitWithAck("react", { offset: 1, emoji: "👍" }),
  await bob.emitWithAck("delete", { offset: 99 }),
];
await until(bob, () => durable(bob).length === 4);
await until(alice, () => durable(alice).length === 4);
const live = [durable(alice), durable(bob)];

// bob is away, and recovers
const before = bob.id;
bob.seen = [];
bob.io.engine.close();
await until(bob, () => !bob.connected);
await alice.emitWithAck("message", "three", { id: "m3" });
await alice.emitWithAck("edit", { id: "m3", body: "tres" });
await alice.emitWithAck("delete", { id: "m2" });
await alice.emitWithAck("react", { id: "m3", emoji: "🎉" });
bob.connect();
await until(bob, () => bob.connected && bob.seen.some(([name]) => name === "welcome"));
const again = { recovered: bob.recovered, same: bob.id === before, seen: durable(bob) };

const page = await bob.emitWithAck("history", {});
const all = await bob.emitWithAck("history", { after: 2, operations: true });
const read = await bob.emitWithAck("read", 5);
end({ over, acks, live, again, page, all, read });
