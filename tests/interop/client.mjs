// What the stock client does with the plain `sioserver.AsyncServer` of test_node_client.py.
// usage: client.mjs URL polling|websocket|polling,websocket STORY; prints one JSON object.

import { io } from "socket.io-client";

const [, , url, transports, story] = process.argv;
const options = { transports: transports.split(","), forceNew: true, reconnection: false };
const once = (emitter, name) => new Promise((resolve) => emitter.once(name, (...args) => resolve(args)));

async function connected(namespace = "/", more = {}) {
  const socket = io(url + namespace, { ...options, ...more });
  socket.errors = [];
  socket.on("connect_error", (error) => socket.errors.push(error.message));
  await once(socket, "connect");
  const { engine } = socket.io;
  if (transports === "polling,websocket" && engine.transport.name !== "websocket") {
    await once(engine, "upgrade");
  }
  return socket;
}

const hex = (value) => Buffer.from(value).toString("hex");

const stories = {
  async acks() {
    const socket = await connected();
    const answers = [await socket.emitWithAck("echo", 1, "zwei", { three: [null, true] })];
    answers.push(await socket.emitWithAck("nothing"));
    const question = once(socket, "question");
    socket.emit("ask-me", 5);
    const [number, acknowledge] = await question;
    const answered = once(socket, "answered");
    acknowledge(number * 2);
    answers.push((await answered)[0]);
    return { answers, transport: socket.io.engine.transport.name };
  },

  async binary() {
    const socket = await connected();
    const sent = Buffer.from([0, 1, 30, 255]);
    const [back, both] = await Promise.all([
      socket.emitWithAck("echo", { deep: [sent, "text", new Uint8Array([7])] }),
      (async () => {
        const pushed = once(socket, "pushed");
        socket.emit("push-me", 300000);
        return (await pushed)[0];
      })(),
    ]);
    return { deep: back.deep.map((v) => (typeof v === "string" ? v : hex(v))), size: both.length, first: both[0] };
  },

  async burst() {
    const socket = await connected();
    const numbers = [...Array(200).keys()];
    const order = [];
    await Promise.all(
      numbers.map((n) => socket.emitWithAck("count", n, "x".repeat(50)).then((m) => order.push(m))),
    );
    return { order };
  },

  async burst_before_connect() {
    const socket = io(url, options);
    const order = [];
    await Promise.all(
      [...Array(200).keys()].map((n) => socket.emitWithAck("count", n).then((m) => order.push(m))),
    );
    return { order };
  },

  async two_namespaces() {
    const one = await connected();
    const two = one.io.socket("/second", { auth: { token: "t" } });
    const early = [];
    two.onAny((...args) => early.push(args));
    await once(two, "connect");
    const answers = [await one.emitWithAck("echo", 1), await two.emitWithAck("who")];
    two.disconnect();
    answers.push(await one.emitWithAck("echo", 3));
    const refused = one.io.socket("/nobody");
    const [error] = await once(refused, "connect_error");
    return { answers, same: one.id !== two.id, message: error.message, early };
  },

  async kicked() {
    const socket = await connected("/", { reconnection: true, reconnectionDelay: 10 });
    socket.emit("kick-me");
    const [reason] = await once(socket, "disconnect");
    return { reason, active: socket.active };
  },

  async closed() {
    const socket = await connected("/", { reconnection: true, reconnectionDelay: 10 });
    socket.emit("close-me");
    const [reason] = await once(socket, "disconnect");
    const active = socket.active;
    await once(socket, "connect");
    return { reason, active, again: await socket.emitWithAck("echo", "back") };
  },

  async nan() {
    const socket = await connected();
    socket.emit("infinity");
    const [value] = await once(socket, "infinity");
    return { value };
  },

  async heartbeat() {
    const socket = await connected();
    let pings = 0;
    await new Promise((resolve) => socket.io.on("ping", () => ++pings === 3 && resolve()));
    return { pings, alive: await socket.emitWithAck("echo", 1) };
  },
};

const result = await stories[story]();
process.stdout.write(JSON.stringify(result) + "\n", () => process.exit(0));
