// The usual Node chat: socket.io with rooms, and an ack to the sender; and an echo.
//
//   node node.mjs [--redis redis://127.0.0.1:6379] [--cert cert.pem --key key.pem]
//
// With --redis it is one worker of many, which share the Redis adapter.

import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { createServer as createSecureServer } from "node:https";
import { parseArgs } from "node:util";
import { Server } from "socket.io";

const text = { type: "string" };
const { values: given } = parseArgs({ options: { redis: text, cert: text, key: text } });

async function redisAdapter(url) {
  const { createAdapter } = await import("@socket.io/redis-adapter");
  const { createClient } = await import("redis");
  const publisher = createClient({ url });
  const subscriber = publisher.duplicate();
  await Promise.all([publisher.connect(), subscriber.connect()]);
  return createAdapter(publisher, subscriber);
}

const web = given.cert
  ? createSecureServer({ cert: readFileSync(given.cert), key: readFileSync(given.key) })
  : createServer();
const io = new Server(web, given.redis ? { adapter: await redisAdapter(given.redis) } : {});

io.on("connection", (socket) => {
  const { user, room } = socket.handshake.auth;
  socket.join(room);
  socket.on("message", (body, ack) => {
    io.to(room).emit("message", { user, body, at: Date.now() });
    ack({ ok: true });
  });
  socket.on("echo", (body, ack) => ack(body));
});

const scheme = given.cert ? "https" : "http";
web.listen({ port: 0, host: "127.0.0.1", backlog: 4096 }, () =>
  console.log(`serves ${scheme}://127.0.0.1:${web.address().port}`),
);
