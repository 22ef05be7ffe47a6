// A tutorial's chat page under Node: reconnecting-websocket and ws, told by test_node_plain.py what
// to do next. Prints what it has seen, a JSON object per line.

import { createInterface } from "node:readline";
import ReconnectingWebSocket from "reconnecting-websocket";
import WebSocket from "ws";

const [, , url, token] = process.argv;
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const say = (value) => process.stdout.write(JSON.stringify(value) + "\n");

/** What the page of a tutorial does: log in whenever it is connected, answer heartbeats. */
function chat(socket, name, uid) {
  const seen = [];
  const waiting = [];
  let beats = 0;
  socket.addEventListener("open", () => {
    if (token) socket.send(JSON.stringify({ event: "auth", message: token }));
    socket.send(JSON.stringify({ event: "login", name, roomid: "den", uid }));
  });
  socket.addEventListener("message", ({ data }) => {
    const frame = JSON.parse(data);
    if (frame.event === "heartbeat") {
      socket.send(JSON.stringify({ event: "heartbeat", message: "pong" }));
      beats += 1;
    } else seen.push(frame);
    for (const look of waiting.splice(0)) look();
  });
  const until = async (condition) => {
    while (!seen.some(condition)) await new Promise((resolve) => waiting.push(resolve));
  };
  // When another ping comes, the answer to the one before has been taken, and proves what came before that.
  const beaten = async () => {
    for (const enough = beats + 2; beats < enough; ) await new Promise((resolve) => waiting.push(resolve));
  };
  return { seen, until, beaten, post: (message) => socket.send(JSON.stringify({ name, message })) };
}

const ann = chat(new WebSocket(url), "Ann", "ann");
await ann.until((frame) => frame.event === "login" && frame.uid === "ann");
const line = new ReconnectingWebSocket(url, [], {
  WebSocket,
  minReconnectionDelay: 50,
  maxReconnectionDelay: 200,
});
const ben = chat(line, "Ben", "ben");
await ben.until((frame) => frame.event === "login");
await ann.until((frame) => frame.uid === "ben");
ann.post("first");
await ben.until((frame) => frame.message === "first");
await ann.until((frame) => frame.message === "first");
say({ ann: ann.seen.splice(0), ben: ben.seen.splice(0) });

await lines.next();
await ben.beaten(); // what ben has got is proven
line._ws.terminate();
for (const message of ["missed one", "missed two"]) ann.post(message);
await ben.until((frame) => frame.message === "missed two");
ben.post("back again");
await ann.until((frame) => frame.message === "back again");
await ben.until((frame) => frame.message === "back again");
say({ ben: ben.seen.filter((frame) => frame.event === "message") });

ann.seen.splice(0);
line.close();
await ann.until((frame) => frame.event === "logout");
say({ ann: ann.seen });
process.exit(0);
