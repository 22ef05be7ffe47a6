// What a client recovers after events that end with a string, which it takes for a position.
// usage: emitted_strings.mjs URL transports one|two (devices of the user)

import { ask, bodies, end, once, open, settled, until } from "./rooms_kit.mjs";

const [, , , , devices] = process.argv;
const alice = open("/lounge", { auth: { user: "alice" }, reconnection: false });
const others = [open("/lounge", { auth: { user: "bob" } })];
if (devices === "two") others.push(open("/lounge", { auth: { user: "alice" } }));
await Promise.all([alice, ...others].map((socket) => once(socket, "welcome")));
await settled(alice);
const all = (text) => Promise.all(others.map((socket) => until(socket, () => bodies(socket).includes(text))));

await others[0].emitWithAck("message", "one");
await until(alice, () => bodies(alice).length === 1);
alice.on("text", (...args) => (alice.args = args));
await ask("emit");
await until(alice, () => alice.seen.some(([name]) => name === "bare"));
const shown = alice.args.map((arg) => typeof arg);

alice.io.engine.close();
await until(alice, () => !alice.connected);
await others[0].emitWithAck("message", "two");
await all("two");
await Promise.all(others.map((socket) => socket.emitWithAck("read", 2))); // proof that it has arrived
alice.connect();
await until(alice, () => alice.seen.filter(([name]) => name === "welcome").length === 2);
await others[0].emitWithAck("message", "three");
await until(alice, () => bodies(alice).includes("three"));
end({ shown, recovered: alice.recovered, bodies: bodies(alice) });
