// The server is killed and started again while somebody is away.

import { ask, bodies, end, open, once, settled, until } from "./rooms_kit.mjs";

const alice = open("/", { auth: { user: "alice" }, reconnection: false });
await once(alice, "welcome");
const bob = open("/", { auth: { user: "bob" } });
await once(bob, "welcome");
await settled(alice);
await settled(bob);
await bob.emitWithAck("message", "seen");
await until(alice, () => bodies(alice).length === 1);
const before = alice.id;
const bobBefore = bob.id;

alice.seen = [];
alice.io.engine.close();
await until(alice, () => !alice.connected);
await bob.emitWithAck("message", "before the kill");
await until(bob, () => bodies(bob).length === 2);
await ask("kill the server and start it again");
await until(bob, () => bob.seen.filter(([name]) => name === "welcome").length === 2);
const bobAfter = { same: bob.id === bobBefore, recovered: bob.recovered };
await bob.emitWithAck("message", "after the kill");

alice.connect();
await until(alice, () => alice.seen.some(([name]) => name === "welcome"));
const after = { same: alice.id === before, recovered: alice.recovered, seen: alice.seen };
end({ after, bobAfter, bodies: bodies(bob) });
