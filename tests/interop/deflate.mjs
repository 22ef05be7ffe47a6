// Node's `ws` and socket.io-client with compression, against a server that echoes.
// Arguments: the server's URL; then one JSON object of options of `ws` for each connection.

import { io } from "socket.io-client";
import { WebSocket } from "ws";

const [url, ...options] = process.argv.slice(2);
const texts = ["short", "long ".repeat(400), "long ".repeat(400), "äöü".repeat(90000), "long ".repeat(400)];

function connection(perMessageDeflate) {
  return new Promise((resolve, reject) => {
    const ws = new WebSocket(`${url.replace("http", "ws")}/socket.io/?EIO=4&transport=websocket`, { perMessageDeflate });
    const got = [];
    let extensions = "";
    ws.on("error", reject);
    ws.on("upgrade", ({ headers }) => (extensions = headers["sec-websocket-extensions"] ?? ""));
    ws.on("message", (data, binary) => {
      const text = data.toString();
      if (binary) got.push(data.length);
      else if (text.startsWith("0")) ws.send("40");
      else if (text.startsWith("40")) {
        for (const body of texts) ws.send(`42["echo",${JSON.stringify(body)}]`, { compress: true });
        ws.send('451-["echo",{"_placeholder":true,"num":0}]');
        ws.send(Buffer.alloc(300000, 7));
      } else if (text.startsWith("42")) got.push(texts.indexOf(JSON.parse(text.slice(2))[1]));
      if (got.length === texts.length + 1) {
        ws.close();
        resolve({ extensions, got });
      }
    });
  });
}

async function client() {
  const socket = io(url, { transports: ["websocket"], perMessageDeflate: { threshold: 10 }, forceNew: true });
  const got = [];
  await new Promise((resolve) => socket.on("connect", resolve));
  const { extensions } = socket.io.engine.transport.ws;
  for (const body of texts) {
    socket.emit("echo", body);
    got.push(texts.indexOf(await new Promise((resolve) => socket.once("echoed", resolve))));
  }
  socket.close();
  return { extensions, got };
}

const results = [];
for (const option of options) results.push(await connection(JSON.parse(option)));
results.push(await client());
console.log(JSON.stringify(results));
process.exit(0);
