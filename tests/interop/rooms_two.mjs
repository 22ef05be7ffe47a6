// Two rooms, and the session, on one connection.

import { bodies, end, open, once, settled, until } from "./rooms_kit.mjs";

const shared = { forceNew: false, auth: { user: "alice" } };
const a = open("/a", shared);
const b = open("/b", shared);
const me = open("/@me", shared);
const bad = open("/no good", shared);
await Promise.all([once(a, "welcome"), once(b, "welcome"), once(me, "welcome")]);
await until(bad, () => bad.seen.length > 0);
await settled(a);
const one = a.io === b.io && a.io.engine.id === b.io.engine.id && a.io === me.io;

await a.emitWithAck("message", "to a");
await b.emitWithAck("message", "to b");
await until(a, () => bodies(a).length === 1);
await until(b, () => bodies(b).length === 1);
const rooms = await me.emitWithAck("rooms");
const ids = [a.id, b.id];

// both come back when the one connection is cut
a.io.engine.close();
await until(a, () => a.seen.filter(([name]) => name === "welcome").length === 2);
await until(b, () => b.seen.filter(([name]) => name === "welcome").length === 2);
const back = [a.id === ids[0], b.id === ids[1], a.recovered, b.recovered];

// one is left, the other goes on
a.disconnect();
const last = await b.emitWithAck("message", "b goes on");
a.connect();
await until(a, () => a.seen.filter(([name]) => name === "welcome").length === 3);
end({ one, a: bodies(a), b: bodies(b), rooms, back, last, bad: bad.seen });
