// Somebody is cut off from one node and comes back on another. The third argument is its address,
// the fourth the room.

import { ask, bodies, end, open, once, settled, until } from "./rooms_kit.mjs";

const [, , , , other, room] = process.argv;
const alice = open(`/${room}`, { auth: { user: "alice" }, reconnection: false });
await once(alice, "welcome");
await settled(alice);
await alice.emitWithAck("message", "seen");
await until(alice, () => bodies(alice).length === 1);
const before = alice.id;

alice.seen = [];
alice.io.engine.close();
await until(alice, () => !alice.connected);
await ask("post two");

// what a load balancer does: the same client, another node
alice.io.uri = other;
alice.connect();
await until(alice, () => alice.seen.some(([name]) => name === "welcome"));
await settled(alice);
const sent = await alice.emitWithAck("message", "from the other node");
await until(alice, () => bodies(alice).includes("from the other node"));
end({ same: alice.id === before, recovered: alice.recovered, seen: alice.seen, sent });
