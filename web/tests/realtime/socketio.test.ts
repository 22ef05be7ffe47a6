import { beforeEach, expect, test, vi } from "vitest";
import type { LinkEvents } from "../../src/realtime/link";
import { socketLink } from "../../src/realtime/socketio";

const fake = vi.hoisted(() => {
  type Handler = (...args: unknown[]) => void;
  class Emitter {
    handlers = new Map<string, Handler>();
    any: Handler = () => undefined;
    on(name: string, handler: Handler) {
      this.handlers.set(name, handler);
    }
    onAny(handler: Handler) {
      this.any = handler;
    }
    fire(name: string, ...args: unknown[]) {
      this.handlers.get(name)?.(...args);
    }
  }
  const socket = Object.assign(new Emitter(), {
    active: true,
    connected: false,
    recovered: undefined as boolean | undefined,
    sent: [] as unknown[][],
    connect: () => undefined,
    disconnect: () => undefined,
    timeout: () => ({ emitWithAck: async (...args: unknown[]) => socket.sent.push(args) }),
  });
  const engine = Object.assign(new Emitter(), { transport: { name: "polling" } });
  const manager = Object.assign(new Emitter(), { engine, socket: (..._args: unknown[]) => socket });
  return { socket, engine, manager, made: [] as unknown[][] };
});
vi.mock("socket.io-client", () => ({
  Manager: class {
    constructor(...args: unknown[]) {
      fake.made.push(args);
      return fake.manager;
    }
  },
}));

let told: unknown[][];
let asked: ReturnType<typeof vi.spyOn>;

beforeEach(() => {
  told = [];
  fake.made.length = fake.socket.sent.length = 0;
  Object.assign(fake.socket, { active: true, connected: false });
  asked = vi.spyOn(fake.manager, "socket");
});

function link(room = "lobby") {
  const names = ["connected", "lost", "ended", "refused", "attempt", "transport", "event"];
  const events = Object.fromEntries(names.map((name) => [name, (...args: unknown[]) => told.push([name, ...args])]));
  const options = { origin: "http://h", path: "/chat/socket.io", room, auth: () => ({ token: "t" }) };
  return socketLink(options)(events as unknown as LinkEvents);
}

test("the room is the namespace as it is, and the path the one that was given", () => {
  link("a:b/@c");
  expect(fake.made[0]).toEqual(["http://h", { path: "/chat/socket.io", autoConnect: false }]);
  expect(asked.mock.calls[0]?.[0]).toBe("/a:b/@c");
});

test("an unreachable server and a refusing one are different things", () => {
  link();
  fake.socket.fire("connect_error", new Error("xhr poll error"));
  fake.socket.active = false;
  const data = { code: "full", message: "Full.", temporary: true, retry_after: 2 };
  fake.socket.fire("connect_error", Object.assign(new Error("x"), { data }));
  fake.socket.fire("connect_error", new Error("Invalid namespace"));
  expect(told).toEqual([
    ["lost"],
    ["refused", { code: "full", message: "Full.", temporary: true, retryAfter: 2 }],
    ["refused", { code: "refused", message: "Invalid namespace", temporary: false, retryAfter: null }],
  ]);
});

test("only the server's word ends it for good", () => {
  link();
  for (const reason of ["transport close", "ping timeout", "io client disconnect", "io server disconnect"]) {
    fake.socket.fire("disconnect", reason);
  }
  expect(told).toEqual([["lost"], ["lost"], ["ended"]]);
});

test("the transport and its upgrade are told", () => {
  link();
  fake.engine.transport.name = "polling";
  fake.manager.fire("open");
  fake.engine.transport.name = "websocket";
  fake.engine.fire("upgrade");
  expect(told).toEqual([["transport", "polling"], ["transport", "websocket"]]);
});

test("recovered only if the client says so", () => {
  link();
  fake.socket.recovered = undefined;
  fake.socket.fire("connect");
  fake.socket.recovered = true;
  fake.socket.fire("connect");
  fake.socket.any("message", 1, "e.1");
  expect(told).toEqual([["connected", false], ["connected", true], ["event", "message", [1, "e.1"]]]);
});

test("without a connection nothing is left behind to be sent later", async () => {
  const made = link();
  await expect(made.request("message", "x")).rejects.toThrow("not connected");
  await expect(made.ask("mentions")).rejects.toThrow("not connected");
  expect(fake.socket.sent).toEqual([]);
  fake.socket.connected = true;
  await made.request("message", "x", { id: "1" });
  await made.ask("mentions", { after: 1 });
  expect(fake.socket.sent).toEqual([["message", "x", { id: "1" }], ["mentions", { after: 1 }]]);
});
