// Pages of history with more binaries than a packet may have, hostile bodies, and leaving for good.

import { end, once, open, until } from "./rooms_kit.mjs";

const alice = open("/den", { auth: { user: "alice" } });
await once(alice, "welcome");
const bob = open("/den", { auth: { user: "bob" } });
await once(bob, "welcome");

const refused = [];
for (const hostile of [{ _placeholder: true, num: 99 }, [{ deep: { _placeholder: true, num: 0 } }]]) {
  refused.push(await bob.emitWithAck("message", hostile));
}
await alice.emitWithAck("message", Array.from({ length: 10 }, (_, n) => Buffer.from([n])));
for (let n = 10; n < 25; n += 1) await alice.emitWithAck("message", Buffer.from([n]));

const pages = [];
for (let query = {}, more = true; more; query = { before: pages[0][0][0] }) {
  const page = await alice.emitWithAck("history", query);
  more = page.more;
  pages.unshift(page.items.map(({ offset, body }) => [offset, [body].flat().map((part) => part[0])]));
}

const left = await bob.emitWithAck("leave");
await until(bob, () => bob.seen.some(([name]) => name === "disconnect"));
const farewell = bob.seen.filter(([name]) => name === "notice" || name === "disconnect");
const members = await alice.emitWithAck("members", { all: true });
bob.connect();
await until(bob, () => bob.seen.filter(([name]) => name === "welcome").length === 2);

end({ refused, pages, left, farewell, members, again: bob.connected });
