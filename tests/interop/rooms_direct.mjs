// A room of two, found by both through their sessions; ids that have to be encoded.

import { bodies, end, open, once, until } from "./rooms_kit.mjs";

const [alice, bob] = ["alice, a/b?", "bob@example.org"];
const me = open("/@me", { auth: { user: bob } });
await once(me, "welcome");
const there = open("/@dm/" + encodeURIComponent(bob), { auth: { user: alice } });
const [welcome] = [await once(there, "welcome")];
await there.emitWithAck("message", "psst");
await until(me, () => me.seen.some(([name]) => name === "room_joined"));
const [, joined] = me.seen.find(([name]) => name === "room_joined");

const here = open("/" + joined.room, { auth: { user: bob } });
await until(here, () => bodies(here).length === 1);
await here.emitWithAck("message", "yes?");
await until(there, () => bodies(there).length === 2);

// cut off in the middle: what was said meanwhile comes before `connect`
const id = there.id;
there.io.engine.close();
await here.emitWithAck("message", "still there?");
await until(there, () => bodies(there).length === 3);
await until(there, () => there.seen.filter(([name]) => name === "welcome").length === 2);
end({
  welcome,
  joined,
  name: "@dm/" + encodeURIComponent(alice),
  bodies: bodies(there),
  recovered: there.recovered && there.id === id,
});
