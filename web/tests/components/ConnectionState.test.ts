// @vitest-environment happy-dom
import { expect, test } from "vitest";
import ConnectionState from "../../src/components/ConnectionState.vue";
import { initial, type Connection } from "../../src/realtime/connection";
import { mount } from "./mount";

function show(connection: Partial<Connection>): HTMLElement {
  return mount(ConnectionState, { connection: { ...initial, ...connection } }).find("connection-state");
}

test.each<[Partial<Connection>, string]>([
  [{ state: "connecting" }, "Connecting…"],
  [{ state: "reconnecting", attempt: 3 }, "Reconnecting… (try 3)"],
  [{ state: "live", transport: "websocket" }, "Liveover WebSocket"],
  [{ state: "live", transport: "polling", recovered: true }, "Liveover polling, nothing missed"],
  [{ state: "live", transport: "polling", recovered: false }, "Liveover polling"],
  [{ state: "closed" }, "Closed"],
])("%o", (connection, words) => expect(show(connection).textContent?.trim()).toBe(words));

test("carries its state for tests and screen readers", () => {
  const live = show({ state: "live", transport: "polling", recovered: false });
  expect({ ...live.dataset }).toMatchObject({ state: "live", transport: "polling", recovered: "false" });
  expect(live.getAttribute("role")).toBe("status");
  const fresh = show({ state: "connecting" });
  expect(fresh.hasAttribute("data-transport") || fresh.hasAttribute("data-recovered")).toBe(false);
});
