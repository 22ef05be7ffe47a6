// What tests/stock_app.py can do, as a Node program sees it: told at the end, to be compared.

import { end, open, settled, until } from "./rooms_kit.mjs";

const options = { extraHeaders: { "X-Shop": "corner" }, reconnection: false };

const stranger = open("/", { ...options, auth: { name: "mallory" } });
await until(stranger, () => stranger.seen.length > 0);
stranger.close();

const ann = open("/", { ...options, auth: { name: "ann" } });
ann.on("question", (...args) => args.at(-1)("back", ...args.slice(0, -1)));
await until(ann, () => ann.connected);
await settled(ann);

const said = [];
for (const [event, ...args] of [
  ["ask", "where?"],
  ["add", 1, 2.5, -3],
  ["upload", Buffer.from([0, 1, 2, 3, 4]), { name: "x.png", deep: [Buffer.from([]), null, true] }],
  ["nothing"],
  ["no such event", { a: [1] }, "b", Buffer.from("c")],
  ["enter", "red"],
  ["tell", ["red", "customers"], "once", 2],
  ["leave", "red"],
  ["please_call", { n: [1, Buffer.from("2")] }],
]) {
  said.push(await new Promise((resolve) => ann.emit(event, ...args, (...answer) => resolve([event, ...answer]))));
}
ann.emit("please_ask");
await until(ann, () => ann.seen.some(([name]) => name === "thanks"));
ann.emit("count_down", 3);
await until(ann, () => ann.seen.some(([name]) => name === "lift off"));
ann.emit("throw_me_out");
await until(ann, () => ann.disconnected);

// the ids are made up anew each time; of functions only that there is one is told
const heard = ann.seen.map(([name, ...args]) =>
  name === "connect" ? [name] : [name, ...args.map((one) => (typeof one === "function" ? "ack" : one))],
);
end({ stranger: stranger.seen, said, heard });
