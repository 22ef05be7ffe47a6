// @vitest-environment happy-dom
import { expect, test, vi } from "vitest";
import MessageList from "../../src/components/MessageList.vue";
import { initial } from "../../src/realtime/connection";
import type { Entry } from "../../src/realtime/outbox";
import { nobody } from "../../src/realtime/presence";
import { buildRows, type RowSource } from "../../src/realtime/rows";
import type { RoomView } from "../../src/realtime/view";
import { message } from "../support";
import { mount } from "./mount";

const me = { id: "u-me", name: "Me" };
const failed: Entry = {
  id: "own-1",
  body: "mine",
  at: message(9).at,
  state: "failed",
  error: { code: "long", message: "Too long.", temporary: false, retryAfter: null },
  attempts: 1,
  notBefore: 0,
  offset: null,
};

function show(source: Partial<RowSource>, view: Partial<RoomView> = {}, on: Record<string, unknown> = {}) {
  const rows = buildRows({ messages: [], gaps: [], notes: [], entries: [], me: me.id, unreadAfter: null, ...source });
  return mount(MessageList, {
    view: {
      room: "lobby",
      connection: { ...initial, state: "live" },
      me,
      presence: nobody,
      typing: [],
      rows,
      unread: 0,
      notice: null,
      loading: null,
      historyFailed: false,
      complete: true,
      outboxFull: false,
      mayPost: true,
      mayLookBack: true,
      ...view,
    } satisfies RoomView,
    ...on,
  });
}

test("messages carry offset, id and state", () => {
  const page = show({ messages: [message(3, { user: { id: "x", name: "\u202eevil" } })], entries: [failed] });
  const [first, second] = page.all("message");
  expect({ ...first!.dataset }).toMatchObject({ id: "id-3", offset: "3", state: "sent" });
  expect({ ...second!.dataset }).toMatchObject({ id: "own-1", state: "failed" });
  expect(second!.hasAttribute("data-offset")).toBe(false);
  expect(first!.querySelector("bdi")?.textContent).toBe("\u202eevil");
});

test("a failed message says why and can be sent again or thrown away", () => {
  const [onRetry, onDiscard] = [vi.fn(), vi.fn()];
  const page = show({ entries: [failed] }, {}, { onRetry, onDiscard });
  expect(page.find("message").textContent).toContain("Too long.");
  page.find("retry-button").click();
  page.find("discard-button").click();
  expect([onRetry.mock.calls, onDiscard.mock.calls]).toEqual([[["own-1"]], [["own-1"]]]);
});

test("a gap says how much is missing and asks for it", () => {
  const onFill = vi.fn();
  const page = show({ messages: [message(1), message(9)], gaps: [{ from: 2, to: 8, kind: "lost" }] }, {}, { onFill });
  expect(page.find("gap").textContent).toContain("7 messages could not be recovered");
  page.find("gap-button").click();
  expect(onFill).toHaveBeenCalledExactlyOnceWith(8);
  const gone = show({ messages: [message(1), message(9)], gaps: [{ from: 2, to: 2, kind: "gone" }] });
  expect(gone.find("gap").textContent).toContain("1 message no longer kept");
  expect(gone.all("gap-button")).toHaveLength(0);
});

test("without leave to look back nothing offers to", () => {
  const onOlder = vi.fn();
  const gaps = [{ from: 2, to: 8, kind: "lost" as const }];
  const source = { messages: [message(1), message(9)], gaps };
  const page = show(source, { complete: false, mayLookBack: false }, { onOlder });
  expect(page.all("gap-button")).toHaveLength(0);
  expect(page.root.textContent).toContain("before you came is not shown");
  page.find("message-list").dispatchEvent(new Event("scroll"));
  expect(onOlder).not.toHaveBeenCalled();
  expect(show({}, { complete: false, mayLookBack: false }).root.textContent).toContain("New messages appear here.");
});

test("is a log that is not read aloud while a page of history comes in", () => {
  const list = show({ messages: [message(1)] }, { loading: "older" }).find("message-list");
  expect(list.getAttribute("role")).toBe("log");
  expect(list.getAttribute("aria-busy")).toBe("true");
  expect(list.getAttribute("tabindex")).toBe("0");
});

test("who came and left, in words", () => {
  const users = ["Ada", "Bo", "Cy", "Di", "Ed"].map((name) => ({ id: name, name }));
  const note = { key: 1, after: 0, at: 0, joined: users.slice(0, 2), left: users };
  const page = show({ notes: [note] });
  expect(page.find("presence-note").textContent).toBe("Ada and Bo joined, Ada, Bo, Cy and 2 others left");
});

test("an empty room, a room that loads and a room out of reach say so", () => {
  expect(show({}).root.textContent).toContain("Nothing has been said here yet.");
  expect(show({}, { complete: false, loading: "latest" }).root.textContent).toContain("Loading messages…");
  const away = { ...initial, state: "connecting" as const };
  expect(show({}, { complete: false, connection: away }).root.textContent).toContain("once you are connected");
});

test("after a failure only the user asks again", () => {
  const onOlder = vi.fn();
  const page = show({ messages: [message(5)] }, { complete: false, historyFailed: true }, { onOlder });
  page.find("message-list").dispatchEvent(new Event("scroll"));
  expect(onOlder).not.toHaveBeenCalled();
  page.root.querySelector<HTMLButtonElement>(".aside button")!.click();
  expect(onOlder).toHaveBeenCalledOnce();
});

test("scrolling up asks for older messages, not past the beginning", () => {
  const onOlder = vi.fn();
  show({ messages: [message(5)] }, { complete: false }, { onOlder }).find("message-list").dispatchEvent(new Event("scroll"));
  show({ messages: [message(5)] }, { complete: true }, { onOlder }).find("message-list").dispatchEvent(new Event("scroll"));
  expect(onOlder).toHaveBeenCalledOnce();
});
