// A Node program that emits with @socket.io/redis-emitter to the clients of two servers.
// usage: emitter.mjs URL transports OTHER_URL REDIS_URL KEY

import { createClient } from "@redis/client";
import { Emitter } from "@socket.io/redis-emitter";
import { end, once, open, until, url } from "./rooms_kit.mjs";

const [, , , , otherUrl, redisUrl, key] = process.argv;

const alice = open("/lounge", { auth: { user: "alice" } });
const bob = open("/lounge", { auth: { user: "bob" } }, otherUrl);
const carol = open("/other", { auth: { user: "carol" } }, otherUrl);
await Promise.all([alice, bob, carol].map((socket) => once(socket, "welcome")));
for (const socket of [alice, bob, carol]) socket.seen = [];

const client = createClient({ url: redisUrl });
await client.connect();
const io = new Emitter(client, key ? { key } : undefined);
const lounge = io.of("/lounge");

lounge.emit("everybody", { version: 7 }, [null, undefined, true]);
lounge.in(bob.id).socketsJoin(["corner", "stage"]);
lounge.to("corner").emit("corner", 1);
lounge.to("corner").to("nowhere").emit("several", 2);
lounge.except("stage").emit("but", 3);
lounge.to([alice.id, bob.id]).except(alice.id).emit("by id", 4);
lounge.in("corner").socketsLeave("corner");
lounge.to("corner").emit("nobody");
lounge.volatile.emit("volatile", 5);
lounge.emit("data", Buffer.from([0, 255]), { deep: [new Uint8Array([7])] }, new Date(0), "ä", 2 ** 40, -1.5);
io.serverSideEmit("ping");
lounge.serverSideEmit("ping");
lounge.to("stage").disconnectSockets();
io.of("other").compress(false).emit("last", "text");
lounge.emit("end");

const ended = (socket) => socket.seen.some(([name]) => name === "end" || name === "last" || name === "disconnect");
await Promise.all([alice, bob, carol].map((socket) => until(socket, () => ended(socket))));
await client.close();
const plain = ({ seen }) => seen.filter(([name]) => name !== "presence");
end({ alice: plain(alice), bob: plain(bob), carol: plain(carol) });
