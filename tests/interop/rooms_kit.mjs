// What the scripts of test_node_rooms.py share: sockets that write down what they see, and the
// conversation with the test: a JSON object per line, both ways.

import { createInterface } from "node:readline";
import { io } from "socket.io-client";

export const [, , url, transports = "polling,websocket"] = process.argv;

/** A socket whose `seen` holds everything in order, its connects and disconnects among them. */
export function open(room, options = {}, where = url) {
  const socket = io(where + room, {
    transports: transports.split(","),
    forceNew: true,
    reconnectionDelay: 20,
    reconnectionDelayMax: 100,
    ...options,
  });
  socket.seen = [];
  socket.on("connect", () => socket.seen.push(["connect", socket.id, socket.recovered]));
  socket.on("disconnect", (reason) => socket.seen.push(["disconnect", reason]));
  socket.on("connect_error", (error) => socket.seen.push(["connect_error", error.data ?? null]));
  socket.onAny((name, ...args) => socket.seen.push([name, ...args]));
  return socket;
}

/** The next event of this name. */
export const once = (socket, name) => new Promise((resolve) => socket.once(name, resolve));

/** Wait until `condition()` holds; looks again whenever the socket has seen something. */
export function until(socket, condition) {
  return new Promise((resolve) => {
    const look = () => {
      if (!condition()) return;
      socket.offAny(look);
      for (const name of ["connect", "disconnect", "connect_error"]) socket.off(name, look);
      resolve();
    };
    socket.onAny(look);
    for (const name of ["connect", "disconnect", "connect_error"]) socket.on(name, look);
    look();
  });
}

export const bodies = (socket) =>
  socket.seen.filter(([name]) => name === "message").map(([, message]) => message.body);

/** When both transports are allowed: until the connection has moved to the WebSocket. */
export async function settled(socket) {
  const { engine } = socket.io;
  if (transports === "polling,websocket" && engine.transport.name !== "websocket") {
    await new Promise((resolve) => engine.once("upgrade", resolve));
  }
  return engine.transport.name;
}

export const tell = (message) => process.stdout.write(JSON.stringify(message) + "\n");

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

/** Tell the test something, and wait until it says go on. */
export async function ask(message) {
  tell(message);
  await lines.next();
}

export function end(message) {
  process.stdout.write(JSON.stringify(message) + "\n", () => process.exit(0));
}
