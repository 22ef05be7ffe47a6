// What a page does that knows nothing but socket.io.

import { io } from "socket.io-client";
import { end, transports, url } from "./rooms_kit.mjs";

const seen = [];
const pages = [1, 2].map(() => io(url, { transports: transports.split(","), forceNew: true }));
const heard = pages.map(
  (socket) =>
    new Promise((resolve) =>
      socket.on("message", (message) => {
        seen.push([message.user, message.body]);
        resolve();
      }),
    ),
);
await Promise.all(pages.map((socket) => new Promise((resolve) => socket.on("welcome", resolve))));
pages[0].send("hi");
await Promise.all(heard);
end({ seen });
