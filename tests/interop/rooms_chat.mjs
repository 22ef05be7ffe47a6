// Two people talk; one is cut off and comes back.

import { bodies, end, open, once, settled, until } from "./rooms_kit.mjs";

const alice = open("/den", { auth: { user: "alice", name: "Alice" }, reconnection: false });
await once(alice, "welcome");
const bob = open("/den", { auth: { user: "bob" } });
await once(bob, "welcome");
const over = [await settled(alice), await settled(bob)];

const acks = [
  await alice.emitWithAck("message", "hello", { id: "m1" }),
  await alice.emitWithAck("message", "hello", { id: "m1" }),
  await bob.emitWithAck("message", { deep: [Buffer.from([0, 255]), { b: Buffer.from("x") }] }),
  await bob.emitWithAck("nonsense"),
  await bob.emitWithAck("read", 1),
  await bob.emitWithAck("typing", true),
];
const page = await bob.emitWithAck("history", {});
const members = await bob.emitWithAck("members", { all: true });
await until(alice, () => bodies(alice).length === 2 && alice.seen.some(([n]) => n === "typing"));
await until(bob, () => bodies(bob).length === 2);
const binary = [alice, bob].map((socket) => bodies(socket)[1].deep[0].equals(Buffer.from([0, 255])));
const first = { id: alice.id, recovered: alice.recovered, seen: alice.seen };

alice.seen = [];
alice.io.engine.close();
await bob.emitWithAck("message", "missed 1");
await bob.emitWithAck("message", Buffer.from("missed 2"));
alice.connect();
await until(alice, () => alice.connected && alice.seen.some(([name]) => name === "welcome"));
await settled(alice);
const again = { id: alice.id, recovered: alice.recovered, seen: alice.seen };
await alice.emitWithAck("message", "back");
await until(bob, () => bodies(bob).length === 5);

end({ over, acks, page, members, binary, first, again });
