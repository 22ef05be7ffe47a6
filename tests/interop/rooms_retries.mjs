// The client's own retries: it sends again whatever was not acknowledged in time.

import { ask, bodies, end, open, once, settled, until } from "./rooms_kit.mjs";

const socket = open("/", { auth: { user: "alice" }, retries: 50, ackTimeout: 100 });
await once(socket, "welcome");
await settled(socket);
await ask("stop the server");

let sent = 0;
socket.onAnyOutgoing((name) => (sent += name === "message"));
const answers = [1, 2, 3].map(
  (number) =>
    new Promise((resolve) => {
      socket.emit("message", number, { id: `m${number}` }, (error, answer) =>
        resolve(error ? String(error) : answer),
      );
    }),
);
// the first is sent again and again; the others wait for it
await new Promise((resolve) => {
  const packets = socket.io.engine;
  packets.on("packetCreate", function count(packet) {
    if (packet.type === "message" && packet.data.includes('"m1"') && ++count.times >= 3) resolve();
  });
  packets.listeners("packetCreate").at(-1).times = 0;
});
await ask("let it go on");
const acks = await Promise.all(answers);
await until(socket, () => bodies(socket).length === 3);
const page = await new Promise((resolve) =>
  socket.emit("history", {}, (error, answer) => resolve(error ?? answer)),
);
end({ acks, bodies: bodies(socket), history: page.items.map((item) => item.body) });
