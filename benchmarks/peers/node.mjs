// One worker of the usual Node chat: socket.io with the Redis adapter, rooms, and an ack to the sender.
//
//   node node.mjs redis://127.0.0.1:6379

import { createServer } from "node:http";
import { createAdapter } from "@socket.io/redis-adapter";
import { createClient } from "redis";
import { Server } from "socket.io";

const publisher = createClient({ url: process.argv[2] });
const subscriber = publisher.duplicate();
await Promise.all([publisher.connect(), subscriber.connect()]);

const http = createServer();
const io = new Server(http, { adapter: createAdapter(publisher, subscriber) });

io.on("connection", (socket) => {
  const { user, room } = socket.handshake.auth;
  socket.join(room);
  socket.on("message", (body, ack) => {
    io.to(room).emit("message", { user, body, at: Date.now() });
    ack({ ok: true });
  });
});

http.listen(0, "127.0.0.1", () => console.log(`serves http://127.0.0.1:${http.address().port}`));
